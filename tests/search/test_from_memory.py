"""Searching vectors in memory: the answer is that of Lance's scan and of numpy, whatever was done to the table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lancelike
from lancelike.query import ColumnOrdering, Query
from lancelike.query.plan import VectorColumn
from lancelike.search import Searcher
from lancelike.search.exact import exact_distances
from lancelike.storage import gathering, maintenance, memory, versions
from lancelike.storage.dataset import Dataset
from lancelike.storage.location import Location
from lancelike.storage.memory import VectorCache
from lancelike.storage.parts import bytes_of
from tests.fuzzing import examples

from .conftest import NDIMS as DOCS_NDIMS
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
    selections: list[Any] = [
        None,
        ["text"],
        ["_distance", "n"],
        ["vector", "_rowid"],
        {"a": "id + n", "t": "upper(text)"},
    ]
    filters = [
        "n < 1",
        "id > 7",
        "n > 2",
        "n IS NULL",
        "vector IS NOT NULL AND id % 2 = 0",
        "text LIKE '%1%'",
        "_rowid > 9",
    ]
    metric: Any = draw(st.sampled_from([None, *METRICS]))
    beside = 0.013 if metric == "cosine" else 0.0  # Lance's rounding decides on which side of a bound a distance is
    lower, upper = draw(st.sampled_from([None, None, 0.0, 2.0, -1.0])), draw(st.sampled_from([None, None, 3.0, 0.5]))
    return Query(
        vector=np.array(vectors, np.float32),
        filter=draw(st.sampled_from([None, None, "_rowid > 9", *filters])),
        postfilter=draw(st.booleans()),
        columns=draw(st.sampled_from(selections)),
        limit=draw(st.sampled_from([None, 1, 3, 500])),
        offset=draw(st.sampled_from([0, 0, 2, 30])),
        with_row_id=draw(st.booleans()),
        with_row_address=draw(st.booleans()),
        distance_type=metric,
        lower_bound=None if lower is None else lower + beside,
        upper_bound=None if upper is None else upper + beside,
    )


@settings(max_examples=examples(40))
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
    assert remembering.table(query).equals(found) or query.distance_type == "cosine"  # what its filter left is known
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


Numbers = NDArray[np.float32]
COLUMN = VectorColumn("vector", DOCS_NDIMS, pa.float32())


def remembering(dataset: Dataset, cache: VectorCache, vector: Any, **asked: Any) -> pa.Table:
    """What a search with *cache* answers, after seeing that it agrees with Lance."""
    query = Query(vector=np.asarray(vector, np.float32), **asked)
    found = Searcher(dataset, cache=cache).table(query)
    assert found["id"].to_pylist() == Searcher(dataset).table(query)["id"].to_pylist()
    return found


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-6, 0), (1e5, 0), (1, 1000), (0.01, 100)])
def test_order_is_that_of_float64(make: Make, metric: Any, scale: float, shift: float) -> None:
    """Also where float32 can't tell the rows apart: then all of them are measured in float64."""
    rng = np.random.default_rng(3)
    vectors = (rng.standard_normal((20_000, 33)) * scale + shift).astype(np.float32)
    queries = (rng.standard_normal((3, 33)) * scale + shift).astype(np.float32)
    dataset = make(pa.table({"id": range(len(vectors)), "vector": vectors_column(vectors)}))
    searcher, asked = Searcher(dataset, cache=VectorCache(EVERYTHING)), {"distance_type": metric, "limit": 20}
    several = searcher.table(Query(vector=queries, **asked)).to_pydict()
    for i, query in enumerate(queries):
        distances = exact_distances(vectors, query, metric)
        order = np.argsort(distances, kind="stable")[:20]
        one = searcher.table(Query(vector=query, **asked)).to_pydict()
        assert one["id"] == several["id"][20 * i : 20 * i + 20] == order.tolist()
        assert one["_distance"] == distances[order].astype(np.float32).tolist()


