"""Searches find all rows there are while an index of another program lists rows that it compacted away."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import QueryError
from lancelike.index import Bitmap
from lancelike.storage import listing
from lancelike.table import Table

ROWS, NDIMS, K = 3_000, 8, 10
LEFT = range(0, ROWS, 3)
KINDS = ("IVF_FLAT", "IVF_PQ", "IVF_SQ", "IVF_RQ", "IVF_HNSW_SQ")


@pytest.fixture
def vectors() -> Any:
    return np.random.default_rng(0).standard_normal((ROWS, NDIMS)).astype(np.float32)


@pytest.fixture
def table(tmp_path: Path, vectors: Any) -> Table:
    """A table that is searched through its indices: nothing is held in memory."""
    column = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), NDIMS)
    colours = ["red", "green", "blue"] * (ROWS // 3)
    texts = ["apple pie", "pear"] * (ROWS // 2)
    rows = pa.table({"id": range(ROWS), "colour": colours, "text": texts, "vector": column})
    table = lancelike.connect(tmp_path, vector_cache_bytes=0).create_table("t", rows.slice(0, 1_000))
    table.add(rows.slice(1_000))
    return table


def indexed_elsewhere(table: Table, kind: str = "IVF_FLAT") -> None:
    shown = table.to_lance()
    shown.create_index("vector", kind, num_partitions=3, **({"num_sub_vectors": 4} if "PQ" in kind else {}))
    shown.create_scalar_index("text", "INVERTED", stem=False)
    table.checkout_latest()


def compacted_elsewhere(table: Table) -> None:
    table.delete("id % 3 > 0")
    table.to_lance().optimize.compact_files()
    table.checkout_latest()


def ids(found: Any) -> list[int]:
    return list(found.to_arrow()["id"].to_pylist())


def nearest_ids(vectors: Any, asked: Any, among: Any = LEFT) -> list[int]:
    rows = np.array(among)
    return list(rows[np.argsort(((vectors[rows] - asked) ** 2).sum(axis=1), kind="stable")[:K]].tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_of_all_live_rows_are_found(table: Table, vectors: Any, kind: str) -> None:
    indexed_elsewhere(table, kind)
    compacted_elsewhere(table)
    right = 0
    for asked in vectors[1:300:3]:  # of rows that are gone
        found = ids(table.search(asked).nprobes(3).refine_factor(20).limit(K))
        assert len(found) == K
        right += len(set(found) & set(nearest_ids(vectors, asked)))
    assert right >= 0.9 * 100 * K


def test_the_best_of_all_live_rows_are_found_by_words(table: Table) -> None:
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    assert len(ids(table.search("apple", query_type="fts").limit(K))) == K
    assert sorted(ids(table.search("apple", query_type="fts").limit(ROWS))) == list(LEFT[::2])


def test_rows_of_a_filter_are_not_told_by_an_index_that_lists_others(table: Table, vectors: Any) -> None:
    table.create_index("colour", config=Bitmap())
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    some = "colour IN ('red', 'green')"
    assert ids(table.search(vectors[1]).nprobes(3).where(some).limit(K)) == nearest_ids(vectors, vectors[1])
    assert len(ids(table.search("apple", query_type="fts").where(some).limit(K))) == K


def test_rows_found_are_filtered_afterwards(table: Table, vectors: Any) -> None:
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    found = ids(table.search(vectors[1]).nprobes(3).where("id % 2 = 0", prefilter=False).limit(K))
    assert found == [each for each in nearest_ids(vectors, vectors[1]) if each % 2 == 0]
    best = table.search("apple", query_type="fts").limit(K)
    wanted = [each for each in ids(best) if each % 4 == 0]
    assert 0 < len(wanted) < K
    assert ids(best.where("id % 4 = 0", prefilter=False)) == wanted
    assert "still listed by text_idx" in best.explain_plan()
    none = table.search("plum", query_type="fts").where("id % 4 = 0", prefilter=False)
    assert ids(none) == []
    with pytest.raises(QueryError, match="can't be filtered by _score"):
        table.search("apple", query_type="fts").where("_score > 0.1", prefilter=False).to_arrow()


def test_both_sides_of_a_hybrid_search_find_them(table: Table, vectors: Any) -> None:
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    found = table.search(query_type="hybrid").vector(vectors[1]).nprobes(3).text("apple").limit(K)
    assert len(ids(found)) == K
    assert set(nearest_ids(vectors, vectors[1])) & set(ids(found))


def test_the_plan_and_the_log_say_so(table: Table, vectors: Any, caplog: pytest.LogCaptureFixture) -> None:
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    with caplog.at_level(logging.WARNING, logger="lancelike.storage"):
        assert "still listed by vector_idx" in table.search(vectors[1]).explain_plan()
        table.search(vectors[2]).to_arrow()
    assert [each.message for each in caplog.records if "vector_idx" in each.message and "optimize()" in each.message]
    assert len(caplog.records) == 1
    assert "still listed by text_idx" in table.search("apple", query_type="fts").explain_plan()
    assert "LiveRows" not in table.search(vectors[1]).bypass_vector_index().explain_plan()
    advice = table.health().advice
    assert sum("lists deleted rows" in each and "optimize()" in each for each in advice) == 2
    table.optimize()
    assert not any("lists deleted rows" in each for each in table.health().advice)
    assert "LiveRows" not in table.search(vectors[1]).explain_plan()


def test_a_search_from_memory_needs_no_index(table: Table, vectors: Any, tmp_path: Path) -> None:
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    held = lancelike.connect(tmp_path).open_table("t")
    plan = held.search(vectors[1]).nprobes(3).limit(K)
    assert "MemorySearch" in plan.explain_plan()
    assert "LiveRows" not in plan.explain_plan()
    assert ids(plan) == nearest_ids(vectors, vectors[1])


@pytest.mark.parametrize("deletes", [False, True])
def test_an_index_without_such_rows_is_searched_as_ever(table: Table, vectors: Any, deletes: bool) -> None:
    indexed_elsewhere(table)
    if deletes:  # Lance looks by itself until the rows are compacted away
        table.delete("id % 3 > 0")
    else:
        table.to_lance().optimize.compact_files()
        table.checkout_latest()
    for search in (table.search(vectors[1]), table.search("apple", query_type="fts")):
        plan = search.explain_plan()
        assert "LiveRows" not in plan
        assert "full_filter" not in plan


def test_what_is_listed_is_read_once(table: Table, vectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    row_ids = listing._row_ids

    def spy(file: str, *arguments: Any) -> Any:
        read.append(Path(file).name)
        return row_ids(file, *arguments)

    monkeypatch.setattr(listing, "_row_ids", spy)
    indexed_elsewhere(table)
    compacted_elsewhere(table)
    for _ in range(2):
        table.search(vectors[1]).limit(K).to_arrow()
        table.search("apple", query_type="fts").limit(K).to_arrow()
        table.add([{"id": 9_000, "colour": "red", "text": "plum", "vector": [50.0] * NDIMS}])
    assert sorted(read) == ["auxiliary.idx", "part_0_docs.lance"]


def test_an_index_that_cannot_be_read_is_taken_for_one_that_lists_them(table: Table, vectors: Any) -> None:
    indexed_elsewhere(table)
    for file in Path(table.to_lance().uri).glob("_indices/*/part_0_docs.lance"):
        file.rename(file.with_name("elsewhere"))
    assert "still listed by text_idx" in table.search("apple", query_type="fts").explain_plan()


def test_lancedb_builds_and_compacts(table: Table, vectors: Any, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    theirs = lancedb.connect(str(tmp_path)).open_table("t")
    theirs.create_index("vector", config=lancedb.index.IvfFlat(num_partitions=3))
    theirs.create_index("text", config=lancedb.index.FTS())
    theirs.delete("id % 3 > 0")
    theirs.optimize()
    table.checkout_latest()
    assert len(theirs.search("apple", query_type="fts").limit(K).to_arrow()) < K, "LanceDB has mended this by itself"
    assert ids(table.search(vectors[1]).nprobes(3).limit(K)) == nearest_ids(vectors, vectors[1])
    assert len(ids(table.search("apple", query_type="fts").limit(K))) == K
    table.optimize()
    assert ids(table.search(vectors[1]).nprobes(3).limit(K)) == nearest_ids(vectors, vectors[1])
    assert len(ids(table.search("apple", query_type="fts").limit(K))) == K
