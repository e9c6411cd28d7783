"""Rows and texts, of the goals: added, fetched, opened, embedded, and searched by text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import add, embed
from benchmarks.chroma import ChromaProcess
from benchmarks.contestants import CONTESTANTS, K, Pylance
from benchmarks.data import SCHEMA, Clustered, as_arrow, clustered
from benchmarks.elsewhere import ChromaRows
from benchmarks.functions import chroma_model
from benchmarks.lines import LIBRARIES, Line, asked_both_ways, calls, filled, folder_of, found, timed
from benchmarks.scale import Scale, fresh_folder
from benchmarks.sentences import MODEL, real_sentences
from benchmarks.timing import Times, interleave

FEW_ROWS = 1_000
ROWS_BY_ID = 10_000


def ingest(scale: Scale, _: ChromaProcess | None) -> Iterator[Line]:
    for form, rows in add.forms(clustered(scale.add_rows, 0).vectors).items():
        times = interleave(
            {each.name: partial(add.adding, each, scale.folder / "goals-add", rows) for each in CONTESTANTS},
            passes=scale.add_passes,
        )
        raw = scale.add_rows / times["pylance"].percentile_s(50)
        goal = max(raw, 300_000) if "pandas" in form else raw
        yield Line(f"rows from {form}", times, goal, units=scale.add_rows)


def by_id(scale: Scale, chroma: ChromaProcess | None) -> Iterator[Line]:
    vectors = clustered(ROWS_BY_ID, 0).vectors
    tables = filled(scale, "by-id", as_arrow(vectors))
    for name, table in tables.items():
        table.create_index("id", config=LIBRARIES[name].index.BTree())
    asking = calls(tables, lambda table, job: table.search().where(f"id = {97 * job}").limit(1).to_arrow())
    if chroma is not None:
        collection = ChromaRows(chroma, fresh_folder(scale.folder / "goals-by-id-chroma"), vectors, vectors[:1])
        asking[collection.name] = lambda job: collection.row(97 * job)
    found = asked_both_ways(asking, jobs=scale.queries, passes=scale.passes)
    yield Line(f"one row by id, {ROWS_BY_ID:,} rows, B-tree", goal=0.6, **found)


def opening(scale: Scale, _: ChromaProcess | None) -> Iterator[Line]:
    for rows, first_goal, second_goal in ((FEW_ROWS, 6, None), (scale.goal_rows, 440, 15)):
        data = clustered(rows, 10)
        filled(scale, f"open-{rows}", as_arrow(data.vectors))
        folders = {name: (module, folder_of(scale, f"open-{rows}", name)) for name, module in LIBRARIES.items()}

        def first(place: tuple[Any, Path], _: int, query: NDArray[np.float32] = data.queries[0]) -> pa.Table:
            return found(opened(place), query)

        size = {"size": None if rows == FEW_ROWS else 200_000, "measured_size": rows}
        asking = calls(folders, first)
        asking[Pylance.name] = first_by_pylance(folder_of(scale, f"open-{rows}", Pylance.name), data)
        times = timed(asking, passes=scale.passes + 2)
        yield Line(f"open and first query, {rows:,} rows", times, first_goal, **size)
        if second_goal:
            yield Line(f"second query, {rows:,} rows", second(folders, data, scale), second_goal, **size)


def opened(place: tuple[Any, Path]) -> Any:
    module, folder = place
    return module.connect(folder).open_table("rows")


def first_by_pylance(folder: Path, data: Clustered) -> Callable[[int], pa.Table]:
    written = Pylance(folder)
    written.create(SCHEMA)
    written.add(as_arrow(data.vectors))

    def ask(_: int) -> pa.Table:
        dataset = Pylance(folder)
        dataset.open()
        return dataset.search(data.queries[0])

    return ask


def second(folders: Mapping[str, tuple[Any, Path]], data: Clustered, scale: Scale) -> dict[str, Times]:
    def prepare(place: tuple[Any, Path], _: int) -> Callable[[], pa.Table]:
        table = opened(place)
        found(table, data.queries[0])
        return partial(found, table, data.queries[1])

    return interleave({name: partial(prepare, place) for name, place in folders.items()}, passes=scale.passes)


def embedding(scale: Scale, _: ChromaProcess | None) -> Iterator[Line]:
    texts = real_sentences(scale.goal_texts)
    jobs = [
        embed.Job("", texts, afresh=True),
        embed.Job("all texts seen before", texts, afresh=False),
        embed.Job("each text twice", texts[::2] * 2, afresh=True),
    ]
    embedders: list[embed.Embedder] = [embed.Encode(), embed.Lancelike(), embed.LanceDB()]
    for each in embedders:
        embed.adding(each, scale.folder, embed.Job("", texts[:32], afresh=True))()
    times = interleave(
        {each.name: partial(embed.adding_job, each, scale.folder, jobs) for each in embedders},
        jobs=len(jobs),
        passes=scale.text_passes,
    )
    for number, speedup in ((2, 2), (1, 50)):
        part = {name: each.job(number) for name, each in times.items()}
        encoding = len(texts) / part["model.encode"].percentile_s(50)
        note = f"{part['model.encode'].ratio(part['lancelike']):.1f} times `encode`'s"
        title = f"embed and add {len(texts):,} rows, {jobs[number].title}"
        yield Line(title, part, speedup * encoding, units=len(texts), note=note)


def by_text(scale: Scale, chroma: ChromaProcess | None) -> Iterator[Line]:
    """Every question is asked once: lancelike remembers the vectors of those it was asked."""
    texts = real_sentences(scale.goal_texts)
    embedders = {"lancelike": embed.Lancelike(), "lancedb": embed.LanceDB()}
    for each in embedders.values():
        embed.adding(each, scale.folder, embed.Job("", texts, afresh=True))()
    encode = embed.Encode()
    encode.start(scale.folder)
    asked = count()

    def question() -> str:
        return f"how do I run {next(asked)} programs at once?"

    def ask(each: Any, _: int) -> pa.Table:
        return each.table.search(question()).limit(K).to_arrow()

    asking = calls(embedders, ask)
    asking[f"{encode.name} alone"] = lambda _: encode.add([question()])
    if chroma is not None:
        chroma.ask("model", str(chroma_model(scale.folder / "goals-chroma-model")))
        vectors = embedders["lancelike"].vectors()
        collection = ChromaRows(chroma, fresh_folder(scale.folder / "goals-text-chroma"), vectors, vectors[:1])
        asking[f"{collection.name}'s default"] = lambda _: collection.search_text(question())
    times = timed(asking, jobs=scale.queries, passes=1)
    yield Line(f"search by text ({MODEL}), {len(texts):,} rows", times, 14.5)
