"""A quick look at every goal, beside the runs that were kept: what a change made slower is marked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.lines import Line

KEPT = Path(__file__).parent / "kept.json"
RUNS = 5
"""Runs that are kept, the newest last."""
NOISE = 1.3
"""Times the largest of the runs kept, from which on a kind of work is slower, if both its ratio and its own time are.
Two runs of one tree differed by a quarter, and by twice in their ratios where lancedb took half its time in one."""
LOST_RECALL = 0.02

Kept: TypeAlias = Mapping[str, Mapping[str, float]]
"""Of one run: `ratio`, `ms`, and `recall` of what is found, by kind of work."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A kind of work now, and in the runs kept.

    Attributes:
        work: What is done.
        cells: lancelike's figure and lancedb's.
        now: `ratio`, time over lancedb's; `ms`, of a call; `recall`, of what is found, if that isn't exact.
        before: Those of the runs kept.
    """

    work: str
    cells: tuple[str, str]
    now: Mapping[str, float]
    before: Sequence[Mapping[str, float]]

    @property
    def verdict(self) -> str:
        """What is worse; `""`: nothing."""
        if not self.before:
            return "new"
        if "recall" in self.now and self.now["recall"] < min(self._before("recall"), default=0) - LOST_RECALL:
            return "FINDS LESS"
        is_slower = all(self.now[name] > NOISE * max(self._before(name)) for name in ("ratio", "ms"))
        return "SLOWER" if is_slower else ""

    @property
    def is_worse(self) -> bool:
        return self.verdict.isupper()

    def row(self) -> list[str]:
        ratios = self._before("ratio")
        before = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""
        found = f"{self.now['recall']:.3f}" if "recall" in self.now else ""
        return [self.work, *self.cells, f"{self.now['ratio']:.2f}", before, found, self.verdict]

    def _before(self, name: str) -> list[float]:
        return [run[name] for run in self.before if name in run]


HEADER = ["", "lancelike", "lancedb", "time over lancedb's", "in runs kept", "recall", ""]


def compare(lines: Iterable[Line], runs: Sequence[Kept]) -> list[Compared]:
    return [
        Compared(
            line.work,
            (line.figure("lancelike"), line.figure("lancedb")),
            facts(line),
            [run[line.work] for run in runs if line.work in run],
        )
        for line in lines
    ]


def facts(line: Line) -> dict[str, float]:
    ours = line.times["lancelike"]
    found = {} if line.recall is None else {"recall": round(line.recall, 3)}
    return {"ratio": round(ours.ratio(line.times["lancedb"]), 4), "ms": round(1e3 * ours.percentile_s(50), 4), **found}


def table(compared: Iterable[Compared]) -> str:
    """As columns of text."""
    rows = [HEADER, *(each.row() for each in compared)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(_padded, range(len(row)), row, widths)).rstrip() for row in rows)


def _padded(column: int, cell: str, width: int) -> str:
    return cell.rjust(width) if 0 < column < len(HEADER) - 1 else cell.ljust(width)


def summary(compared: Sequence[Compared]) -> str:
    worse = [each.work for each in compared if each.is_worse]
    if not worse:
        return f"none of {len(compared)} kinds of work is worse than in the runs kept"
    return (
        f"worse than in the runs kept: {'; '.join(worse)}. Run it again with nothing else at work; "
        "where it stays so, a change did it"
    )


def kept_runs(path: Path = KEPT) -> list[Kept]:
    """The runs kept, the oldest first."""
    runs: list[Kept] = json.loads(path.read_text()) if path.exists() else []
    return runs


def keep(compared: Iterable[Compared], path: Path = KEPT) -> None:
    """Add a run to those kept."""
    runs = [*kept_runs(path), {each.work: each.now for each in compared}][-RUNS:]
    path.write_text(_written(runs) + "\n")


def _written(runs: Sequence[Kept]) -> str:
    """As JSON, with a line for each kind of work."""
    each = (",\n  ".join(f"{json.dumps(work)}: {json.dumps(found)}" for work, found in run.items()) for run in runs)
    return "[\n " + ",\n ".join(f"{{\n  {lines}\n }}" for lines in each) + "\n]"
