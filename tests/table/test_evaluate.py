"""`evaluate`: recall against the exact scan, on rows held out or on questions given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import lancelike
from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.index import IvfFlat, IvfPq, IvfSq
from lancelike.query import Query
from lancelike.search import Searcher
from lancelike.search.recall import recall_interval

NDIMS = 16
ROWS = 2_000


def column(vectors: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def stored(path: Path, vectors: NDArray[Any], *, in_memory: bool = True) -> lancelike.Table:
    database = lancelike.connect(path, vector_cache_bytes=None if in_memory else 0)
    return database.create_table("rows", pa.table({"id": range(len(vectors)), "vector": column(vectors)}))


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((ROWS, NDIMS), dtype=np.float32)


@pytest.fixture(params=[True, False], ids=["in memory", "through Lance"])
def table(request: pytest.FixtureRequest, tmp_path: Path, vectors: NDArray[np.float32]) -> lancelike.Table:
    return stored(tmp_path, vectors, in_memory=request.param)


def test_a_table_without_index_finds_all(table: lancelike.Table) -> None:
    report = table.evaluate(k=5, sample=20)
    assert (report.k, report.recall, report.high, report.queries) == (5, 1.0, 1.0, 20)
    assert 0.8 < report.low < 1
    assert report.p50_ms > 0
    assert report.settings["index"] is None
    assert report.settings["distance_type"] == "l2"


def test_recall_is_what_the_searches_have(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    """Counted again by hand, with questions given."""
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=IvfPq(num_partitions=20, num_sub_vectors=2))
    queries = np.random.default_rng(2).standard_normal((30, NDIMS), dtype=np.float32)
    report = table.evaluate(queries=queries)
    shares = []
    for query in queries:
        exact = ((vectors - query) ** 2).sum(axis=1).argsort()[:10]
        found = table.search(query).limit(10).to_arrow()["id"].to_numpy()
        shares.append(len(set(exact) & set(found)) / 10)
    assert report.queries == 30
    assert report.recall == pytest.approx(np.mean(shares))
    assert report.low < report.recall < report.high < 1
    assert dict(report.settings) == {
        "index": "vector_idx",
        "index_type": "IVF_PQ",
        "distance_type": "l2",
        "in_memory": False,
        "nprobes": 20,
        "refine_factor": 10,
    }


def test_a_poor_index_is_told_from_the_exact_scan(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=IvfPq(num_partitions=200, num_sub_vectors=2))
    report = table.evaluate(sample=50)
    assert report.recall < 0.99
    assert report.settings["refine_factor"] == 10


def test_a_row_does_not_find_itself(tmp_path: Path) -> None:
    """Pairs of the same vector far from all others: recall@1 is of the twin."""
    corners = 100 * np.eye(NDIMS, dtype=np.float32)
    report = stored(tmp_path, np.concatenate([corners, corners])).evaluate(k=1, sample=2 * NDIMS)
    assert (report.recall, report.queries) == (1.0, 2 * NDIMS)


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_rows_as_near_as_the_last_count(tmp_path: Path, metric: Any) -> None:
    """All rows have one of two vectors: any ten of a kind are the answer, whichever the index gives."""
    kinds = np.random.default_rng(3).standard_normal((2, NDIMS), dtype=np.float32)
    table = stored(tmp_path, kinds[np.arange(600) % 2], in_memory=False)
    table.create_index("vector", config=IvfPq(distance_type=metric, num_partitions=1, num_sub_vectors=4))
    report = table.evaluate(sample=20)
    assert report.recall == 1.0
    assert report.settings["distance_type"] == metric


def test_bytes_by_hamming_distance(tmp_path: Path) -> None:
    codes = np.random.default_rng(4).integers(0, 4, (1000, 8)).astype(np.uint8)
    table = stored(tmp_path, codes)
    assert table.evaluate(sample=10).settings["distance_type"] == "hamming"
    table.create_index("vector", config=IvfFlat(distance_type="hamming", num_partitions=1))
    assert table.evaluate(sample=10).recall == 1.0


def test_several_vectors_a_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = [rng.standard_normal((3, 4)).astype(np.float32).tolist() for _ in range(40)]
    kind = pa.list_(pa.list_(pa.float32(), 4))
    table = lancelike.connect(tmp_path).create_table("rows", pa.table({"vector": pa.array(rows, kind)}))
    table.create_index("vector", config=IvfFlat(distance_type="cosine", num_partitions=1))
    assert table.evaluate(sample=10).recall == 1.0
    assert table.evaluate(queries=rows[:3]).queries == 3


def test_several_vectors_a_row_through_an_index(tmp_path: Path) -> None:
    """Lance finds rows by some of their vectors: the nearest are among more candidates, and distances are made anew."""
    rng = np.random.default_rng(8)
    values = rng.standard_normal((4_500, NDIMS)).astype(np.float32)
    several = pa.ListArray.from_arrays(pa.array(range(0, 4_501, 3), pa.int32()), column(values))
    table = lancelike.connect(tmp_path, vector_cache_bytes=0).create_table("rows", pa.table({"vector": several}))
    table.create_index("vector", config=IvfFlat(distance_type="cosine", num_partitions=2))
    report = table.evaluate(sample=30)
    assert report.settings["refine_factor"] == 30
    assert report.recall > 0.8
    question = rng.standard_normal((3, NDIMS)).astype(np.float32)
    found, exact = (table.search(question).limit(1), table.search(question).limit(1).bypass_vector_index())
    assert found.to_arrow()["_distance"].equals(exact.to_arrow()["_distance"])
    assert table.tune(0.95, sample=20).settings["refine_factor"] > 1


@pytest.mark.parametrize("config", [IvfPq(num_partitions=2, num_sub_vectors=4), IvfSq(num_partitions=2)])
def test_distances_through_codes_are_exact_and_so_are_bounds(
    tmp_path: Path, vectors: NDArray[np.float32], config: Any
) -> None:
    """Lance would hold the codes' distances against the bounds, and then lack rows."""
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=config)
    question = np.random.default_rng(9).standard_normal(NDIMS, dtype=np.float32)
    exact = np.sort(((vectors - question) ** 2).sum(axis=1))
    low, high = float(exact[10]), float(exact[25])
    for lower, upper, expected in [(None, high, exact[:25]), (0.0, high, exact[:25]), (low, high, exact[10:25])]:
        bounded = table.search(question).distance_range(lower, upper).refine_factor(40).limit(30)
        np.testing.assert_allclose(bounded.to_arrow()["_distance"].to_numpy(), expected, rtol=1e-5)
    several = table.search([question, question]).distance_range(None, high).refine_factor(40).limit(30)
    assert several.to_arrow().num_rows == 50
    nearest = table.search(question).limit(3).to_arrow()
    again = ((vectors[nearest["id"].to_numpy()] - question) ** 2).sum(axis=1)
    np.testing.assert_allclose(nearest["_distance"].to_numpy(), again, rtol=1e-5)


