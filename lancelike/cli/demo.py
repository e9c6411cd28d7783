"""The demo: ask the Python standard library's documentation in plain words.

It is also an example of the whole job: declare a table, add rows, which embeds them, build an index, search in words.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
import time
from pathlib import Path

import lancelike
from lancelike.cli.asking import nearest
from lancelike.cli.corpus import Entry, collect_docstrings
from lancelike.cli.steps import TITLE_WIDTH, step
from lancelike.cli.tabular import aligned, terminal_width
from lancelike.embeddings import get_registry
from lancelike.index import IvfPq
from lancelike.pydantic import LanceModel

MODEL = "all-MiniLM-L6-v2"
TABLE = "stdlib"
ANSWERS = 3
PAGE_WIDTH = 120
QUESTIONS = (
    "how do I compress a file?",
    "run something at a later time",
    "parse command line arguments",
    "find files by a pattern such as *.txt",
    "cache the results of a slow function",
    "how do I make a priority queue?",
    "find the difference between two texts",
)

model = get_registry().get("sentence-transformers").create(name=MODEL)


class Docstring(LanceModel):
    """One documented name of the standard library; its vector is made from the text and the name."""

    id: int
    name: str
    kind: str
    module: str
    text: str
    vector: list[float] = model.VectorField(template="{text} ({name})")


def demonstrate(directory: str) -> None:
    """Make the table in *directory*, or take the one there if it is up to date, and ask it some questions."""
    print(f"Asking the documentation of Python {platform.python_version()}'s standard library\n")
    with step("load the model") as say:
        model.compute_query_embeddings("ready")
        say(f"{MODEL}, {model.ndims()} dimensions")
    with step("read docstrings") as say:
        entries = collect_docstrings()
        say(f"{len(entries):,} modules, classes, functions and methods")
    table = open_table(directory, entries)
    for question in QUESTIONS:
        print_answers(table, question)
    print(f'\nAsk more:  {own_command()} search {shlex.quote(directory)} {TABLE} "round a number to two decimals"')


def open_table(directory: str, entries: list[Entry]) -> lancelike.Table:
    """Return the table of *entries*, filled and indexed; what an earlier run has done is kept."""
    database = lancelike.connect(directory)
    try:
        table = database.create_table(TABLE, schema=Docstring, exist_ok=True)
    except lancelike.errors.SchemaError:  # made by another version of this demo
        table = database.create_table(TABLE, schema=Docstring, mode="overwrite")
    if stored_entries(table) == entries:
        print(f"  {'embed them':<{TITLE_WIDTH}}nothing to do: {directory} has them all")
    else:
        table = database.create_table(TABLE, schema=Docstring, mode="overwrite")
        fill(table, entries)
    if not table.list_indices():
        with step("build an index") as say:
            table.create_index("vector", config=IvfPq(distance_type="cosine"))
            say(f"IVF_PQ over {len(table):,} vectors")
    return table


def stored_entries(table: lancelike.Table) -> list[Entry]:
    """Return what the table was made from, in the order it was added."""
    columns = ["name", "kind", "module", "text"]
    rows = table.search().select(["id", *columns]).limit(None).to_list()
    rows.sort(key=lambda row: row["id"])
    return [Entry(*(row[column] for column in columns)) for row in rows]


def fill(table: lancelike.Table, entries: list[Entry]) -> None:
    """Add a row for each entry; adding embeds."""
    start = time.perf_counter()
    rows = [
        {"id": i, "name": entry.name, "kind": entry.kind, "module": entry.module, "text": entry.text}
        for i, entry in enumerate(entries)
    ]
    table.add(rows, progress=True)
    seconds = time.perf_counter() - start
    print(f"  {'embed them':<{TITLE_WIDTH}}{len(rows):,} texts, {len(rows) / seconds:,.0f} a second ({seconds:.1f} s)")


def own_command() -> str:
    """Return what to write in a shell to run this command again."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m lancelike"
    return program.name if shutil.which(program.name) else str(program)


def print_answers(table: lancelike.Table, question: str) -> None:
    """Search in words, and print what is nearest."""
    start = time.perf_counter()
    rows = nearest(table, question, ANSWERS)
    milliseconds = (time.perf_counter() - start) * 1000
    shown = [{name: row[name] for name in ("distance", "name", "kind", "text")} for row in rows]
    print(f"\n{question}  ({milliseconds:.0f} ms)")
    for line in aligned(shown, min(terminal_width(), PAGE_WIDTH), indent="  "):
        print(line)
