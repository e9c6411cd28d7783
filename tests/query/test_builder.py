"""Builders change their own query, check at once, and hand it to the runner they were given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lancelike.errors import QueryError
from lancelike.query import (
    ColumnOrdering,
    LanceEmptyQueryBuilder,
    LanceQueryBuilder,
    LanceVectorQueryBuilder,
    Query,
)
from lancelike.query.results import Answer


class Recorder:
    """A runner that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def table(self, query: Query, timeout_s: float | None = None) -> pa.Table:
        self.asked.append((query, timeout_s))
        return pa.table({"id": [1]})

    def answer(self, query: Query, timeout_s: float | None = None) -> Answer:
        return Answer(self.table(query, timeout_s))

    def batches(
        self, query: Query, batch_size: int | None = None, timeout_s: float | None = None
    ) -> pa.RecordBatchReader:
        self.asked.append((query, batch_size, timeout_s))
        return pa.table({"id": [1]}).to_reader()

    def explain(self, query: Query, verbose: bool = False) -> str:
        return f"plan {verbose}"

    def analyze(self, query: Query) -> str:
        return "figures"

    def output_schema(self, query: Query) -> pa.Schema:
        return pa.schema([("id", pa.int64())])


@pytest.fixture
def near() -> LanceVectorQueryBuilder:
    return LanceVectorQueryBuilder(Recorder(), Query(vector=np.zeros(4, np.float32)))


@pytest.fixture
def scan() -> LanceEmptyQueryBuilder:
    return LanceEmptyQueryBuilder(Recorder(), Query())


def test_each_method_sets_its_field(near: LanceVectorQueryBuilder) -> None:
    query = (
        near.where("a > 1")
        .where("b < 2", prefilter=False)
        .select(["a", "b"])
        .limit(7)
        .offset(2)
        .with_row_id()
        .with_row_address()
        .fragment_ids([3, 4])
        .order_by([ColumnOrdering(column_name="a"), {"column_name": "b", "ascending": False}])
        .distance_type("Cosine")
        .nprobes(9)
        .refine_factor(5)
        .ef(40)
        .distance_range(0.5, 1.5)
        .bypass_vector_index()
        .fast_search()
        .to_query_object()
    )
    assert query.filter == "(a > 1) AND (b < 2)"
    assert query.postfilter
    assert query.columns == ["a", "b"]
    assert (query.limit, query.offset) == (7, 2)
    assert query.with_row_id
    assert query.with_row_address
    assert query.fragments == (3, 4)
    assert query.order_by is not None
    assert [(key.column_name, key.ascending, key.nulls_first) for key in query.order_by] == [
        ("a", True, False),
        ("b", False, False),
    ]
    assert query.distance_type == "cosine"
    assert (query.minimum_nprobes, query.maximum_nprobes) == (9, 9)
    assert (query.refine_factor, query.ef) == (5, 40)
    assert (query.lower_bound, query.upper_bound) == (0.5, 1.5)
    assert query.bypass_vector_index
    assert query.fast_search


def test_a_call_whose_result_is_dropped_still_counts(scan: LanceEmptyQueryBuilder) -> None:
    before = scan.to_query_object()
    scan.where("a > 1")
    assert scan.to_query_object().filter == "a > 1"
    assert before.filter is None


def test_a_scan_without_limit(scan: LanceEmptyQueryBuilder) -> None:
    for limit in (None, 0, -1):
        assert scan.limit(5).limit(limit).to_query_object().limit is None
    assert scan.offset(-3).offset(None).to_query_object().offset == 0


def test_numbers_are_whole(near: LanceVectorQueryBuilder, scan: LanceEmptyQueryBuilder) -> None:
    query = near.limit(3.0).offset(np.int64(2)).nprobes(4.0).to_query_object()  # type: ignore[arg-type]  # as LanceDB
    assert [query.limit, query.offset, query.minimum_nprobes] == [3, 2, 4]
    assert {type(query.limit), type(query.offset), type(query.maximum_nprobes)} == {int}
    for refused in ("3", 2.5, float("nan"), [1]):
        for method in (near.limit, scan.limit, scan.offset, near.nprobes, near.maximum_nprobes, near.ef):
            with pytest.raises(QueryError, match="must be a whole number, got"):
                method(refused)  # type: ignore[arg-type]  # what a script may pass


