"""The arguments of the command line, and what each command prints."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancelike
from lancelike.cli.asking import nearest
from lancelike.cli.tabular import aligned, terminal_width


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* (None: the process's own) name, and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (lancelike.LancelikeError, ImportError) as error:
        print(f"lancelike: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlancelike: interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; `run` in what it parses is the command."""
    top = argparse.ArgumentParser("lancelike", description="Tables that embed themselves.")
    top.add_argument("--version", action="version", version=f"%(prog)s {lancelike.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="index the standard library's docstrings and ask them some questions")
    demo.add_argument("--dir", default="demo-data", help="where the database is kept (default: ./%(default)s)")
    demo.set_defaults(run=run_demo)

    search = commands.add_parser("search", help="ask a table, in words")
    search.add_argument("dir", metavar="DIR", help="the database: a directory, or a URL of an object store")
    search.add_argument("table", metavar="TABLE")
    search.add_argument("question", metavar="QUESTION")
    search.add_argument(
        "--limit", type=positive, default=10, metavar="K", help="most rows shown (default: %(default)s)"
    )
    search.set_defaults(run=run_search)

    tables = commands.add_parser("tables", help="list a database's tables")
    tables.add_argument("dir", metavar="DIR", help="the database: a directory, or a URL of an object store")
    tables.set_defaults(run=run_tables)
    return top


def positive(text: str) -> int:
    """Parse a whole number greater than 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not greater than 0")
    return number


def run_demo(options: argparse.Namespace) -> None:
    """Run the demo; its module, which only it needs, is imported now."""
    from lancelike.cli.demo import demonstrate

    demonstrate(options.dir)


def run_search(options: argparse.Namespace) -> None:
    """Print the rows nearest to the question, and how long that took."""
    table = open_database(options.dir).open_table(options.table)
    start = time.perf_counter()
    rows = nearest(table, options.question, options.limit)
    seconds = time.perf_counter() - start
    print_rows(rows)
    print(f"\n{len(rows)} of {len(table):,} rows in {seconds:.2f} s, with loading the model")


def run_tables(options: argparse.Namespace) -> None:
    """Print each table's name, number of rows, columns, and what embeds what."""
    database = open_database(options.dir)
    rows = [describe(database.open_table(name)) for name in database.table_names()]
    if rows:
        print_rows(rows)
    else:
        print(f"no tables in {options.dir}")


def open_database(uri: str) -> lancelike.DBConnection:
    """Connect to a database, which must be there: looking at one doesn't make it."""
    if "://" not in uri and not Path(uri).is_dir():
        raise SystemExit(f"lancelike: there is no database at {uri!r}; `lancelike demo` makes one in ./demo-data")
    return lancelike.connect(uri)


def describe(table: lancelike.Table) -> dict[str, Any]:
    """Return what `lancelike tables` says of one table."""
    bindings = table.embedding_functions.values()
    return {
        "table": table.name,
        "rows": f"{len(table):,}",
        "columns": ", ".join(table.schema.names),
        "embeds": ", ".join(
            f"{' + '.join(each.source_columns)} -> {each.vector_column} ({each.function.stored()['name']})"
            for each in bindings
        ),
    }


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as aligned text, as wide as the terminal."""
    for line in aligned(rows, terminal_width()):
        print(line)
