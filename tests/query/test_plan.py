"""A query becomes the arguments of one scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lancelike.errors import QueryError
from lancelike.query import ColumnOrdering, Query
from lancelike.query.plan import Scan, VectorColumn, plan_scan

COLUMN = VectorColumn("vector", 4, pa.float32())
ONE = np.arange(4, dtype=np.float32)
TWO = np.stack([ONE, ONE])


def plan(**changes: Any) -> Scan:
    return plan_scan(Query(**{"vector": ONE, **changes}), COLUMN, "l2")


def test_a_scan_reads_rows() -> None:
    scan = plan_scan(Query(filter="a > 1", columns=["a"], limit=3, offset=1))
    assert scan.nearest is None
    assert (scan.filter, scan.columns, scan.limit, scan.offset) == ("a > 1", ["a"], 3, 1)
    assert not scan.with_row_id


def test_a_sorted_scan_carries_row_ids() -> None:
    assert plan_scan(Query(order_by=(ColumnOrdering(column_name="a"),))).with_row_id


def test_a_search_by_default_asks_for_ten_rows_of_twenty_partitions() -> None:
    scan = plan()
    assert scan.nearest is not None
    np.testing.assert_array_equal(scan.nearest.pop("q"), ONE)
    assert scan.nearest == {
        "column": "vector",
        "k": 10,
        "metric": "l2",
        "minimum_nprobes": 20,
        "maximum_nprobes": 20,
        "use_index": True,
    }
    assert scan.prefilter
    assert (scan.limit, scan.offset, scan.columns) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), (20, 20)),
        ((5, None), (5, 20)),
        ((30, None), (30, 30)),
        ((None, 5), (5, 5)),
        ((None, 40), (20, 40)),
        ((None, 0), (20, None)),
        ((30, 0), (30, None)),
        ((7, 7), (7, 7)),
    ],
)
def test_a_bound_of_nprobes_makes_way_for_the_one_given(
    given: tuple[int | None, int | None], expected: tuple[int, int | None]
) -> None:
    nearest = plan(minimum_nprobes=given[0], maximum_nprobes=given[1]).nearest
    assert nearest is not None
    assert (nearest["minimum_nprobes"], nearest.get("maximum_nprobes")) == expected


def test_an_offset_widens_the_search() -> None:
    scan = plan(limit=5, offset=3)
    assert scan.nearest is not None
    assert (scan.nearest["k"], scan.limit, scan.offset) == (8, 5, 3)
    batch = plan(vector=TWO, limit=5, offset=3)
    assert batch.nearest is not None
    assert (batch.nearest["k"], batch.limit, batch.offset) == (8, None, None)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (None, None),
        (["a"], ["a", "_distance"]),
        (["_distance", "a"], ["_distance", "a"]),
        ({"b": "a + 1"}, {"b": "a + 1", "_distance": "_distance"}),
        ({"_distance": "_distance * 2"}, {"_distance": "_distance * 2"}),
    ],
)
def test_the_distance_is_asked_for(columns: Any, expected: Any) -> None:
    assert plan(columns=columns).columns == expected


def test_options_that_are_set_are_passed_on() -> None:
    scan = plan(refine_factor=3, ef=50, lower_bound=0.5, bypass_vector_index=True, fast_search=True, postfilter=True)
    assert scan.nearest is not None
    assert scan.nearest["refine_factor"] == 3
    assert scan.nearest["ef"] == 50
    assert scan.nearest["distance_range"] == (0.5, None)
    assert not scan.nearest["use_index"]
    assert not scan.fast_search
    assert plan(fast_search=True).fast_search
    assert not scan.prefilter


@pytest.mark.parametrize("vector", [ONE[:3], TWO[:, :3]])
def test_a_wrong_length_names_the_column_and_both_lengths(vector: Any) -> None:
    with pytest.raises(QueryError, match="column 'vector' holds vectors of 4 values; the query has 3"):
        plan(vector=vector)


def test_bytes_are_searched_with_bytes() -> None:
    column = VectorColumn("bits", 4, pa.uint8())
    scan = plan_scan(Query(vector=np.array([0, 1, 255, 7])), column)
    assert scan.nearest is not None
    assert scan.nearest["q"].tolist() == [0, 1, 255, 7]
    for bad in ([0.5, 0, 0, 0], [256, 0, 0, 0], [-1, 0, 0, 0]):
        with pytest.raises(QueryError, match="column 'bits' holds bytes"):
            plan_scan(Query(vector=np.array(bad)), column)


def test_a_double_column_keeps_the_query_double() -> None:
    scan = plan_scan(Query(vector=np.full(4, 0.1)), VectorColumn("v", 4, pa.float64()))
    assert scan.nearest is not None
    assert scan.nearest["q"].tolist() == [0.1] * 4


def test_a_query_too_large_for_the_column() -> None:
    with pytest.raises(QueryError, match="too large for float32: up to 1e\\+300"):
        plan(vector=np.full(4, 1e300))


@pytest.mark.parametrize(("asked", "ef"), [({}, 50), ({"refine_factor": 20}, 200), ({"limit": 60, "offset": 5}, 65)])
def test_a_walk_is_wide_enough_for_the_candidates(asked: dict[str, Any], ef: int) -> None:
    """Lance refuses a narrower one, which in memory is of no effect."""
    scan = plan(ef=50, **asked)
    assert scan.nearest is not None
    assert scan.nearest["ef"] == ef
