"""Searches through indices never miss rows for entries of rows that were deleted and compacted away."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.index import FTS, HnswSq, IvfFlat, IvfPq, IvfRq
from lancelike.storage.masking import NO_FRAGMENTS
from lancelike.table import Table

ROWS, NDIMS, K = 3_000, 8, 10
LEFT = range(0, ROWS, 3)


@pytest.fixture
def vectors() -> Any:
    return np.random.default_rng(0).standard_normal((ROWS, NDIMS)).astype(np.float32)


@pytest.fixture
def table(tmp_path: Path, vectors: Any) -> Table:
    """A table that is searched through its indices: nothing is held in memory."""
    column = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), NDIMS)
    rows = pa.table({"id": range(ROWS), "text": ["apple pie", "pear"] * (ROWS // 2), "vector": column})
    table = lancelike.connect(tmp_path, vector_cache_bytes=0).create_table("t", rows.slice(0, 1_000))
    table.add(rows.slice(1_000, 1_000))
    table.add(rows.slice(2_000))
    return table


def index(table: Table, config: Any = None) -> None:
    table.create_index("vector", config=config or IvfFlat(num_partitions=3))
    table.create_index("text", config=FTS())


def check(table: Table, vectors: Any, least_right: int = K) -> None:
    left = vectors[list(LEFT)]
    for asked in vectors[1:300:3]:  # of rows that are gone
        found = table.search(asked).nprobes(3).refine_factor(20).limit(K).to_arrow()
        furthest = np.sort(((left - asked) ** 2).sum(axis=1))[K - 1]
        assert len(found) == K
        assert (found["_distance"].to_numpy() <= furthest + 1e-4).sum() >= least_right
    assert len(table.search("apple", query_type="fts").limit(K).to_arrow()) == K
    assert len(table.search("apple", query_type="fts").limit(ROWS).to_arrow()) == len(LEFT) // 2


@pytest.mark.parametrize(
    ("config", "least_right"),
    [
        (IvfFlat(num_partitions=3), K),
        (IvfPq(num_partitions=3), K - 2),
        (IvfRq(num_partitions=3), K - 2),
        (HnswSq(num_partitions=1), K - 2),
    ],
)
def test_deleted_rows_take_no_places_after_compaction(
    table: Table, vectors: Any, config: Any, least_right: int
) -> None:
    index(table, config)
    table.delete("id % 3 > 0")
    table.optimize()
    check(table, vectors, least_right)
    table.compact_files(materialize_deletions_threshold=0.0)
    check(table, vectors, least_right)


def test_another_program_may_compact(table: Table, vectors: Any) -> None:
    index(table)
    table.delete("id % 3 > 0")
    table.to_lance().optimize.compact_files()
    table.checkout_latest()
    check(table, vectors)


def test_lancedb_reads_and_optimizes_it(table: Table, vectors: Any, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    index(table)
    table.delete("id % 3 > 0")
    theirs = lancedb.connect(str(tmp_path)).open_table("t")
    theirs.optimize()
    assert len(theirs.search("apple", query_type="fts").limit(K).to_arrow()) == K
    table.checkout_latest()
    check(table, vectors)


def test_new_rows_of_an_index_are_looked_through(table: Table, vectors: Any) -> None:
    index(table)
    table.delete("id % 3 > 0")
    new = pa.FixedSizeListArray.from_arrays(pa.array(np.full(NDIMS * 300, 50, np.float32)), NDIMS)
    for first in (0, 300):
        table.add(pa.table({"id": range(9_000 + first, 9_300 + first), "text": ["plum"] * 300, "vector": new}))
        table.optimize()
    table.delete("id >= 9000 AND id % 2 = 0")
    table.optimize()
    check(table, vectors)
    assert len(table.search("plum", query_type="fts").limit(K).to_arrow()) == K
    assert len(table.search([50.0] * NDIMS).nprobes(3).where("id > 0").limit(300).to_arrow()) == 300


def test_an_index_of_before_is_looked_through_from_the_next_compaction(table: Table, vectors: Any) -> None:
    as_lance_makes_it(table)
    table.delete("id % 3 > 0")
    table.optimize()
    check(table, vectors)


def test_what_another_program_left_behind_is_mended_by_optimize(table: Table, vectors: Any) -> None:
    as_lance_makes_it(table)
    table.delete("id % 3 > 0")
    table.to_lance().optimize.compact_files()
    table.checkout_latest()
    by_lance = table.to_lance().scanner(full_text_query="apple", limit=K).to_table()
    assert len(by_lance) < K, "Lance has mended this by itself"
    assert any("'text_idx' lists deleted rows" in advice for advice in table.health().advice)
    table.optimize()
    assert not any("lists deleted rows" in advice for advice in table.health().advice)
    check(table, vectors)


def test_an_index_whose_making_is_forgotten_is_built_again(table: Table, vectors: Any) -> None:
    as_lance_makes_it(table)
    table.delete("id % 3 > 0")
    table.to_lance().cleanup_old_versions(timedelta(0))
    before = {each.name: each.index_uuid for each in table.list_indices()}
    table.optimize()
    assert all(before[each.name] != each.index_uuid for each in table.list_indices())
    check(table, vectors)
    assert table.search("appl", query_type="fts").to_list() == [], "the settings of the words' index were kept"


def test_cleanup_looks_first(table: Table, vectors: Any) -> None:
    as_lance_makes_it(table)
    before = {each.name: each.index_uuid for each in table.list_indices()}
    table.cleanup_old_versions(timedelta(0))
    table.delete("id % 3 > 0")
    table.optimize()
    assert {each.name: each.index_uuid for each in table.list_indices()} == before, "no index was built again"
    check(table, vectors)


def test_an_index_that_looks_is_not_changed_again(table: Table) -> None:
    index(table)
    version = table.version
    table.cleanup_old_versions()
    assert table.version == version


def test_coverage_is_told_as_before(table: Table) -> None:
    index(table)
    for each in table.to_lance().describe_indices():
        assert set(each.segments[0].fragment_ids) & set(NO_FRAGMENTS)
    for name in ("vector_idx", "text_idx"):
        stats = table.index_stats(name)
        assert stats is not None
        assert (stats.num_indexed_rows, stats.num_unindexed_rows) == (ROWS, 0)
    assert table.health().unindexed == 0


def as_lance_makes_it(table: Table) -> None:
    shown = table.to_lance()
    shown.create_index("vector", "IVF_FLAT", num_partitions=3)
    shown.create_scalar_index("text", "INVERTED", stem=False)
    table.checkout_latest()
