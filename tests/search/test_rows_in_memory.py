"""Columns held beside vectors: what searches answer is what Lance has, whatever was done to the table."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lance import LanceDataset

import lancelike
from lancelike.query import Query
from lancelike.query.plan import VectorColumn
from lancelike.search import Searcher
from lancelike.storage import maintenance
from lancelike.storage.dataset import Dataset
from lancelike.storage.location import Location
from lancelike.storage.memory import VectorCache
from tests.fuzzing import examples

from .conftest import Make, vectors_column

NDIMS = 64
EVERYTHING = 1 << 40


def rows(count: int, first: int, rng: np.random.Generator) -> pa.Table:
    """Rows with columns of many kinds, nulls in them."""
    ids = range(first, first + count)
    return pa.table(
        {
            "id": ids,
            "text": [None if i % 5 == 0 else f"text {i}" for i in ids],
            "part": [{"page": i, "at": [i, i + 1]} if i % 3 else None for i in ids],
            "tags": pa.array([["a"] * (i % 3) for i in ids], pa.large_list(pa.string())),
            "vector": vectors_column(rng.standard_normal((count, NDIMS)).astype(np.float32)),
        }
    )


class Story:
    """A table, and what happens to it."""

    def __init__(self, directory: str, stable: bool) -> None:
        self.rng, self.added, self.named = np.random.default_rng(0), 60, "text"
        first = rows(60, 0, self.rng)
        self.dataset = Dataset.create(Location(directory), "t", first.to_reader(), stable_row_ids=stable)

    def add(self) -> None:
        some = rows(20, self.added, self.rng).rename_columns({"text": self.named})
        self.dataset.append(some.to_reader())
        self.added += 20

    def delete(self) -> None:
        self.dataset.delete(f"id % 4 = {self.rng.integers(4)}")

    def update(self) -> None:
        self.dataset.update({self.named: "'other'"}, f"id % 3 = {self.rng.integers(3)}")

    def overwrite_a_column(self) -> None:
        """In place: the fragments stay, and so do their vectors."""
        name = self.named

        def rewrite(latest: Any) -> None:
            latest.add_columns({"made": f"concat({name}, '!')"})
            latest.drop_columns([name])
            latest.alter_columns({"path": "made", "name": name})

        self.dataset.change(rewrite)

    def rename(self) -> None:
        new = "words" if self.named == "text" else "text"
        self.dataset.alter_columns([{"path": self.named, "rename": new}])
        self.named = new

    def compact(self) -> None:
        maintenance.compact_files(self.dataset)

    def delete_all(self) -> None:
        self.dataset.delete("true")


ACTIONS = [Story.add, Story.delete, Story.update, Story.overwrite_a_column, Story.rename, Story.compact]


@settings(max_examples=examples(25))
@given(
    stable=st.booleans(),
    actions=st.lists(st.tuples(st.sampled_from([*ACTIONS, Story.delete_all]), st.booleans()), min_size=1, max_size=6),
)
def test_rows_are_those_that_lance_has(stable: bool, actions: list[tuple[Callable[[Story], None], bool]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        story, cache = Story(directory, stable), VectorCache(EVERYTHING)
        hold(story.dataset, cache)
        for action, holds in actions:
            action(story)
            if holds:
                hold(story.dataset, cache)
                searcher = Searcher(story.dataset, cache=cache)
                assert "TakeFromMemory" in searcher.explain(asking(1))
                if story.dataset.count_rows():
                    assert "CompareInMemory" in searcher.explain(asking(1, filter="id < 41"))  # asked nowhere else
                    assert "LookupInMemory" in searcher.explain(Query(filter="id = 3", columns=["part"]))
            check(story.dataset, cache)
            check(story.dataset.at(max(1, story.dataset.version - 2)), cache)


def hold(dataset: Dataset, cache: VectorCache) -> None:
    shown = dataset.frozen()
    cache.hold(shown, VectorColumn("vector", NDIMS, pa.float32()))
    cache.hold_rows(shown, [name for name in shown.schema.names if name != "vector"])


def asking(count: int, **asked: Any) -> Query:
    vectors = np.random.default_rng(1).standard_normal((count, NDIMS)).astype(np.float32)
    return Query(vector=vectors if count > 1 else vectors[0], **asked)


def check(dataset: Dataset, cache: VectorCache) -> None:
    ours, lances = Searcher(dataset, cache=cache), Searcher(dataset)
    text = next(name for name in ("text", "words", "made") if name in dataset.schema.names)
    for query in (
        *(asking(1, filter=each) for each in ("id < 40", "id >= 61", "id != 5", f"{text} > 'text 4'", f"{text} <= ''")),
        asking(1, limit=5, filter="id > 10", postfilter=True),
        *(asking(1), asking(3, limit=7), asking(1, columns=["part", "id"]), asking(1, columns={"n": "id + 1"})),
    ):
        found, scanned = ours.table(query), lances.table(query)
        np.testing.assert_allclose(found["_distance"].to_numpy(), scanned["_distance"].to_numpy(), rtol=1e-5)
        assert found.drop_columns("_distance").equals(scanned.drop_columns("_distance"))

    for query in (
        *(Query(filter=f"id = {key}", columns=["part", "id"]) for key in (3, 8, 61, -1)),
        Query(filter=f"{text} = 'other'", columns=["id", text], limit=5, offset=2),
        Query(filter="id = 4", columns=["tags"], limit=1),
    ):
        same(ours.table(query), lances.table(query))


def same(found: pa.Table, scanned: pa.Table) -> None:
    assert found.equals(scanned)
    assert found.schema.equals(scanned.schema, check_metadata=True)


def test_after_some_searches_a_thread_reads_them(make: Make) -> None:
    dataset, cache = make(rows(500, 0, np.random.default_rng(2))), VectorCache(EVERYTHING)
    searcher, query = Searcher(dataset, cache=cache), asking(1, columns=["text", "id"])
    expected = searcher.table(query)
    vectors = cache.held_bytes
    assert "TakeByRowId: text, id" in searcher.explain(query)
    until = time.monotonic() + 20
    while "TakeFromMemory: text, id" not in searcher.explain(query):
        assert time.monotonic() < until
        assert searcher.table(query).equals(expected)
    assert searcher.table(query).equals(expected)
    assert vectors < cache.held_bytes < 2 * vectors


def test_long_values_are_read_few_at_a_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lance would read 8192 rows of them before anyone sees that they are too large."""
    texts = ["short", *["long" * 50_000] * 99]
    vectors = vectors_column(np.zeros((100, 4), np.float32))
    dataset, asked = make(pa.table({"text": texts, "vector": vectors})), list[int]()
    scanner = LanceDataset.scanner

    def spy(shown: LanceDataset, *arguments: Any, **options: Any) -> Any:
        asked.append(options["batch_size"])
        return scanner(shown, *arguments, **options)

    cache = VectorCache(EVERYTHING)
    monkeypatch.setattr(LanceDataset, "scanner", spy)
    cache.hold_rows(dataset.frozen(), ["text"], least_bytes=1 << 30)
    assert cache.holds_rows(dataset.frozen(), ["text"])
    assert asked
    assert all(size * 200_000 < 8 << 20 for size in asked)


