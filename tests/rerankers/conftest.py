"""Results of two searches over the same rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

TEXTS = {1: "apple pie", 2: "apple tart", 3: "beef stew", 4: "noodle soup", 5: "lemon cake"}


def vector_rows(row_ids: list[int]) -> pa.Table:
    """Rows as a search by vector returns them, a tenth of distance between one and the next."""
    return pa.table(
        {
            "text": pa.array([TEXTS[row_id] for row_id in row_ids], pa.string()),
            "_rowid": pa.array(row_ids, pa.uint64()),
            "_distance": pa.array([place / 10 for place in range(1, len(row_ids) + 1)], pa.float32()),
        }
    )


def fts_rows(row_ids: list[int]) -> pa.Table:
    """Rows as a full-text search returns them, the first with the score 0.9, and a tenth between one and the next."""
    return pa.table(
        {
            "text": pa.array([TEXTS[row_id] for row_id in row_ids], pa.string()),
            "_rowid": pa.array(row_ids, pa.uint64()),
            "_score": pa.array([1 - place / 10 for place in range(1, len(row_ids) + 1)], pa.float32()),
        }
    )


@pytest.fixture
def nearest() -> pa.Table:
    """Rows 1, 2, 3."""
    return vector_rows([1, 2, 3])


@pytest.fixture
def matching() -> pa.Table:
    """Rows 2, 4, 1."""
    return fts_rows([2, 4, 1])


def scores_by_row(results: pa.Table) -> dict[int, float]:
    return dict(zip(results["_rowid"].to_pylist(), results["_relevance_score"].to_pylist(), strict=True))
