"""Searching through an IVF index in memory: recall is the index's, distances are exact, and no row is out of reach."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lancelike
from lancelike.index import HnswSq, IvfFlat, IvfPq, IvfRq, IvfSq
from lancelike.query import Query
from lancelike.query.plan import VectorColumn
from lancelike.search import Searcher, exact, pruned
from lancelike.search.exact import exact_distances
from lancelike.search.pruned import Probes
from lancelike.storage import index as indices
from lancelike.storage import indexing, maintenance, memory, needed, products
from lancelike.storage.dataset import Dataset
from lancelike.storage.held import RowsNeeded
from lancelike.storage.ivf import IvfIndex
from lancelike.storage.location import Location
from lancelike.storage.memory import VectorCache
from tests.fuzzing import examples

from .conftest import Make, vectors_column

NDIMS = 8
EVERYTHING = 1 << 40
METRICS = ["l2", "cosine", "dot"]
PARTITIONS = 5


def rows(count: int, first: int, rng: np.random.Generator) -> pa.Table:
    """Rows around a few centres; some without a vector."""
    centres = np.random.default_rng(0).standard_normal((7, NDIMS))
    vectors = (centres[rng.integers(7, size=count)] + 0.3 * rng.standard_normal((count, NDIMS))).astype(np.float32)
    column = vectors_column(vectors)
    column = pa.FixedSizeListArray.from_arrays(column.values, type=column.type, mask=pa.array(rng.random(count) < 0.05))
    return pa.table({"id": range(first, first + count), "n": rng.integers(0, 9, count), "vector": column})


def contents(dataset: Dataset, condition: str | None = None) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Ids, ascending, and vectors of the rows that have one."""
    found = dataset.lance.to_table(columns=["id", "vector"], filter=condition).sort_by("id")
    found = found.filter(found["vector"].is_valid())
    return found["id"].to_numpy(), np.array(found["vector"].to_pylist(), np.float32).reshape(-1, NDIMS)


def check_whole(dataset: Dataset, searcher: Searcher, query: NDArray[np.float32], **asked: Any) -> None:
    """With all partitions the answer is numpy's; with the default effort too, of so few rows."""
    ids, vectors = contents(dataset, asked.get("filter"))
    metric = metric_of(dataset, asked)
    distances = exact_distances(vectors, query, metric)
    kept = np.ones(len(ids), np.bool_)
    if asked.get("upper_bound") is not None:
        kept = distances.astype(np.float32) < asked["upper_bound"]
    order = np.argsort(distances[kept], kind="stable")[:20]
    efforts: list[dict[str, Any]] = [
        {},
        {"minimum_nprobes": PARTITIONS, "maximum_nprobes": PARTITIONS},
        {"minimum_nprobes": 1},
    ]
    for probes in efforts:
        found = searcher.table(Query(vector=query, limit=20, **asked, **probes))
        np.testing.assert_allclose(found["_distance"].to_numpy(), distances[kept][order], rtol=1e-6, atol=1e-6)
        its_own = distances[np.searchsorted(ids, found["id"].to_numpy())]  # of rows as near, any may be the last
        np.testing.assert_allclose(found["_distance"].to_numpy(), its_own, rtol=1e-6, atol=1e-6)
        assert len(set(found["id"].to_pylist())) == len(order)


def metric_of(dataset: Dataset, asked: dict[str, Any]) -> Any:
    index = indices.index_on(dataset, "vector")
    return asked.get("distance_type") or (index.metric if index else "l2")


class Story:
    """A table with an index, and what happens to it."""

    def __init__(self, directory: str, seed: int, metric: Any, stable: bool) -> None:
        self.rng, self.added, self.metric = np.random.default_rng(seed), 600, metric
        self.dataset = Dataset.create(
            Location(directory), "t", rows(600, 0, self.rng).to_reader(), stable_row_ids=stable
        )
        self.build()

    def build(self) -> None:
        config = IvfFlat(distance_type=self.metric, num_partitions=PARTITIONS, sample_rate=8, max_iterations=4)
        indexing.create_vector_index(self.dataset, "vector", config)

    def add(self) -> None:
        self.dataset.append(rows(60, self.added, self.rng).to_reader())
        self.added += 60

    def cover(self) -> None:
        indices.cover_new_rows(self.dataset, "vector_idx", 0)

    def merge_segments(self) -> None:
        indices.cover_new_rows(self.dataset, "vector_idx", 2)

    def delete(self) -> None:
        self.dataset.delete(f"n = {self.rng.integers(9)}")

    def update(self) -> None:
        self.dataset.update({"n": "n + 1"}, f"n = {self.rng.integers(9)}")

    def move(self) -> None:
        """Gives some rows other vectors."""
        value = ", ".join(["0.5"] * NDIMS)
        sql = f"arrow_cast(make_array({value}), 'FixedSizeList({NDIMS}, Float32)')"
        self.dataset.update({"vector": sql}, f"id % 40 = {self.rng.integers(40)}")

    def compact(self) -> None:
        maintenance.compact_files(self.dataset)