def test_fragments_are_read_once(make: Make, vectors: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    take = gathering.Gatherer.take

    def counting(self: Any, batch: pa.RecordBatch) -> None:
        read.append(batch.num_rows)
        take(self, batch)

    monkeypatch.setattr(gathering.Gatherer, "take", counting)
    table = pa.table({"id": range(200), "vector": vectors_column(vectors)})
    dataset, cache = make(table), VectorCache(EVERYTHING)
    remembering(dataset, cache, vectors[3])
    remembering(dataset, cache, vectors[4], distance_type="cosine")
    assert sum(read) == 200
    dataset.append(table.slice(0, 7).to_reader())
    remembering(dataset, cache, vectors[3])
    dataset.delete("id = 3")
    assert 3 not in remembering(dataset, cache, vectors[3])["id"].to_pylist()
    remembering(dataset.at(1), cache, vectors[3])
    dataset.alter_columns([{"path": "id", "rename": "n"}])
    dataset.alter_columns([{"path": "n", "rename": "id"}])
    remembering(dataset, cache, vectors[3])
    assert sum(read) == 207
    dataset.overwrite(table.slice(50))
    assert min(remembering(dataset, cache, vectors[3])["id"].to_pylist()) >= 50
    assert sum(read) == 207 + 150


def test_the_bound_holds_and_the_least_recently_searched_goes(make: Make, vectors: Numbers) -> None:
    tables = [make(pa.table({"id": range(200), "vector": vectors_column(vectors + i)})) for i in range(3)]
    cache = VectorCache(EVERYTHING)
    remembering(tables[0], cache, vectors[0])
    one = cache.held_bytes
    assert vectors.nbytes < one <= bytes_of(200, COLUMN)
    cache = VectorCache(bytes_of(200, COLUMN) * 2)
    for dataset in (*tables[:2], tables[0], tables[2]):
        remembering(dataset, cache, vectors[0])
        assert cache.held_bytes <= cache.limit_bytes
    assert cache.held_bytes == 2 * one
    assert [bool(cache._columns.get(memory._name(each, COLUMN))) for each in tables] == [True, False, True]
    cache.forget(tables[0].location, tables[0].name)
    assert cache.held_bytes == one


def test_what_does_not_fit_is_scanned(make: Make, vectors: Numbers) -> None:
    dataset = make(pa.table({"id": range(200), "vector": vectors_column(vectors)}))
    for limit in (0, 5000):
        cache = VectorCache(limit)
        remembering(dataset, cache, vectors[3])
        assert cache.held_bytes == 0
        assert "KNNVectorDistance" in Searcher(dataset, cache=cache).explain(Query(vector=vectors[3]))


def test_old_versions_make_way(make: Make, vectors: Numbers) -> None:
    dataset = make(pa.table({"id": range(200), "vector": vectors_column(vectors)}))
    cache = VectorCache(bytes_of(200, COLUMN) + 500)
    for _ in range(4):
        remembering(dataset, cache, vectors[3])
        assert 200 * 4 * DOCS_NDIMS < cache.held_bytes <= cache.limit_bytes
        dataset.overwrite(pa.table({"id": range(200), "vector": vectors_column(vectors + 1)}))
        dataset.delete("id > 150")


@pytest.mark.parametrize("value", [np.inf, 1e30, 1e-30])
def test_values_beyond_float32_squares_are_left_to_lance(make: Make, vectors: Numbers, value: float) -> None:
    odd = vectors.copy()
    odd[7] = value
    table = pa.table({"id": range(200), "vector": vectors_column(odd)})
    dataset, cache = make(table), VectorCache(EVERYTHING)
    remembering(dataset, cache, vectors[3])
    dataset.append(table.slice(0, 5).to_reader())
    remembering(dataset, cache, vectors[3])
    assert cache.held_bytes == 0
    assert "KNNVectorDistance" in Searcher(dataset, cache=cache).explain(Query(vector=vectors[3]))
    remembering(make(table.slice(10)), cache, np.full(DOCS_NDIMS, 1e18))


def test_nan_is_no_vector(make: Make, vectors: Numbers) -> None:
    odd = vectors.copy()
    odd[7, 2] = np.nan
    dataset, cache = make(pa.table({"id": range(200), "vector": vectors_column(odd)})), VectorCache(EVERYTHING)
    for metric in METRICS:
        found = remembering(dataset, cache, vectors[7], limit=300, distance_type=metric)
        assert sorted(found["id"].to_pylist()) == [i for i in range(200) if i != 7]
    assert cache.held_bytes > 0


def test_an_empty_table(make: Make, vectors: Numbers) -> None:
    empty = pa.table({"id": range(200), "vector": vectors_column(vectors)}).slice(0, 0)
    dataset, cache = make(empty), VectorCache(EVERYTHING)
    assert remembering(dataset, cache, vectors[3]).num_rows == 0
    assert remembering(dataset, cache, vectors[:3], filter="id > 3").num_rows == 0
    dataset.append(pa.table({"id": [5], "vector": vectors_column(vectors[:1])}))
    assert remembering(dataset, cache, vectors[3]).num_rows == 1
    dataset.delete("true")
    assert remembering(dataset, cache, vectors[3]).num_rows == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"columns": {"d": "_distance * 2", "id": "id"}},
        {"filter": "_distance < 1", "postfilter": True},
        {"order_by": (ColumnOrdering(column_name="id"),)},
        {"fragments": (0,)},
        {"limit": 20_000},
    ],
)
def test_what_lance_alone_can_do_is_left_to_it(docs: Dataset, vectors: Numbers, asked: dict[str, Any]) -> None:
    query = Query(vector=vectors[3], **asked)
    searcher = Searcher(docs, cache=VectorCache(EVERYTHING))
    assert searcher._plan(query).memory is None
    assert searcher.table(query).equals(Searcher(docs).table(query))