def test_the_same_seed_draws_the_same_rows(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=IvfPq(num_partitions=20, num_sub_vectors=2))
    recalls = [table.evaluate(sample=10, seed=seed).recall for seed in (1, 1, 2, 3, 4)]
    assert recalls[0] == recalls[1]
    assert len(set(recalls)) > 1


def test_rows_without_a_vector_are_not_drawn(tmp_path: Path) -> None:
    values = [[float(i), 1.0] if i % 4 == 0 else None for i in range(100)] + [[0.0, 0.0]]
    rows = pa.table({"a b": pa.array(values, pa.list_(pa.float32(), 2))})
    table = lancelike.connect(tmp_path).create_table("rows", rows)
    report = table.evaluate(k=3, vector_column_name="a b")
    assert (report.queries, report.recall) == (25, 1.0)


def test_a_column_in_a_struct(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    inner = pa.StructArray.from_arrays([column(vectors)], ["vector"])
    table = lancelike.connect(tmp_path).create_table("rows", pa.table({"inner": inner}))
    assert table.evaluate(sample=5).recall == 1.0


def test_questions_in_words(docs: lancelike.Table) -> None:
    report = docs.evaluate(k=2, queries=["read a file", "hello"])
    assert (report.queries, report.recall) == (2, 1.0)


def test_one_vector_is_one_question(table: lancelike.Table) -> None:
    assert table.evaluate(queries=np.ones(NDIMS)).queries == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": ROWS}, f"recall@{ROWS} needs {ROWS} rows with a vector beside the one searched by"),
        ({"k": 0}, "at least 1 row, not of 0"),
        ({"sample": 0}, "at least 1 query, not on 0"),
        ({"k": "ten"}, "k must be a whole number, got 'ten'"),
        ({"sample": 1.5}, "sample must be a whole number, got 1.5"),
        ({"vector_column_name": "id"}, "'id' holds no vectors"),
        ({"queries": np.ones((2, 3))}, "vectors of 16 values; the query has 3"),
        ({"queries": ["a text"]}, "no registered embedding function"),
        ({"queries": []}, "non-empty"),
        ({"k": ROWS + 1, "queries": np.ones((1, NDIMS))}, f"recall@{ROWS + 1} needs"),
    ],
)
def test_what_cannot_be_measured_is_an_error(
    tmp_path: Path, vectors: NDArray[np.float32], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        stored(tmp_path, vectors).evaluate(**asked)


def test_tables_without_vectors(tmp_path: Path) -> None:
    database = lancelike.connect(tmp_path)
    with pytest.raises(QueryError, match="no vector column"):
        database.create_table("ids", [{"id": 1}]).evaluate()
    empty = database.create_table("empty", schema=pa.schema([("vector", pa.list_(pa.float32(), 4))]))
    with pytest.raises(QueryError, match="no vector to search by"):
        empty.evaluate()
    with pytest.raises(ColumnNotFoundError):
        empty.evaluate(vector_column_name="other")


def test_the_interval() -> None:
    """Wilson's at p = 0.9, n = 100 is 0.826 to 0.945; queries that agree in nothing say less than their rows."""
    scattered = np.array([1.0] * 90 + [0.0] * 10)
    low, high = recall_interval(scattered, 10)
    assert (low, high) == pytest.approx((0.826, 0.945), abs=2e-3)
    alike = np.array([0.9] * 100)
    assert recall_interval(alike, 10)[0] > low
    perfect = recall_interval(np.ones(100), 10)
    assert perfect == pytest.approx((0.963, 1.0), abs=1e-3)
    assert recall_interval(np.array([0.5]), 10)[0] < 0.15


def test_through_lance_as_many_rows_are_looked_at_as_in_memory(tmp_path: Path) -> None:
    """So few vectors would be read whole in memory: every partition is probed, unless nprobes is given."""
    vectors = np.random.default_rng(3).standard_normal((8_000, 16), dtype=np.float32)
    rows = pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16)})
    table = lancelike.connect(tmp_path, vector_cache_bytes=0).create_table("t", rows)
    table.create_index("vector", config=IvfFlat(num_partitions=100))
    assert "minimum_nprobes=100" in table.search(vectors[0]).explain_plan()
    assert "minimum_nprobes=20" in table.search(vectors[0]).nprobes(20).explain_plan()
    assert table.evaluate(sample=20).recall == 1