ACTIONS = [
    *(Story.add, Story.cover, Story.merge_segments, Story.delete),
    *(Story.update, Story.move, Story.compact, Story.build),
]


@settings(max_examples=examples(12))
@given(
    st.integers(0, 1000),
    st.sampled_from(METRICS),
    st.booleans(),
    st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5),
    st.sampled_from([{}, {"filter": "n > 2"}, {"filter": "id < 20"}, {"upper_bound": 1.5}, {"distance_type": "l2"}]),
)
def test_whatever_happens_every_row_is_found(
    seed: int, metric: Any, stable: bool, actions: list[Any], asked: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        story, cache = Story(directory, seed, metric, stable), VectorCache(EVERYTHING)
        searcher, query = Searcher(story.dataset, cache=cache), story.rng.standard_normal(NDIMS).astype(np.float32)
        for action in (None, *actions):
            if action is not None:
                action(story)
            assert "by the index's partitions" in searcher.explain(Query(vector=query)), action
            check_whole(story.dataset, searcher, query, **asked)
        past = story.dataset.at(max(1, story.dataset.version - 2))
        check_whole(past, Searcher(past, cache=cache), query, **asked)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [IvfFlat, IvfSq, IvfPq, IvfRq, HnswSq])
def test_a_few_partitions_find_as_much_as_lance_does(make: Make, kind: Any, metric: Any) -> None:
    rng = np.random.default_rng(1)
    dataset = make(rows(3000, 0, rng))
    indexing.create_vector_index(dataset, "vector", kind(distance_type=metric, num_partitions=16, sample_rate=32))
    memory_, lance = Searcher(dataset, cache=VectorCache(EVERYTHING)), Searcher(dataset)
    ids, vectors = contents(dataset)
    ours: list[float] = []
    theirs: list[float] = []
    for query in rng.standard_normal((20, NDIMS)).astype(np.float32):
        kth = np.sort(exact_distances(vectors, query, metric))[9]
        asked = Query(vector=query, minimum_nprobes=2, maximum_nprobes=2)
        for searcher, recalls in ((memory_, ours), (lance, theirs)):
            found = searcher.table(asked)["id"].to_numpy()
            near = exact_distances(vectors[np.searchsorted(ids, found)], query, metric) <= kth + 1e-6
            recalls.append(np.count_nonzero(near) / 10)
    assert np.mean(ours) >= np.mean(theirs) - 0.005


def indexed(make: Make, count: int = 2000, partitions: int = 16) -> Dataset:
    dataset = make(rows(count, 0, np.random.default_rng(2)))
    indexing.create_vector_index(dataset, "vector", IvfFlat(num_partitions=partitions, sample_rate=32))
    return dataset


def test_more_partitions_are_looked_into_until_a_filter_has_left_enough(make: Make) -> None:
    dataset = indexed(make)
    searcher, query = Searcher(dataset, cache=VectorCache(EVERYTHING)), np.ones(NDIMS, np.float32)
    few = Query(vector=query, filter="id % 100 = 3", limit=10, minimum_nprobes=1)
    assert searcher.table(few).num_rows == 10
    bounded = Query(vector=query, filter="id % 100 = 3", limit=10, minimum_nprobes=1, maximum_nprobes=1)
    assert searcher.table(bounded).num_rows < 10


@pytest.mark.parametrize(
    ("probes", "count"),
    [(Probes(), 3), (Probes(2, 2), 2), (Probes(1, None), 3), (Probes(4), 4), (Probes(None, 2), 2), (Probes(1, 9), 1)],
)
def test_how_many_partitions(probes: Probes, count: int) -> None:
    assert probes.counts(np.full((1, 5), 10), enough=25, k=5).tolist() == [count]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("spread", "most"), [(0.02, 0.35), (3.0, 1.0)])