def test_columns_larger_than_the_vectors_are_left_to_lance(make: Make) -> None:
    table = rows(200, 0, np.random.default_rng(2)).append_column("page", pa.array([f"{i} " * 1000 for i in range(200)]))
    dataset, cache = make(table), VectorCache(EVERYTHING)
    hold(dataset, cache)
    searcher = Searcher(dataset, cache=cache)
    assert "TakeFromMemory: id, text" in searcher.explain(asking(1, columns=["id", "text"]))
    assert "TakeByRowId" in searcher.explain(asking(1))
    check(dataset, cache)


def test_they_make_way_for_vectors(make: Make) -> None:
    tables = [make(rows(200, 0, np.random.default_rng(i))) for i in range(2)]
    cache = VectorCache(EVERYTHING)
    hold(tables[0], cache)
    cache = VectorCache(cache.held_bytes)
    for table in tables:
        hold(table, cache)
        check(table, cache)
        assert cache.held_bytes <= cache.limit_bytes
    cache.forget(tables[0].location, tables[0].name)
    cache.forget(tables[1].location, tables[1].name)
    assert cache.held_bytes == 0


@pytest.mark.parametrize(
    "prewarm", [lambda table: table.prewarm_data(), lambda table: table.prewarm_index("vector_idx")]
)
def test_prewarming_holds_what_can_be(tmp_path: Path, prewarm: Callable[[Any], None]) -> None:
    """Blobs, dictionaries and types of extensions are for Lance to read."""
    some = rows(300, 0, np.random.default_rng(2)).select(["id", "text", "vector"])
    kinds = pa.array(["x", "y", None] * 100).dictionary_encode()
    table = lancelike.connect(tmp_path).create_table("t", some.append_column("kind", kinds))
    table.create_index("vector", config=lancelike.index.IvfFlat(num_partitions=2))
    prewarm(table)
    query = np.ones(NDIMS)
    assert "TakeFromMemory: id, text" in table.search(query).select(["id", "text"]).explain_plan()
    assert "TakeByRowId" in table.search(query).explain_plan()
    assert table.search(query).limit(1).to_list()[0]["kind"] in ("x", "y", None)


@pytest.mark.parametrize("by", ["id = 7", "text = 'text 7'", "`id` = 7"])
def test_after_some_lookups_a_thread_reads_what_they_need(make: Make, by: str) -> None:
    dataset, cache = make(rows(500, 0, np.random.default_rng(2))), VectorCache(EVERYTHING)
    searcher, query = Searcher(dataset, cache=cache), Query(filter=by, limit=1)
    expected = Searcher(dataset).table(query)
    assert expected.num_rows == 1
    until = time.monotonic() + 20
    while "LookupInMemory" not in searcher.explain(query):
        assert time.monotonic() < until
        same(searcher.table(query), expected)
    same(searcher.table(query), expected)
    assert "output_rows=1" in searcher.analyze(query)


@pytest.mark.parametrize(
    "asked",
    [
        *({"filter": each} for each in ("id = 7 OR id = 8", "id = 7.0", "id = 9223372036854775808", "tags = '7'")),
        *({"filter": "id = 7", **more} for more in ({"with_row_id": True}, {"columns": {"n": "id + 1"}})),
        *({"filter": "id = 7", **more} for more in ({"fragments": (0,)}, {"columns": ["part.page"]})),
    ],
)
def test_what_is_no_lookup_is_for_lance(make: Make, asked: dict[str, Any]) -> None:
    dataset, cache = make(rows(100, 0, np.random.default_rng(2))), VectorCache(EVERYTHING)
    hold(dataset, cache)
    searcher, query = Searcher(dataset, cache=cache), Query(**asked)
    try:
        expected = Searcher(dataset).table(query)
    except lancelike.LancelikeError as error:
        with pytest.raises(type(error)):
            searcher.table(query)
    else:
        same(searcher.table(query), expected)
        assert "LookupInMemory" not in searcher.explain(query)


def test_a_database_that_holds_nothing_looks_nothing_up(make: Make) -> None:
    dataset, cache = make(rows(100, 0, np.random.default_rng(2))), VectorCache(0)
    for _ in range(20):
        assert Searcher(dataset, cache=cache).table(Query(filter="id = 7")).num_rows == 1
    assert cache.held_bytes == 0
