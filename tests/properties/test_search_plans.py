"""Whichever way a search goes, through Lance or memory, by an index or past it, its answer is numpy's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lancelike.index import IvfFlat
from lancelike.query import Query
from lancelike.query.plan import Scan
from lancelike.search import Searcher, exact
from lancelike.storage import index as indices
from lancelike.storage import indexing, maintenance, mapped, versions
from lancelike.storage import vectors as vectors_
from lancelike.storage.dataset import Dataset
from lancelike.storage.location import Location
from lancelike.storage.memory import VectorCache
from tests.fuzzing import examples

NDIMS = 8
PARTITIONS = 3
FIRST_ROWS, MORE_ROWS = 120, 30
FLOATS: list[Any] = ["l2", "cosine", "dot"]


@dataclass(frozen=True)
class Kind:
    """A type of vector column."""

    dtype: Any
    several: bool = False

    @property
    def metrics(self) -> list[Any]:
        return ["hamming"] if self.dtype == np.uint8 else FLOATS

    @property
    def takes_index(self) -> bool:
        return not self.several and self.dtype != np.uint8

    def values(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        """Quarters, which all floats hold exactly and of which many are as near as others; or bytes."""
        if self.dtype == np.uint8:
            return rng.integers(0, 256, (count, NDIMS)).astype(np.uint8)
        return (rng.integers(-4, 5, (count, NDIMS)) / 4).astype(self.dtype)

    def column(self, count: int, rng: np.random.Generator) -> pa.Array:
        """Vectors, or lists of up to three; some rows have none."""
        nulls = pa.array(rng.random(count) < 0.1)
        if not self.several:
            flat = pa.array(self.values(count, rng).reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, NDIMS, mask=nulls)
        ends = np.concatenate([[0], np.cumsum(rng.integers(0, 4, count))]).astype(np.int32)
        flat = pa.array(self.values(int(ends[-1]), rng).reshape(-1))
        return pa.ListArray.from_arrays(pa.array(ends), pa.FixedSizeListArray.from_arrays(flat, NDIMS), mask=nulls)

    def rows(self, count: int, first: int, rng: np.random.Generator) -> pa.Table:
        ids = range(first, first + count)
        return pa.table({"id": ids, "n": rng.integers(0, 9, count), "vector": self.column(count, rng)})


KINDS = [Kind(dtype, several) for several in (False, True) for dtype in (np.float32, np.float16, np.float64, np.uint8)]


class Story:
    """A table, and what happens to it."""

    def __init__(self, directory: str, seed: int, kind: Kind, metric: Any, stable: bool) -> None:
        self.rng, self.kind, self.metric, self.added = np.random.default_rng(seed), kind, metric, FIRST_ROWS
        first = kind.rows(FIRST_ROWS, 0, self.rng)
        self.dataset = Dataset.create(Location(directory), "t", first.to_reader(), stable_row_ids=stable)

    def add(self) -> None:
        self.dataset.append(self.kind.rows(MORE_ROWS, self.added, self.rng).to_reader())
        self.added += MORE_ROWS

    def delete(self) -> None:
        self.dataset.delete(f"n = {self.rng.integers(9)}")

    def delete_most(self) -> None:
        self.dataset.delete(f"id % 3 > 0 AND id < {self.added - MORE_ROWS}")

    def update(self) -> None:
        self.dataset.update({"n": "n + 1"}, f"n = {self.rng.integers(9)}")

    def compact(self) -> None:
        maintenance.compact_files(self.dataset)

    def restore(self) -> None:
        versions.restore(self.dataset, int(self.rng.integers(1, self.dataset.version + 1)))

    def index(self) -> None:
        if self.kind.takes_index and self.dataset.count_rows("vector IS NOT NULL") > 20:
            config = IvfFlat(distance_type=self.metric, num_partitions=PARTITIONS, sample_rate=8, max_iterations=3)
            indexing.create_vector_index(self.dataset, "vector", config)

    def cover(self) -> None:
        if indices.index_on(self.dataset, "vector") is not None:
            indices.cover_new_rows(self.dataset, "vector_idx", 0)

    def past(self) -> Dataset:
        return self.dataset.at(int(self.rng.integers(1, self.dataset.version + 1)))


ACTIONS: list[Callable[[Story], None]] = [
    *(Story.add, Story.delete, Story.delete_most, Story.update, Story.compact, Story.restore),
    *(Story.index, Story.index, Story.cover),
]


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """All of a query but its vectors; rows are filtered after the search where all are near enough, ties aside."""
    effort = draw(st.sampled_from([{"limit": limit, "offset": offset} for limit in (1, 5, 500) for offset in (0, 3)]))
    return {
        "filter": draw(st.sampled_from([None, None, "n < 5", "id >= 110", "id % 7 = 0 OR n = 2", "n > 90"])),
        **draw(st.sampled_from([effort, effort, {"limit": 500, "postfilter": True}])),
        **draw(st.sampled_from([{}, {}, {"lower_bound": 1.01}, {"upper_bound": 2.51}])),
    }


@contextmanager
def held(way: str) -> Iterator[None]:
    """Hold vectors as those of larger tables are: in mapped files, or searched by their codes first; or as few are."""
    with pytest.MonkeyPatch.context() as patch:
        if way == "mapped":
            patch.setattr(mapped, "LEAST_BYTES", 1)
        elif way == "coded":
            patch.setattr(exact, "FEW_BYTES", 0)
            patch.setattr(vectors_, "FEW_BYTES", 0)
        yield


@pytest.mark.hypothesis
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{np.dtype(kind.dtype)}{'-several' if kind.several else ''}")
def test_every_plan_answers_as_numpy_does(kind: Kind) -> None:
    @settings(max_examples=examples(8))
    @given(
        seed=st.integers(0, 10**6),
        metric=st.sampled_from(kind.metrics),
        stable=st.booleans(),
        actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5),
        asks=st.lists(asked(), min_size=6, max_size=6),
        questions=st.integers(1, 3),
        way=st.sampled_from(["mapped", "coded", "few"]),
    )
    def run(
        seed: int, metric: Any, stable: bool, actions: list[Any], asks: list[dict[str, Any]], questions: int, way: str
    ) -> None:
        with held(way), tempfile.TemporaryDirectory() as directory:
            story, cache = Story(directory, seed, kind, metric, stable), VectorCache(1 << 40)
            vectors = kind.values(questions, np.random.default_rng(seed))
            vectors[:, 0] = 1  # none is zero throughout
            for action, settings_ in zip([None, *actions], asks, strict=False):
                if action is not None:
                    action(story)
                vector = vectors if kind.several or questions > 1 else vectors[0]
                query = Query(vector=vector, distance_type=metric, **settings_)
                for dataset in (story.dataset, story.past()):
                    check(dataset, query, kind, cache)

    run()


def check(dataset: Dataset, query: Query, kind: Kind, cache: VectorCache) -> None:
    """All plans give the distances of the nearest rows, and each row its own."""
    expected = [brute_force(dataset, query, each) for each in parts_of(query, kind)]
    everywhere: dict[str, Any] = {"minimum_nprobes": PARTITIONS, "maximum_nprobes": PARTITIONS}
    plans = {
        "memory": (Searcher(dataset, cache=cache), query),
        "memory, all partitions": (Searcher(dataset, cache=cache), replace(query, **everywhere)),
        "memory, exact": (Searcher(dataset, cache=cache), replace(query, bypass_vector_index=True)),
        "Lance's scan": (Searcher(dataset), replace(query, bypass_vector_index=True)),
        "Lance's index": (Searcher(dataset), replace(query, **everywhere)),
    }
    for name, (searcher, asking) in plans.items():
        assert (searcher._plan(asking).memory is not None) == name.startswith("memory"), name
        found = searcher.table(asking)
        numbers = found["query_index"].to_numpy() if "query_index" in found.column_names else np.zeros(len(found), int)
        is_rough = name == "Lance's index" and kind.dtype == np.float16  # Lance rounds unit vectors to float16
        within: dict[str, Any] = {"rtol": 1e-3 if is_rough else 1e-5, "atol": 1e-3 if is_rough else 2e-6}
        for number, (distances, nearest) in enumerate(expected):
            mine = found.filter(pa.array(numbers == number))
            reached = mine["_distance"].to_numpy()
            np.testing.assert_allclose(reached, nearest, err_msg=name, **within)
            own = [distances[row] for row in mine["id"].to_pylist()]
            np.testing.assert_allclose(reached, own, err_msg=name, **within)


def parts_of(query: Query, kind: Kind) -> list[NDArray[np.float64]]:
    """The questions of *query*, each of shape (vectors, NDIMS)."""
    vectors = np.atleast_2d(np.asarray(query.vector))
    return [vectors] if kind.several else [vector[np.newaxis] for vector in vectors]


def brute_force(dataset: Dataset, query: Query, question: NDArray[Any]) -> tuple[dict[int, float], NDArray[np.float64]]:
    """The distance of each row by its id, and those of the rows to be found, in order."""
    passing = set(dataset.read(Scan(columns=["id"], filter=query.filter))["id"].to_pylist())
    distances: dict[int, float] = {}
    for row in dataset.read(Scan(columns=["id", "vector"])).to_pylist():
        vectors = np.atleast_2d(row["vector"]) if row["vector"] else np.empty((0, NDIMS))
        if len(vectors) and not (query.distance_type == "cosine" and not vectors.any(axis=1).all()):
            distances[row["id"]] = float(between(question, vectors, query.distance_type).min(axis=1).sum())
    allowed = {row: distance for row, distance in distances.items() if row in passing}
    lower = -np.inf if query.lower_bound is None else query.lower_bound
    upper = np.inf if query.upper_bound is None else query.upper_bound
    kept = sorted(d for d in allowed.values() if lower <= d < upper)[: query.offset + (query.limit or 10)]
    return distances, np.array(kept[query.offset :])


def between(queries: NDArray[Any], vectors: NDArray[Any], metric: Any) -> NDArray[np.float64]:
    """Distances, shape (queries, vectors)."""
    if metric == "hamming":
        return np.asarray(np.bitwise_count(queries[:, None] ^ vectors[None].astype(np.uint8)).sum(axis=2), float)
    q, v = queries.astype(np.float64), vectors.astype(np.float64)
    products: NDArray[np.float64] = q @ v.T
    if metric == "dot":
        return 1 - products
    if metric == "cosine":
        return np.asarray(1 - products / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(v, axis=1))
    return np.asarray(((q[:, None] - v[None]) ** 2).sum(axis=2))