def test_an_index_is_used_unless_it_is_passed_by(docs: Dataset, vectors: Numbers) -> None:
    docs.lance.create_index("vector", "IVF_FLAT", metric="l2", num_partitions=2)
    docs.refresh()
    searcher = Searcher(docs, cache=VectorCache(EVERYTHING))
    assert "by the index's partitions" in searcher.explain(Query(vector=vectors[3]))
    assert "ANN" in Searcher(docs, cache=VectorCache(0)).explain(Query(vector=vectors[3]))
    for past in (Query(vector=vectors[3], bypass_vector_index=True), Query(vector=vectors[3], distance_type="dot")):
        assert ", exact" in searcher.explain(past)


def test_plans_say_what_is_done(docs: Dataset, vectors: Numbers) -> None:
    searcher, query = Searcher(docs, cache=VectorCache(EVERYTHING)), Query(vector=vectors[3], filter="id > 7")
    plan = searcher.explain(query)
    assert "MemorySearch: column=vector, metric=l2, k=10, queries=1" in plan
    assert "Prefilter: rows where id > 7" in plan
    assert "LanceRead" in plan
    assert "TakeByRowId: id, text" in plan
    figures = searcher.analyze(query)
    assert [line.split(":")[0].strip() for line in figures.splitlines()[1:]] == [
        "VectorsInMemory",
        "Filter",
        "Rank",
        "TakeByRowId",
    ]
    assert "TakeByRowId: output_rows=10" in figures


def test_figures_are_of_the_steps_of_the_plan(docs: Dataset, vectors: Numbers) -> None:
    cache = VectorCache(EVERYTHING)
    searcher, query = Searcher(docs, cache=cache), Query(vector=vectors[3], filter="id > 7")
    searcher.table(replace(query, filter=None))
    cache.hold_rows(docs.frozen(), ["id", "text"])
    plan, figures = searcher.explain(query), searcher.analyze(query)
    for step in ("CompareInMemory", "TakeFromMemory"):
        assert step in plan
        assert step in figures


def test_plans_say_when_an_index_is_of_no_use(docs: Dataset, vectors: Numbers) -> None:
    """Few rows are all compared, unless a number of partitions is asked for."""
    docs.lance.create_index("vector", "IVF_FLAT", metric="l2", num_partitions=2)
    docs.refresh()
    searcher, query = Searcher(docs, cache=VectorCache(EVERYTHING)), Query(vector=vectors[3])
    searcher.table(query)
    assert "nprobes=auto (all: the rows are few), distances exact" in searcher.explain(query)
    assert "nprobes=1, distances exact" in searcher.explain(
        Query(vector=vectors[3], minimum_nprobes=1, maximum_nprobes=1)
    )


def test_threads_share_what_is_read(make: Make) -> None:
    """Searches beside writes: each answers from one version, whole."""
    ones = np.ones((50, NDIMS), np.float32)
    dataset, cache = make(pa.table({"batch": [0] * 50, "vector": vectors_column(ones)})), VectorCache(EVERYTHING)

    def write() -> None:
        for i in range(1, 9):
            dataset.append(pa.table({"batch": [i] * 50, "vector": vectors_column(ones)}))
            dataset.delete(f"batch = {i - 1}")

    def read() -> None:
        for _ in range(30):
            found = Searcher(dataset, cache=cache).table(Query(vector=ones[0], limit=1000))["batch"].to_pylist()
            counts = {batch: found.count(batch) for batch in set(found)}
            assert 1 <= len(counts) <= 2
            assert set(counts.values()) == {50}

    with ThreadPoolExecutor(5) as pool:
        for task in [pool.submit(write), *(pool.submit(read) for _ in range(4))]:
            task.result()


def test_another_process_writes(tmp_path: Path) -> None:
    """What another handle's session wrote is found once the table is looked at again."""
    column = vectors_column(np.eye(3, dtype=np.float32))
    ours = lancelike.connect(tmp_path, read_consistency_interval=timedelta(0)).create_table(
        "t", pa.table({"id": range(3), "vector": column})
    )
    assert "MemorySearch" in ours.search([0.0, 0.0, 1.0]).explain_plan()
    assert ours.search([0.0, 0.0, 1.0]).limit(1).to_list()[0]["id"] == 2
    theirs = lance.dataset(ours.uri)
    theirs.delete("id = 2")
    lance.write_dataset(pa.table({"id": [9], "vector": column[2:]}), theirs, mode="append")
    assert ours.search([0.0, 0.0, 1.0]).limit(1).to_list()[0]["id"] == 9


def test_zero_bytes_turn_it_off_and_dropped_tables_are_forgotten(tmp_path: Path) -> None:
    rows = [{"id": 1, "vector": [1.0, 0.0]}]
    off = lancelike.connect(tmp_path, vector_cache_bytes=0).create_table("off", rows)
    assert "KNNVectorDistance" in off.search([1.0, 0.0]).explain_plan()
    database = lancelike.connect(tmp_path)
    for name in ("a", "b"):
        database.create_table(name, rows).search([1.0, 0.0]).to_list()
    assert database._vector_cache.held_bytes > 0
    database.drop_table("a")
    database.rename_table("b", "c")
    assert database._vector_cache.held_bytes == 0
    assert database.open_table("c").search([1.0, 0.0]).to_list()[0]["id"] == 1
