"""How fast rows that have their vectors are added, and in how much memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.data import NDIMS, SCHEMA, as_arrow, as_dicts, clustered
from benchmarks.memory import peak_growth_bytes
from benchmarks.report import Goal, Section, Table, ms, ratio, say
from benchmarks.scale import Scale, fresh_folder
from benchmarks.timing import Times, interleave

ROW_BYTES = NDIMS * 4
LEAST_SPEED = 0.9
MOST_KEPT = 0.1
"""Of the bytes by which a stream is longer, how many the peak may be higher."""


def run(scale: Scale) -> Section:
    tables, goals = [], []
    for form, rows in forms(clustered(scale.add_rows, 0).vectors).items():
        say(f"add: {form}")
        times = interleave(
            {each.name: partial(adding, each, scale.folder / "add", rows) for each in CONTESTANTS},
            passes=scale.add_passes,
        )
        tables.append(as_table(f"{scale.add_rows:,} rows from {form}", times, scale.add_rows))
        goals.append(speed_goal(form, times))
    say("add: memory")
    memory = {each.name: [peak_of(each.name, rows, scale) for rows in scale.stream_rows] for each in CONTESTANTS}
    return Section(
        "Add: rows with their vectors",
        text(scale),
        [*tables, memory_table(scale, memory)],
        [*goals, memory_goal(scale, memory)],
    )


def forms(vectors: NDArray[np.float32]) -> dict[str, Any]:
    """The same rows in each form that `add` takes."""
    arrow = as_arrow(vectors)
    return {
        "an Arrow table": arrow,
        "a pandas frame": pd.DataFrame({"id": arrow["id"], "text": arrow["text"].to_pylist(), "vector": list(vectors)}),
        "a list of dicts": as_dicts(vectors),
    }


def text(scale: Scale) -> str:
    return (
        f"One `add` to an empty table: an id, a short text, {NDIMS} float32. pylance is "
        '`lance.write_dataset(rows, dataset, schema, mode="append")`. The vectors of the pandas frame and of the dicts '
        "are numpy arrays. lancelike writes an Arrow table of 64 MB or more to a file for each core, side by side, and "
        f"pylance's call writes one. {scale.add_passes} passes, each into a new table, right after the same `add` by "
        "the same library, which isn't timed, and with nothing of it left to be written to disk or, of Arrow's memory, "
        "to be given back. Else each would be timed in what the one before it left: a virtual machine gives its host "
        "what memory is let go of, and to have that again, for the pages of files too, can take three times as long as "
        "the `add`. Memory is the growth of the peak resident set "
        "during one `add` of a stream whose batches are made as they are read, in a fresh process after one small "
        f"`add`; the median of such processes, {scale.stream_passes} each."
    )


def adding(contestant: type[Contestant], folder: Path, rows: Any, _: int) -> Callable[[], None]:
    """The `add` to time, to a new and empty table, in the memory that another one by the same contestant has left."""
    emptied(contestant, folder).add(rows)
    return partial(emptied(contestant, folder).add, rows)


def emptied(contestant: type[Contestant], folder: Path) -> Contestant:
    """*contestant* with a new and empty table, and nothing left of an earlier one."""
    each = contestant(fresh_folder(folder))
    each.create(SCHEMA)
    os.sync()  # else it waits for what was written before
    pa.default_memory_pool().release_unused()  # and gives back what was used before
    return each


def as_table(title: str, times: dict[str, Times], rows: int) -> Table:
    header = ["", "best ms", "p50 ms", "rows/s, best", "speed over pylance", "speed over lancedb"]
    body = [
        [
            name,
            *(ms(each.best_s), ms(each.percentile_s(50)), f"{rows / each.best_s:,.0f}"),
            *(ratio(times[to].ratio(each), times[to].ratio_of_best(each)) for to in ("pylance", "lancedb")),
        ]
        for name, each in times.items()
    ]
    return Table(title, [header, *body])


def speed_goal(form: str, times: dict[str, Times]) -> Goal:
    speed = times["pylance"].ratio(times["lancelike"])
    return Goal(
        f"add from {form}: speed over `lance.write_dataset`'s", f"≥ {LEAST_SPEED}", f"{speed:.2f}", speed >= LEAST_SPEED
    )


def peak_of(contestant: str, rows: int, scale: Scale) -> float:
    return float(np.median([peak_growth_bytes(contestant, rows) for _ in range(scale.stream_passes)]))


def memory_table(scale: Scale, memory: dict[str, list[float]]) -> Table:
    header = ["", *(f"{rows:,} rows, MiB" for rows in scale.stream_rows)]
    streamed = ["the stream itself", *(f"{rows * ROW_BYTES / 2**20:.0f}" for rows in scale.stream_rows)]
    body = [[name, *(f"{peak / 2**20:.0f}" for peak in peaks)] for name, peaks in memory.items()]
    return Table("Peak memory of adding a stream", [header, streamed, *body])


def memory_goal(scale: Scale, memory: dict[str, list[float]]) -> Goal:
    (few, many), (low, high) = scale.stream_rows, memory["lancelike"]
    kept = (high - low) / ((many - few) * ROW_BYTES)
    what = "memory for a longer stream: bytes kept of those added to it"
    return Goal(what, f"≤ {MOST_KEPT}", f"{kept:.2f}", kept <= MOST_KEPT)