def test_the_nearest_one_is_found_as_well_as_ten_are(tmp_path: Path) -> None:
    """Through coarse codes, and whether rows or questions ask: as many candidates are refined."""
    rng = np.random.default_rng(5)
    vectors, questions = (rng.standard_normal((count, 64), dtype=np.float32) for count in (4_000, 60))
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=IvfPq(num_partitions=2, num_sub_vectors=8))
    of_ten, of_one = table.evaluate(k=10, queries=questions), table.evaluate(k=1, queries=questions)
    assert (of_ten.settings["refine_factor"], of_one.settings["refine_factor"]) == (10, 100)
    assert of_one.recall > of_ten.recall
    assert "refine_factor=34;" in table.search(questions[0]).limit(1).offset(2).explain_plan()


@pytest.mark.parametrize("k", [1, 10])
def test_the_row_that_asks_is_one_candidate_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    """What is measured is what others get: not a factor of candidates more for the row itself."""
    vectors = np.random.default_rng(6).standard_normal((1_000, 16), dtype=np.float32)
    table = stored(tmp_path, vectors, in_memory=False)
    table.create_index("vector", config=IvfPq(num_partitions=2, num_sub_vectors=4))
    asked, run = list[Query](), Searcher.table

    def spy(searcher: Searcher, query: Query) -> pa.Table:
        asked.append(query)
        return run(searcher, query)

    monkeypatch.setattr(Searcher, "table", spy)
    promised = table.evaluate(k=k, sample=5).settings["refine_factor"] * k
    candidates = [(query.limit or 0) * query.refine_factor - 1 for query in asked if query.refine_factor]
    assert len(candidates) == 6
    assert all(abs(count - promised) <= 0.02 * promised for count in candidates)
