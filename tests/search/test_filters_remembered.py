"""Filters that are asked for again: what they left is remembered, of the version that they were asked of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from lancelike.index import IvfFlat, IvfSq
from lancelike.query import Query
from lancelike.query.plan import VectorColumn
from lancelike.search import Searcher, exact, from_memory, run
from lancelike.search.from_memory import MemorySearch, read_together
from lancelike.storage import addressing, indexing, maintenance
from lancelike.storage.dataset import Dataset
from lancelike.storage.filtered import Filtered, KeptFilters
from lancelike.storage.memory import FILTERS_SHARE, VectorCache
from lancelike.storage.parts import bytes_of

from .conftest import Make, vectors_column

NDIMS, ROWS = 8, 2000
COLUMN = VectorColumn("vector", NDIMS, pa.float32())
EVERYTHING = 1 << 40
CONDITION = "price < 0.25 AND kind IN ('a', 'b')"


def rows(number: int = ROWS, first: int = 0) -> pa.Table:
    rng = np.random.default_rng(first)
    return pa.table(
        {
            "id": range(first, first + number),
            "price": rng.random(number),
            "kind": [("a", "b", "c")[i % 3] for i in range(first, first + number)],
            "vector": vectors_column(rng.standard_normal((number, NDIMS)).astype(np.float32)),
        }
    )


def vector(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(1000 + seed).standard_normal(NDIMS).astype(np.float32)


def expected(dataset: Dataset, query: NDArray[np.float32], condition: str, k: int = 10) -> list[int]:
    """Ids of the nearest by numpy, of the rows that Lance's own filter leaves."""
    left = dataset.lance.to_table(filter=condition)
    vectors = np.stack(left["vector"].to_numpy(zero_copy_only=False)).astype(np.float64)
    order = np.argsort(((vectors - query) ** 2).sum(axis=1), kind="stable")[:k]
    ids: list[int] = left["id"].to_numpy()[order].tolist()
    return ids


