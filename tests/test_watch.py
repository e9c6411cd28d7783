"""What `make bench-quick` makes of a run: slower work is marked, noise isn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lancedb")

from benchmarks import watch
from benchmarks.lines import Line
from benchmarks.timing import Times

SCAN = "no index, 50,000 rows"


def line(ratio: float, recall: float | None = None, work: str = SCAN) -> Line:
    """A kind of work that takes *ratio* of lancedb's 10 ms."""
    times = {"lancelike": Times(np.full((3, 2), 0.01 * ratio)), "lancedb": Times(np.full((3, 2), 0.01))}
    return Line(work, times, 15.0, recall=recall)


def kept(ratio: float, **others: float) -> dict[str, float]:
    return {"ratio": ratio, "ms": 10 * ratio, **others}


@pytest.mark.parametrize(
    ("ratio", "recall", "verdict"),
    [
        (0.1, 1.0, ""),
        (0.2 * 1.29, 1.0, ""),
        (0.2 * 1.31, 1.0, "SLOWER"),
        (0.01, 0.96, ""),
        (0.01, 0.9, "FINDS LESS"),
    ],
)
def test_what_is_worse_than_in_all_runs_kept_is_marked(ratio: float, recall: float, verdict: str) -> None:
    runs = [{SCAN: kept(0.1, recall=1.0)}, {SCAN: kept(0.2, recall=0.97)}, {"other": kept(1)}]
    (found,) = watch.compare([line(ratio, recall)], runs)
    assert found.verdict == verdict
    assert found.is_worse == bool(verdict)
    assert (SCAN in watch.summary([found])) == bool(verdict)


def test_a_ratio_that_is_larger_as_lancedb_was_faster_is_no_worse() -> None:
    (found,) = watch.compare([line(0.5)], [{SCAN: {"ratio": 0.2, "ms": 5.0}}])
    assert (found.verdict, found.is_worse) == ("", False)


def test_work_that_no_run_has_is_new_and_not_worse() -> None:
    (found,) = watch.compare([line(3.0)], [{"other": kept(0.1)}])
    assert (found.verdict, found.is_worse) == ("new", False)


def test_a_line_for_each_kind_of_work_with_its_ratio() -> None:
    runs = [{SCAN: kept(0.08)}, {SCAN: kept(0.123)}]
    shown = watch.table(watch.compare([line(0.5), line(0.25, 0.98, "default index")], runs)).splitlines()
    assert shown[1].split() == [*SCAN.split(), "5", "ms", "10", "ms", "0.50", "0.08", "to", "0.12", "SLOWER"]
    assert shown[2].split() == ["default", "index", "2.5", "ms", "10", "ms", "0.25", "0.980", "new"]


def test_the_newest_runs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    assert watch.kept_runs(path) == []
    for number in range(watch.RUNS + 2):
        watch.keep(watch.compare([line(0.1 * number, 1.0)], []), path)
    assert [run[SCAN] for run in watch.kept_runs(path)] == [
        {"ratio": pytest.approx(0.1 * n), "ms": pytest.approx(n), "recall": 1.0} for n in range(2, 7)
    ]