@pytest.mark.parametrize("limit", [None, 0, -1])
def test_a_vector_search_has_a_limit(near: LanceVectorQueryBuilder, limit: int | None) -> None:
    with pytest.raises(QueryError, match="Limit is required for ANN/KNN queries"):
        near.limit(limit)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q: q.nprobes(0), "nprobes must be greater than 0"),
        (lambda q: q.minimum_nprobes(0), "minimum_nprobes must be greater than 0"),
        (lambda q: q.maximum_nprobes(-1), "maximum_nprobes must not be negative"),
        (
            lambda q: q.minimum_nprobes(5).maximum_nprobes(4),
            "maximum_nprobes must be greater than or equal to minimum_nprobes",
        ),
        (
            lambda q: q.maximum_nprobes(5).minimum_nprobes(6),
            "minimum_nprobes must be less than or equal to maximum_nprobes",
        ),
        (lambda q: q.refine_factor(0), "refine_factor must be greater than 0"),
        (lambda q: q.ef(-1), "ef must be greater than 0"),
        (lambda q: q.metric("euclidean"), "Invalid distance type 'euclidean'.  Must be one of l2, cosine, dot"),
        (lambda q: q.select("id"), "columns must be a list or a dictionary"),
        (lambda q: q.select(3), "columns must be a list or a dictionary"),
        (lambda q: q.where(3), "no SQL text"),
        (lambda q: q.select({"a": 3}), "no SQL text"),
        (lambda q: q.to_batches(0), "batch_size must be greater than 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(
    near: LanceVectorQueryBuilder, change: Callable[[LanceVectorQueryBuilder], object], words: str
) -> None:
    with pytest.raises(QueryError, match=words):
        change(near)


def test_no_bound_on_nprobes(near: LanceVectorQueryBuilder) -> None:
    assert near.minimum_nprobes(5).maximum_nprobes(0).minimum_nprobes(30).to_query_object().maximum_nprobes == 0


def test_a_scan_has_no_vector_methods(scan: LanceEmptyQueryBuilder) -> None:
    assert not hasattr(scan, "nprobes")
    assert isinstance(scan, LanceQueryBuilder)


def test_expressions_say_themselves_in_sql(scan: LanceEmptyQueryBuilder) -> None:
    class Twice:
        def to_sql(self) -> str:
            return "a * 2"

    query = scan.select({"b": Twice(), "c": "a"}).where(Twice()).where(None).to_query_object()
    assert query.columns == {"b": "a * 2", "c": "a"}
    assert query.filter == "a * 2"


def test_no_columns_are_all_columns(scan: LanceEmptyQueryBuilder) -> None:
    nothing: list[Any] = [None, [], {}]
    for columns in nothing:
        assert scan.select(columns).to_query_object().columns is None


def test_fragments_by_object_or_id(scan: LanceEmptyQueryBuilder) -> None:
    class Fragment:
        fragment_id = 8

    assert scan.with_fragments([Fragment(), 2]).to_query_object().fragments == (8, 2)
    assert scan.with_fragments(None).to_query_object().fragments is None


def test_the_runner_gets_the_query_and_seconds() -> None:
    runner = Recorder()
    builder = LanceEmptyQueryBuilder(runner, Query()).limit(3)
    wait = timedelta(milliseconds=1500)
    assert builder.to_list(timeout=wait) == [{"id": 1}]
    assert builder.to_pandas(timeout=wait)["id"].tolist() == [1]
    assert builder.to_polars(timeout=wait)["id"].to_list() == [1]
    assert builder.to_batches(10, timeout=wait).read_all().num_rows == 1
    assert runner.asked == [(builder.to_query_object(), *rest) for rest in [(1.5,), (1.5,), (1.5,), (10, 1.5)]]
    assert builder.explain_plan(True) == "plan True"
    assert builder.analyze_plan() == "figures"
    assert builder.output_schema().names == ["id"]
    assert "limit=3" in repr(builder)


def test_to_df_is_an_old_name(scan: LanceEmptyQueryBuilder) -> None:
    with pytest.warns(DeprecationWarning, match="to_pandas"):
        assert scan.to_df()["id"].tolist() == [1]
