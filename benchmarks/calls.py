"""What one small call costs beside lancedb's: finding, reading and writing a row, and a process that begins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import lancedb.pydantic
import numpy as np
from numpy.typing import NDArray

import lancelike.pydantic
from benchmarks.data import NDIMS, as_arrow, clustered
from benchmarks.lines import LIBRARIES
from benchmarks.report import Goal, Section, Table, ms, ratio, say
from benchmarks.scale import Scale
from benchmarks.timing import Elsewhere, Times, interleave

PYDANTIC: Mapping[str, Any] = {"lancelike": lancelike.pydantic, "lancedb": lancedb.pydantic}
ROWS = 10_000
K = 10
MOST_JOBS = 20
MOST_OF_A_WRITE = 1.1
"""Of lancedb's time: Lance's writing and committing is nearly all of both."""

BEGINNING = """
import time
start = time.perf_counter()
import {library}
table = {library}.connect({folder!r}).open_table("rows")
assert table.search([0.5] * {ndims}).limit({k}).to_arrow().num_rows == {k}
print(time.perf_counter() - start)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A database of one library's, and two tables of it with the same rows.

    Attributes:
        rows: To be read.
        written: To be written to.
        model: What a row may become.
        numbers: 0, 1, 2, ...: each call takes the next.
    """

    database: Any
    rows: Any
    written: Any
    model: type[Any]
    numbers: Iterator[int]


@dataclass(frozen=True, slots=True)
class OneCall:
    """A call, given a place and a number that it is given once there."""

    title: str
    make: Callable[[Place, int], object]
    most: float = 1.0
    """Of lancedb's time."""


def run(scale: Scale) -> Section:
    say("calls")
    data = clustered(ROWS, scale.queries)
    folders = {name: scale.folder / f"calls-{name}" for name in LIBRARIES}
    places = {name: filled(name, folder, data.vectors) for name, folder in folders.items()}
    timed = [
        (call, interleave(prepared(places, call), jobs=min(scale.queries, MOST_JOBS), passes=scale.passes))
        for call in [*reads(data.queries), *writes(data.vectors)]
    ]
    begin = OneCall("a new process: import, connect, open_table, a search", lambda *_: None)
    begun = {name: partial(beginning, name, folder) for name, folder in folders.items()}
    timed.append((begin, interleave(begun, passes=scale.passes)))
    header = ["", "lancelike: p50 ms", "lancedb: p50 ms", "time over lancedb's"]
    grown = growing(scale, data.vectors)
    tables = [
        Table(f"{ROWS:,} rows", [header, *(row(*one) for one in timed)]),
        Table(f"{scale.single_adds:,} adds of a row, one after the other", [header, *(row(*one) for one in grown)]),
    ]
    return Section("Single calls: beside lancedb", text(), tables, [goal(*one) for one in [*timed, *grown]])


def text() -> str:
    return (
        "The same calls to both libraries, each with files of its own of the same rows: an id with a B-tree, a short "
        f"text, and {NDIMS} float32 without an index. Rows found have all columns. Calls that write have a table of "
        "their own, which keeps its versions. A new process has its bytecode cached; most of its time is Lance's and "
        "Arrow's own."
    )


def filled(name: str, folder: Path, vectors: NDArray[np.float32]) -> Place:
    library, rows = LIBRARIES[name], as_arrow(vectors)
    database = library.connect(folder)
    tables = [database.create_table(each, rows, schema=rows.schema) for each in ("rows", "written")]
    for table in tables:
        table.create_index("id", config=library.index.BTree())
    return Place(database, *tables, model_of(PYDANTIC[name]), count())


def model_of(pydantic: Any) -> type[Any]:
    fields = {"id": int, "text": str, "vector": pydantic.Vector(NDIMS)}
    return type("Row", (pydantic.LanceModel,), {"__annotations__": fields})


