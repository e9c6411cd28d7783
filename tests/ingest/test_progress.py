from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lancelike.ingest import ingest

SCHEMA = pa.schema([("id", pa.int64())])


def run(data: Any, progress: Any) -> None:
    for _ in ingest(data, SCHEMA, progress=progress):
        pass


def test_a_callable_is_told_counts_and_the_end() -> None:
    told: list[dict[str, Any]] = []
    run((pa.record_batch({"id": [i, i]}) for i in range(3)), told.append)
    assert [state["output_rows"] for state in told] == [2, 4, 6, 6]
    assert [state["total_rows"] for state in told] == [None, None, None, 6]
    assert [state["done"] for state in told] == [False, False, False, True]
    assert told[-1].keys() == {
        "output_rows",
        "output_bytes",
        "total_rows",
        "elapsed_seconds",
        "rows_per_second",
        "seconds_left",
        "active_tasks",
        "total_tasks",
        "done",
        "embedded",
        "reused",
        "failed",
    }
    assert told[-1]["output_bytes"] == 48


def test_totals_are_known_for_lists() -> None:
    told: list[dict[str, Any]] = []
    run([{"id": 1}, {"id": 2}], told.append)
    assert [state["total_rows"] for state in told] == [2, 2]


def test_a_bar_is_shown_and_closed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    run([{"id": 1}, {"id": 2}], True)
    assert "2/2" in capsys.readouterr().err


def test_the_callers_bar_is_moved_and_left_open() -> None:
    class Bar:
        total: int | None = None
        n = 0
        closed = False

        def update(self, n: int) -> None:
            self.n += n

        def close(self) -> None:
            self.closed = True

    bar = Bar()
    run([{"id": 1}, {"id": 2}], bar)
    assert (bar.total, bar.n, bar.closed) == (2, 2, False)


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="progress is True, a callable or a tqdm, not 'yes'"):
        ingest([], SCHEMA, progress="yes")
