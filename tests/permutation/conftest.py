"""A table of numbers, on disk and in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import lancelike


def numbers(rows: int) -> pa.Table:
    vectors = pa.array([[float(n), 1.0] for n in range(rows)], pa.list_(pa.float32(), 2))
    return pa.table({"id": range(rows), "kind": [f"k{n % 5}" for n in range(rows)], "vector": vectors})


@pytest.fixture(params=["disk", "memory"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> lancelike.Table:
    """Rows with ids 0 to 99, in two fragments."""
    db = lancelike.connect(tmp_path / "db" if request.param == "disk" else "memory://")
    table = db.create_table("numbers", numbers(103).slice(0, 60))
    table.add(numbers(103).slice(60))
    table.delete("id >= 100")
    return table


@pytest.fixture
def stored(tmp_path: Path) -> lancelike.Table:
    """Rows with ids 0 to 99, on disk."""
    return lancelike.connect(tmp_path / "stored").create_table("numbers", numbers(100))