@pytest.fixture
def asked_of_lance(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The filters whose rows Lance looked for."""
    asked: list[str] = []

    def spying(dataset: Dataset, condition: str) -> Any:
        asked.append(condition)
        return addressing.addresses_where(dataset, condition)

    monkeypatch.setattr(from_memory, "addresses_where", spying)
    return asked


class Asking:
    """A table, searched under a filter, and compared with numpy."""

    def __init__(self, dataset: Dataset, limit_bytes: int = EVERYTHING) -> None:
        self.dataset, self.cache, self._seeds = dataset, VectorCache(limit_bytes), count()

    def __call__(self, condition: str = CONDITION, **how: Any) -> None:
        seed = next(self._seeds)
        query = Query(vector=vector(seed), filter=condition, limit=10, **how)
        found = Searcher(self.dataset, cache=self.cache).table(query)
        assert found["id"].to_pylist() == expected(self.dataset, vector(seed), condition)
        assert found["kind"].to_pylist() == [("a", "b", "c")[i % 3] for i in found["id"].to_pylist()]

    def plan(self, condition: str = CONDITION, **how: Any) -> str:
        query = Query(vector=vector(), filter=condition, **how)
        return Searcher(self.dataset, cache=self.cache).explain(query)


@pytest.mark.parametrize("config", [None, IvfFlat(num_partitions=8, sample_rate=16), IvfSq(num_partitions=8)])
def test_what_a_filter_left_is_asked_of_lance_once(make: Make, asked_of_lance: list[str], config: Any) -> None:
    asking = Asking(make(rows()))
    if config is not None:
        indexing.create_vector_index(asking.dataset, "vector", config)
    assert "RememberedRows" not in asking.plan()
    for _ in range(4):
        asking()
    assert asked_of_lance == [CONDITION]
    assert "RememberedRows" in asking.plan()


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset.append(rows(40, ROWS).to_reader()),
        lambda dataset: dataset.delete("id % 2 = 0"),
        lambda dataset: dataset.update({"price": "1 - price"}, "id < 500"),
        lambda dataset: (dataset.delete("id < 700"), maintenance.compact_files(dataset)),
        lambda dataset: dataset.overwrite(rows(300)),
    ],
    ids=["append", "delete", "update", "compact", "overwrite"],
)
def test_other_versions_are_asked_anew(make: Make, change: Callable[[Dataset], Any]) -> None:
    asking = Asking(make(rows()))
    for _ in range(3):
        asking()
    change(asking.dataset)
    assert "RememberedRows" not in asking.plan()
    for _ in range(3):
        asking()


def test_ways_that_share_a_filter_differ_as_before(make: Make) -> None:
    """Copies of the rows that a filter leaves are no answer where it is met after the search, or of some partitions."""
    dataset = make(rows())
    indexing.create_vector_index(dataset, "vector", IvfFlat(num_partitions=16, sample_rate=32))
    dataset.append(rows(200, ROWS).to_reader())
    ways: list[dict[str, Any]] = [
        {"postfilter": True},
        {"minimum_nprobes": 1, "maximum_nprobes": 1},
        {"fast_search": True},
        {"distance_type": "dot"},
        {"lower_bound": 6.0},
    ]
    queries = [Query(vector=vector(), filter=CONDITION, limit=10, **way) for way in ways]
    alone = [Searcher(dataset, cache=VectorCache(EVERYTHING)).table(query) for query in queries]
    asking = Asking(dataset)
    for _ in range(3):
        asking()
    assert [Searcher(dataset, cache=asking.cache).table(query) for query in queries] == alone


def test_a_filter_that_calls_a_function_is_asked_anew(make: Make, asked_of_lance: list[str]) -> None:
    asking = Asking(make(rows()))
    for _ in range(3):
        asking("price < abs(0.25)")
    assert len(asked_of_lance) == 3


def test_it_takes_no_more_than_it_may(make: Make) -> None:
    dataset, vectors_bytes = make(rows()), bytes_of(ROWS, COLUMN)
    for limit in (vectors_bytes + 5_000, 2 * vectors_bytes):
        asking = Asking(dataset, limit)
        for bound in range(10, 40):
            for _ in range(3):
                asking(f"price < 0.{bound}")
            assert asking.cache.held_bytes <= limit
            assert asking.cache._filters.nbytes <= limit // FILTERS_SHARE
        assert len(asking.cache._columns) == 1  # no vectors made way


def test_what_is_forgotten_takes_nothing(make: Make) -> None:
    asking = Asking(make(rows()))
    for _ in range(3):
        asking()
    asking.cache.forget(asking.dataset.location, asking.dataset.name)
    assert asking.cache.held_bytes == 0
    asking()


def test_the_least_recently_asked_for_goes_first(make: Make) -> None:
    dataset = make(rows())
    held = VectorCache(EVERYTHING).hold(dataset, COLUMN)
    assert held is not None
    filtered, kept = Filtered(held, np.arange(100)), KeptFilters()
    for condition in ("a", "b"):
        kept.keep(("", "", "", (1, 1), condition), filtered, 2 * filtered.nbytes)
    assert kept.get(("", "", "", (1, 1), "a")) is filtered
    kept.keep(("", "", "", (1, 1), "c"), filtered, 2 * filtered.nbytes)
    assert [kept.get(("", "", "", (1, 1), condition)) is filtered for condition in "abc"] == [True, False, True]
    assert kept.nbytes == 2 * filtered.nbytes


def test_several_threads_are_answered_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make(rows())
    asking = Asking(dataset)
    for _ in range(3):
        asking()
    sizes: list[int] = []
    ranked: list[int] = []
    began, may_go_on = threading.Event(), threading.Event()

    def reading(searches: Sequence[MemorySearch]) -> list[Callable[[], pa.Table]]:
        sizes.append(len(searches))
        began.set()
        assert may_go_on.wait(20)
        return read_together(searches)

    def ranking(held: Any, queries: NDArray[Any], *args: Any, **how: Any) -> Any:
        ranked.append(len(queries))
        return exact.nearest(held, queries, *args, **how)

    monkeypatch.setattr(run, "read_together", reading)
    monkeypatch.setattr(from_memory, "nearest", ranking)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(asking)
        assert began.wait(20)
        others = [pool.submit(asking) for _ in range(3)]
        while sum(map(len, run._together._waiting.values())) < 3:
            assert not first.done()
        may_go_on.set()
        for each in (first, *others):
            each.result(20)
    assert sizes == ranked == [1, 3]
