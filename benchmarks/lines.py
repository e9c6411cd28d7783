"""A line of the table of goals: one kind of work, by lancelike, by lancedb, and by who else does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import lancedb
import lancedb.index
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import lancelike
import lancelike.index
from benchmarks.contestants import K
from benchmarks.scale import Scale
from benchmarks.timing import Times, interleave

LIBRARIES: Mapping[str, Any] = {"lancelike": lancelike, "lancedb": lancedb}
Call: TypeAlias = Callable[[int], object]
"""What is timed, given the number of a job."""
HEADER = ["", *LIBRARIES, "time over lancedb's", "elsewhere", "time over the best's there", "goal", "singly", ""]


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of work.

    Attributes:
        work: What is done, and on how much.
        times: Of `"lancelike"`, of `"lancedb"`, and of others.
        goal: Milliseconds, or units of work a second.
        size: Of the data that the goal is for; None: any.
        measured_size: Of the data here.
        units: Done in one timed call; None: the figure is the time of a call, in ms.
        recall: Share of the nearest that lancelike found; None: nothing is searched, or exactly.
        least_recall: Which the goal asks for.
        note: What else was found.
        singly: Times of the same calls, where each was made after one of every other's.
    """

    work: str
    times: Mapping[str, Times]
    goal: float
    size: int | None = None
    measured_size: int | None = None
    units: float | None = None
    recall: float | None = None
    least_recall: float = 0.0
    note: str = ""
    singly: Mapping[str, Times] | None = None

    def figure(self, name: str) -> str:
        """Median milliseconds of a call, or units a second."""
        return f"{shown(self._number(name))}{' ms' if self.units is None else '/s'}"

    @property
    def bound(self) -> str:
        sized = "" if self.size in (None, self.measured_size) else f", for {self.size:,}"
        found = f", recall ≥ {self.least_recall}" if self.least_recall else ""
        return (f"≤ {shown(self.goal)} ms" if self.units is None else f"≥ {shown(self.goal)}/s") + found + sized

    @property
    def measured(self) -> str:
        return self.figure("lancelike") + (f", recall {self.recall:.3f}" if self.least_recall else "")

    @property
    def met(self) -> bool:
        ours = self._number("lancelike")
        is_fast = ours <= self.goal if self.units is None else ours >= self.goal
        return is_fast and (self.recall or 0.0) >= self.least_recall

    def cells(self) -> list[str]:
        ours, others = self.times["lancelike"], [name for name in self.times if name not in LIBRARIES]
        best = min(others, key=lambda name: self.times[name].percentile_s(50), default=None)
        return [
            *(self.work, *map(self.figure, LIBRARIES), f"{ours.ratio(self.times['lancedb']):.2f}"),
            ", ".join(f"{name} {self.figure(name)}" for name in others),
            f"{ours.ratio(self.times[best]):.2f}" if best else "",
            *(self.bound, self._told_singly(), self.note),
        ]

    def _told_singly(self) -> str:
        if self.singly is None:
            return ""
        ours, theirs = self.singly["lancelike"], self.singly["lancedb"]
        return f"{shown(1e3 * ours.percentile_s(50))} ms, {ours.ratio(theirs):.2f} of lancedb's"

    def _number(self, name: str) -> float:
        median_s = self.times[name].percentile_s(50)
        return 1e3 * median_s if self.units is None else self.units / median_s


def shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def calls(contestants: Mapping[str, Any], call: Callable[[Any, int], object]) -> dict[str, Call]:
    """*call* of each, which is given the contestant and the number of a job."""
    return {name: partial(call, each) for name, each in contestants.items()}


def asked_both_ways(each: Mapping[str, Call], *, jobs: int, passes: int) -> dict[str, dict[str, Times]]:
    """`times` and `singly` of a line: of each one's calls in a row, and of one after one of every other's."""
    return {
        "times": timed(each, jobs=jobs, passes=passes, in_a_row=True),
        "singly": timed(each, jobs=jobs, passes=passes),
    }


def timed(each: Mapping[str, Call], *, jobs: int = 1, passes: int = 1, in_a_row: bool = False) -> dict[str, Times]:
    """Times of the calls, made once before."""
    for call in each.values():
        call(0)
    return timed_cold(each, jobs=jobs, passes=passes, in_a_row=in_a_row)


def timed_cold(each: Mapping[str, Call], *, jobs: int = 1, passes: int = 1, in_a_row: bool = False) -> dict[str, Times]:
    """As `timed`, with nothing made before."""
    prepared = {name: partial(_prepared, call) for name, call in each.items()}
    return interleave(prepared, jobs=jobs, passes=passes, in_a_row=in_a_row)


def _prepared(call: Call, job: int) -> Callable[[], object]:
    return partial(call, job)


def filled(scale: Scale, name: str, rows: pa.Table, **settings: Any) -> dict[str, Any]:
    """A table of each library's with *rows*; *settings* are of lancelike's `connect`."""
    tables = {}
    for library, module in LIBRARIES.items():
        own = settings if library == "lancelike" else {}
        database = module.connect(folder_of(scale, name, library), **own)
        tables[library] = database.create_table("rows", rows, schema=rows.schema)
    return tables


def folder_of(scale: Scale, name: str, library: str) -> Path:
    return scale.folder / f"goals-{name}-{library}"


def found(table: Any, vectors: NDArray[np.float32]) -> pa.Table:
    """All columns of the K rows nearest to a vector, or to each of several."""
    return table.search(vectors).limit(K).to_arrow()