def growing(scale: Scale, vectors: NDArray[np.float32]) -> list[tuple[OneCall, dict[str, Times]]]:
    """A tenth of many adds of a row to an empty table: the first, and the last, which come upon the others' traces."""
    call, last = writes(vectors)[0], scale.single_adds - scale.single_adds // 10
    places = {name: filled(name, scale.folder / f"calls-growing-{name}", vectors[:1]) for name in LIBRARIES}
    times = interleave(prepared(places, call), jobs=scale.single_adds)
    first = {name: Times(each.seconds[:, : scale.single_adds - last]) for name, each in times.items()}
    rest = {name: Times(each.seconds[:, last:]) for name, each in times.items()}
    return [
        (replace(call, title=f"an add, the first {scale.single_adds - last:,} of {scale.single_adds:,}"), first),
        (
            replace(call, title=f"an add, the last {scale.single_adds - last:,} of {scale.single_adds:,}", most=1.0),
            rest,
        ),
    ]


def reads(queries: NDArray[np.float32]) -> list[OneCall]:
    def nearest(place: Place, number: int) -> Any:
        return place.rows.search(queries[number % len(queries)]).limit(K)

    def by_id(place: Place, number: int) -> Any:
        return place.rows.search().where(f"id = {97 * number % ROWS}").limit(1)

    return [
        OneCall("count_rows()", lambda place, _: place.rows.count_rows()),
        OneCall(f"head({K})", lambda place, _: place.rows.head(K)),
        OneCall("a row by id, as a dict", lambda place, number: by_id(place, number).to_list()),
        OneCall(f"{K} nearest, as Arrow", lambda place, number: nearest(place, number).to_arrow()),
        OneCall(f"{K} nearest, as dicts", lambda place, number: nearest(place, number).to_list()),
        OneCall(f"{K} nearest, as models", lambda place, number: nearest(place, number).to_pydantic(place.model)),
        OneCall("open_table", lambda place, _: place.database.open_table("rows")),
    ]


def writes(vectors: NDArray[np.float32]) -> list[OneCall]:
    def new(number: int, first: int = 10 * ROWS) -> list[dict[str, Any]]:
        return [{"id": first + number, "text": "new", "vector": vectors[number % ROWS]}]

    def upsert(place: Place, rows: list[dict[str, Any]]) -> None:
        place.written.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def update(place: Place, number: int) -> None:
        place.written.update(where=f"id = {number % ROWS}", values={"text": "other"})

    return [
        OneCall("add of a dict", lambda place, number: place.written.add(new(number)), MOST_OF_A_WRITE),
        OneCall("update of a row by id", update, MOST_OF_A_WRITE),
        OneCall("upsert of a row there", lambda place, number: upsert(place, new(number % ROWS, 0)), MOST_OF_A_WRITE),
        OneCall("upsert of a new row", lambda place, number: upsert(place, new(number, 20 * ROWS)), MOST_OF_A_WRITE),
        OneCall("delete of a row by id", lambda place, number: place.written.delete(f"id = {number}"), MOST_OF_A_WRITE),
    ]


def prepared(places: Mapping[str, Place], call: OneCall) -> dict[str, Callable[[int], Callable[[], object]]]:
    """The call, made once before."""
    for place in places.values():
        call.make(place, next(place.numbers))
    return {name: partial(_next, call, place) for name, place in places.items()}


def _next(call: OneCall, place: Place, _: int) -> Callable[[], object]:
    return partial(call.make, place, next(place.numbers))


def beginning(library: str, folder: Path, _: int) -> Callable[[], Elsewhere]:
    code = BEGINNING.format(library=library, folder=str(folder), ndims=NDIMS, k=K)

    def begin() -> Elsewhere:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return Elsewhere(done.stdout)

    return begin


def row(call: OneCall, times: Mapping[str, Times]) -> list[str]:
    ours, theirs = times["lancelike"], times["lancedb"]
    medians = (ms(each.percentile_s(50)) for each in (ours, theirs))
    return [call.title, *medians, ratio(ours.ratio(theirs), ours.ratio_of_best(theirs))]


def goal(call: OneCall, times: Mapping[str, Times]) -> Goal:
    reached = times["lancelike"].ratio(times["lancedb"])
    return Goal(f"{call.title}: time over lancedb's", f"≤ {call.most:g}", f"{reached:.2f}", reached <= call.most)