def test_how_many_rows_it_takes_is_learnt_from_the_rows(
    make: Make, monkeypatch: pytest.MonkeyPatch, metric: Any, spread: float, most: float
) -> None:
    """Few where they lie in clusters, many where they don't: recall is high for queries that are no rows."""
    for module, name in ((needed, "LEAST_BYTES"), (pruned, "LEAST_BYTES"), (pruned, "ENOUGH_PER_RESULT")):
        monkeypatch.setattr(module, name, 0)
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((40, NDIMS))
    drawn = (centres[rng.integers(40, size=4100)] + spread * rng.standard_normal((4100, NDIMS))).astype(np.float32)
    vectors, queries = drawn[:4000], drawn[4000:]
    dataset, cache = make(pa.table({"id": range(4000), "vector": vectors_column(vectors)})), VectorCache(EVERYTHING)
    indexing.create_vector_index(dataset, "vector", IvfFlat(distance_type=metric, num_partitions=40, sample_rate=32))
    held = cache.hold(dataset.frozen(), VectorColumn("vector", NDIMS, pa.float32()))
    assert held is not None
    assert held.partitions is not None
    assert held.partitions.needed is not None
    assert held.partitions.needed.of(10) <= most * 4000
    assert list(held.partitions.needed.rows) == sorted(held.partitions.needed.rows)
    found = Searcher(dataset, cache=cache).table(Query(vector=queries))["id"].to_numpy().reshape(100, 10)
    near = [np.argsort(exact_distances(vectors, query, metric))[:10] for query in queries]
    assert np.mean([len(set(ours) & set(theirs)) / 10 for ours, theirs in zip(found, near, strict=True)]) >= 0.95


def test_for_more_results_it_takes_more_rows() -> None:
    known = RowsNeeded((50, 80, 200, 500, 900))
    assert [known.of(k) for k in (1, 10, 11, 100, 1000, 2000)] == [50, 50, 80, 200, 900, 1800]


def test_a_small_segment_needs_its_share_of_rows() -> None:
    """So that searches look at no more of the table once new rows are in the index."""
    known = RowsNeeded((50, 80, 200, 500, 900))
    assert RowsNeeded.together([(known, 2000)]) == known
    assert RowsNeeded.together([(known, 2000), (known, 3000)]) == RowsNeeded((100, 160, 400, 1000, 1800))
    assert RowsNeeded.together([(known, 2000), (None, 200), (None, 1)]) == RowsNeeded((56, 89, 221, 551, 991))
    assert RowsNeeded.together([(known, 2000), (None, 2000)]) is None
    assert RowsNeeded.together([(None, 10)]) is None


def test_fast_search_leaves_out_what_the_index_does_not_cover(make: Make) -> None:
    dataset = indexed(make)
    searcher, query = Searcher(dataset, cache=VectorCache(EVERYTHING)), np.full(NDIMS, 9, np.float32)
    dataset.append(pa.table({"id": [5000], "n": [1], "vector": vectors_column(query[np.newaxis])}))
    assert searcher.table(Query(vector=query, limit=1))["id"].to_pylist() == [5000]
    assert searcher.table(Query(vector=query, limit=1, fast_search=True))["id"].to_pylist() != [5000]


def test_an_index_that_is_not_trained_yet(make: Make) -> None:
    dataset = make(rows(300, 0, np.random.default_rng(2)))
    indexing.create_vector_index(dataset, "vector", IvfPq(num_partitions=2), train=False)
    check_whole(dataset, Searcher(dataset, cache=VectorCache(EVERYTHING)), np.ones(NDIMS, np.float32))


def test_partitions_that_are_not_those_of_the_centroids(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pylance's merging of segments leaves them: every row is compared with."""
    dataset = indexed(make)
    monkeypatch.setattr(IvfIndex, "num_nearer", lambda self, vectors, partitions: np.ones(len(vectors), np.intp))
    searcher, query = Searcher(dataset, cache=VectorCache(EVERYTHING)), np.ones(NDIMS, np.float32)
    check_whole(dataset, searcher, query)
    assert "exact: the index's partitions are not" in searcher.explain(Query(vector=query))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("at_once", [1, 2000, 1 << 20])
@pytest.mark.parametrize(
    "asked",
    [
        {"minimum_nprobes": 3, "maximum_nprobes": 3},
        {"minimum_nprobes": 1, "maximum_nprobes": 9, "filter": "n > 4"},
        {"minimum_nprobes": 2, "maximum_nprobes": 2, "fast_search": True, "upper_bound": 2.5},
        {"minimum_nprobes": 2, "maximum_nprobes": 2, "lower_bound": 0.5, "offset": 2},
        {"bypass_vector_index": True},
        {"bypass_vector_index": True, "filter": "n > 4"},
    ],
)
def test_several_queries_are_answered_as_one_by_one(
    make: Make, monkeypatch: pytest.MonkeyPatch, metric: Any, at_once: int, asked: dict[str, Any]
) -> None:
    """Of rows that are in partitions, were given other vectors, are newer than the index, or were deleted."""
    for name in ("MOST_PRODUCTS", "RANKED_AT_ONCE"):
        monkeypatch.setattr(exact, name, at_once)
    monkeypatch.setattr(products, "PRODUCTS_AT_ONCE", 100)
    rng = np.random.default_rng(5)
    dataset = make(rows(2000, 0, rng))
    indexing.create_vector_index(dataset, "vector", IvfFlat(distance_type=metric, num_partitions=16, sample_rate=32))
    dataset.append(rows(100, 2000, rng).to_reader())
    dataset.update({"n": "n + 1"}, "n = 3")
    dataset.delete("n = 1")
    searcher = Searcher(dataset, cache=VectorCache(EVERYTHING))
    queries = rng.standard_normal((30, NDIMS)).astype(np.float32)
    check_together(searcher, queries, limit=4, **asked)


def check_together(searcher: Searcher, queries: NDArray[np.float32], **asked: Any) -> None:
    """Each of *queries* finds in the others' company what it finds alone."""
    together = searcher.table(Query(vector=queries, **asked))
    alone = [searcher.table(Query(vector=query, **asked)) for query in queries]
    for name in ("id", "_distance"):
        assert together[name].to_pylist() == [value for each in alone for value in each[name].to_pylist()]
    assert together["query_index"].to_pylist() == [i for i, each in enumerate(alone) for _ in range(each.num_rows)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0, 1, 1000])
