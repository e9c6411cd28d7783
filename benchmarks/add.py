"""How fast rows that have their vectors are added, and in how much memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.data import NDIMS, SCHEMA, as_arrow, as_dicts, clustered
from benchmarks.memory import peak_growth_bytes
from benchmarks.report import Goal, Section, Table, ms, ratio, say
from benchmarks.scale import Scale
from benchmarks.timing import Times, interleave

LEAST_SPEED = 0.9
MOST_GROWTH = 1.15
"""Of the peak memory from a stream to one four times as long."""


def run(scale: Scale) -> Section:
    vectors = clustered(scale.add_rows, 0).vectors
    arrow = as_arrow(vectors)
    forms: dict[str, Any] = {
        "an Arrow table": arrow,
        "a pandas frame": pd.DataFrame({"id": arrow["id"], "text": arrow["text"].to_pylist(), "vector": list(vectors)}),
        "a list of dicts": as_dicts(vectors),
    }
    tables, goals = [], []
    for form, rows in forms.items():
        say(f"add: {form}")
        times = interleave({each.name: partial(adding, each, scale.folder / "add", rows) for each in CONTESTANTS},
                           passes=scale.add_passes)
        tables.append(as_table(f"{scale.add_rows:,} rows from {form}", times, scale.add_rows))
        goals.append(speed_goal(form, times))
    say("add: memory")
    memory = {each.name: [peak_growth_bytes(each.name, rows) for rows in scale.stream_rows] for each in CONTESTANTS}
    return Section("Add: rows with their vectors", text(scale), [*tables, memory_table(scale, memory)],
                   [*goals, memory_goal(memory)])


def text(scale: Scale) -> str:
    return (
        f"One `add` to an empty table: an id, a short text, {NDIMS} float32. pylance is "
        '`lance.write_dataset(rows, dataset, schema, mode="append")`. The vectors of the pandas frame and of the dicts '
        f"are numpy arrays. {scale.add_passes} passes, each into a new table. Memory is the growth of the peak resident "
        "set during one `add` of a stream whose batches are made as they are read, in a fresh process after one small "
        "`add`."
    )


def adding(contestant: type[Contestant], folder: Path, rows: Any, _: int) -> Callable[[], None]:
    """The `add` to time, to a new and empty table."""
    shutil.rmtree(folder, ignore_errors=True)
    each = contestant(folder)
    each.create(SCHEMA)
    return partial(each.add, rows)


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
    return Goal(f"add from {form}: speed over `lance.write_dataset`'s", f"≥ {LEAST_SPEED}", f"{speed:.2f}", speed >= LEAST_SPEED)


def memory_table(scale: Scale, memory: dict[str, list[int]]) -> Table:
    header = ["", *(f"{rows:,} rows, MiB" for rows in scale.stream_rows)]
    body = [[name, *(f"{peak / 2**20:.0f}" for peak in peaks)] for name, peaks in memory.items()]
    return Table("Peak memory of adding a stream", [header, *body])


def memory_goal(memory: dict[str, list[int]]) -> Goal:
    short, long = memory["lancelike"]
    growth = long / short
    return Goal("memory for a stream four times as long", f"≤ {MOST_GROWTH} times", f"{growth:.2f}", growth <= MOST_GROWTH)
