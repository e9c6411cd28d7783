"""Searching vectors in memory: the answer of Lance's own scan, which is that of numpy, whatever was done to the table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lancelike.query import Query
from lancelike.search import Searcher
from lancelike.search.exact import exact_distances
from lancelike.storage import maintenance, versions
from lancelike.storage.dataset import Dataset
from lancelike.storage.location import Location
from lancelike.storage.memory import VectorCache

from .conftest import Make, vectors_column

NDIMS = 4
METRICS = ["l2", "cosine", "dot"]
EVERYTHING = 1 << 40


def rows(count: int, first: int, rng: np.random.Generator, half: bool) -> pa.Table:
    """Rows whose vectors are small integers, so that float32 is exact and many are as far; some null, some zero."""
    values = rng.integers(-2, 3, (count, NDIMS)).astype(np.float16 if half else np.float32)
    vectors = vectors_column(values)
    nulls = pa.array(rng.random(count) < 0.1)
    vectors = pa.FixedSizeListArray.from_arrays(vectors.values, type=vectors.type, mask=nulls)
    ids = range(first, first + count)
    return pa.table({"id": ids, "text": [f"text {i}" for i in ids], "n": rng.integers(0, 9, count), "vector": vectors})


class Story:
    """A table, what happens to it, and the two ways to search it."""

    def __init__(self, directory: str, seed: int, half: bool, stable: bool) -> None:
        self.rng, self.half, self.cache, self.added = np.random.default_rng(seed), half, VectorCache(EVERYTHING), 40
        first = rows(40, 0, self.rng, half)
        self.dataset = Dataset.create(Location(directory), "t", first.to_reader(), stable_row_ids=stable)

    def add(self) -> None:
        self.dataset.append(rows(15, self.added, self.rng, self.half).to_reader())
        self.added += 15

    def delete(self) -> None:
        self.dataset.delete(f"n = {self.rng.integers(9)}")

    def delete_most(self) -> None:
        self.dataset.delete(f"id % 3 > 0 AND id < {self.added - 15}")

    def update(self) -> None:
        self.dataset.update({"n": "n + 1"}, f"n = {self.rng.integers(9)}")

    def compact(self) -> None:
        maintenance.compact_files(self.dataset)

    def restore(self) -> None:
        versions.restore(self.dataset, int(self.rng.integers(1, self.dataset.version + 1)))

    def past(self) -> Dataset:
        return self.dataset.at(int(self.rng.integers(1, self.dataset.version + 1)))


ACTIONS = [Story.add, Story.delete, Story.delete_most, Story.update, Story.compact, Story.restore]


@st.composite
def queries(draw: st.DrawFn) -> Query:
    vector = st.lists(st.integers(-2, 2), min_size=NDIMS, max_size=NDIMS).filter(any)
    several = draw(st.booleans())
    vectors = draw(st.lists(vector, min_size=1, max_size=3) if several else vector)
    selections: list[Any] = [None, ["text"], ["_distance", "n"], ["vector", "_rowid"], {"a": "id + n", "t": "upper(text)"}]
    filters = ["n < 1", "id > 7", "n > 2", "n IS NULL", "vector IS NOT NULL AND id % 2 = 0", "text LIKE '%1%'", "_rowid > 9"]
    return Query(
        vector=np.array(vectors, np.float32),
        filter=draw(st.sampled_from([None, None, *filters])),
        postfilter=draw(st.booleans()),
        columns=draw(st.sampled_from(selections)),
        limit=draw(st.sampled_from([None, 1, 3, 500])),
        offset=draw(st.sampled_from([0, 0, 2, 30])),
        with_row_id=draw(st.booleans()),
        with_row_address=draw(st.booleans()),
        distance_type=draw(st.sampled_from([None, *METRICS])),
        lower_bound=draw(st.sampled_from([None, None, 0.0, 2.0, -1.0])),
        upper_bound=draw(st.sampled_from([None, None, 3.0, 0.5])),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    half=st.booleans(),
    stable=st.booleans(),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=5),
    asked=st.lists(queries(), min_size=6, max_size=6),
)
def test_memory_answers_as_lance_and_numpy_do(
    seed: int, half: bool, stable: bool, actions: list[Callable[[Story], None]], asked: list[Query]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        story = Story(directory, seed, half, stable)
        for query, action in zip(asked, [None, *actions], strict=False):
            if action is not None:
                action(story)
            for dataset in (story.dataset, story.past()):
                check(dataset, query, story.cache)


def check(dataset: Dataset, query: Query, cache: VectorCache) -> None:
    remembering = Searcher(dataset, cache=cache)
    assert remembering._plan(query).memory is not None
    found, scanned = remembering.table(query), Searcher(dataset).table(query)
    assert found.schema.equals(scanned.schema, check_metadata=True)
    assert found.schema == remembering.output_schema(query)
    if query.distance_type != "cosine":  # small integers are exact
        assert found.equals(scanned)
    else:
        np.testing.assert_allclose(found["_distance"].to_numpy(), scanned["_distance"].to_numpy(), atol=1e-6)
        assert len(found) == len(scanned)
    by_id = replace(query, columns=["_rowid"], with_row_id=False, with_row_address=False)
    answer = remembering.table(by_id)
    ids, distances = expected(dataset, query)
    np.testing.assert_allclose(answer["_distance"].to_numpy(), distances, rtol=1e-7, atol=1e-7)
    if query.distance_type != "cosine":
        assert answer["_rowid"].to_pylist() == ids


def expected(dataset: Dataset, query: Query) -> tuple[list[int], list[float]]:
    """Row ids and distances by numpy."""
    everything = dataset.lance.to_table(columns=["vector"], with_row_id=True)
    everything = everything.filter(everything["vector"].is_valid())
    vectors = np.array(everything["vector"].to_pylist(), np.float64).reshape(-1, NDIMS)
    ids = everything["_rowid"].to_numpy()
    passing = dataset.lance.to_table(columns=[], filter=query.filter, with_row_id=True)["_rowid"].to_numpy()
    answer: list[tuple[int, float]] = []
    for vector in np.atleast_2d(query.vector).astype(np.float64):  # type: ignore[arg-type]  # there is one
        with np.errstate(invalid="ignore"):
            distances = {
                "l2": lambda v: ((vectors - v) ** 2).sum(axis=1),
                "dot": lambda v: 1 - vectors @ v,
                "cosine": lambda v: 1 - vectors @ v / np.sqrt((vectors**2).sum(axis=1)) / np.sqrt(v @ v),
            }[query.distance_type or "l2"](vector)
        answer += _ranked(query, ids, distances, passing)
    return [row_id for row_id, _ in answer], [distance for _, distance in answer]


def _ranked(query: Query, ids: NDArray[Any], distances: NDArray[Any], passing: NDArray[Any]) -> list[tuple[int, float]]:
    rounded = distances.astype(np.float32)
    kept = ~np.isnan(rounded)
    if query.lower_bound is not None:
        kept &= rounded >= query.lower_bound
    if query.upper_bound is not None:
        kept &= rounded < query.upper_bound
    if not query.postfilter:
        kept &= np.isin(ids, passing)
    ids, distances, rounded = ids[kept], distances[kept], rounded[kept]
    order = np.lexsort((ids, np.round(distances, 12)))[: (query.limit or 10) + query.offset]
    pairs = [(int(ids[i]), float(rounded[i])) for i in order if not query.postfilter or ids[i] in passing]
    return pairs[query.offset :]