@pytest.mark.parametrize("condition", ["n > 4", "id % 50 = 3", "id < 0", "id >= 2000"])
def test_a_filter_leaves_the_same_however_its_rows_are_read(
    make: Make, monkeypatch: pytest.MonkeyPatch, metric: Any, share: int, condition: str
) -> None:
    """Copied for all queries or for each, or where they are held, among the others."""
    rng = np.random.default_rng(6)
    dataset = make(rows(2000, 0, rng))
    indexing.create_vector_index(dataset, "vector", IvfFlat(distance_type=metric, num_partitions=16, sample_rate=32))
    dataset.append(rows(100, 2000, rng).to_reader())
    dataset.delete("n = 1")
    searcher = Searcher(dataset, cache=VectorCache(EVERYTHING))
    queries = rng.standard_normal((5, NDIMS)).astype(np.float32)
    asked: dict[str, Any] = {"minimum_nprobes": 2, "maximum_nprobes": 9, "filter": condition}
    before = [searcher.table(Query(vector=query, **asked)) for query in queries]
    for module in (exact, pruned):
        monkeypatch.setattr(module, "FULL_SCAN_SHARE", share)
    check_together(searcher, queries, **asked)
    assert [searcher.table(Query(vector=query, **asked)) for query in queries] == before


def test_the_index_answers_while_vectors_are_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first search reads none; the second has them read by a thread; then they are used."""
    monkeypatch.setattr(memory, "MOST_READ_AT_ONCE", 1000)
    dataset, cache = indexed(make), VectorCache(EVERYTHING)
    searcher, query = Searcher(dataset, cache=cache), Query(vector=np.ones(NDIMS, np.float32))
    assert "the next search has them read" in searcher.explain(query)
    searcher.table(query)
    searcher.explain(query)
    assert cache.held_bytes == 0
    expected = searcher.table(query)["id"].to_pylist()
    until = time.monotonic() + 20
    while "MemorySearch" not in searcher.explain(query):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert searcher.table(query)["id"].to_pylist() == expected


def test_prewarming_reads_the_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_READ_AT_ONCE", 0)
    some = rows(500, 0, np.random.default_rng(2))
    table = lancelike.connect(tmp_path).create_table("t", some.filter(some["vector"].is_valid()))
    table.create_index("vector", config=IvfFlat(num_partitions=2))
    assert "ANN" in table.search(np.ones(NDIMS)).explain_plan()
    table.prewarm_index("vector_idx")
    assert "by the index's partitions" in table.search(np.ones(NDIMS)).explain_plan()


EXITING = """
import sys, time
import lancelike, numpy as np, threading
from lancelike.storage import gathering, loading, memory
memory.MOST_READ_AT_ONCE = 0
take = gathering.Gatherer.take
def slowly(self, batch):
    time.sleep(0.2)
    take(self, batch)
gathering.Gatherer.take = slowly
loading.flat_batch_rows = lambda column: 10
table = lancelike.connect(sys.argv[1]).open_table("t0")
for _ in range(2):
    table.search(np.ones(8, np.float32)).to_list()
assert any(each.name == "lancelike-vectors" for each in threading.enumerate())
"""


def test_exit_does_not_wait_for_vectors(make: Make, tmp_path: Path) -> None:
    """2 000 rows, of which 10 are read in 0.2 s: all would take 40."""
    indexed(make)
    done = subprocess.run(
        [sys.executable, "-c", EXITING, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
