"""A table that is dropped and made again, or a branch: Lance's caches are by place and version number."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.index import FTS, IvfFlat

ROWS = 300


def rows(first: int) -> pa.Table:
    values = pa.array(np.random.default_rng(first).standard_normal(ROWS * 4).astype(np.float32))
    vectors = pa.FixedSizeListArray.from_arrays(values, 4)
    return pa.table({"id": range(first, first + ROWS), "text": ["word"] * ROWS, "vector": vectors})


def with_indices(table: lancelike.Table) -> lancelike.Table:
    table.create_index("vector", config=IvfFlat(num_partitions=2))
    table.create_index("text", config=FTS())
    return table


def found(table: lancelike.Table) -> list[set[int]]:
    """Ids that searches through Lance's indices find, where they look for all."""
    through = [table.search([0.0] * 4).nprobes(2), table.search("word", query_type="fts")]
    assert "not from memory" in through[0].explain_plan()
    return [set(search.limit(2 * ROWS).to_arrow()["id"].to_pylist()) for search in through]


@pytest.fixture
def db(tmp_path: Path) -> lancelike.DBConnection:
    return lancelike.connect(tmp_path, vector_cache_bytes=0)


def test_a_table_made_again_has_its_own_rows(db: lancelike.DBConnection) -> None:
    table = with_indices(db.create_table("t", rows(0)))
    table.delete("id < 200")
    assert found(table) == [set(range(200, 300))] * 2
    version = table.version
    db.drop_table("t")
    table = with_indices(db.create_table("t", rows(1000)))
    table.delete("id >= 1250")
    assert table.version == version
    assert found(table) == [set(range(1000, 1250))] * 2


@pytest.mark.parametrize("later", [0, 2])
def test_one_that_another_program_made_again(tmp_path: Path, later: int) -> None:
    """Nobody had it open meanwhile, and connections share what is remembered."""
    session = lancelike.Session()
    one, other = (lancelike.connect(tmp_path, vector_cache_bytes=0, session=session) for _ in range(2))
    table = with_indices(one.create_table("t", rows(0)))
    table.delete("id < 200")
    assert found(table) == [set(range(200, 300))] * 2
    version = table.version
    del table

    again = with_indices(lancelike.connect(tmp_path / "elsewhere").create_table("t", rows(1000)))
    again.delete("id >= 1250")
    for each in range(later):
        again.delete(f"id = {1000 + each}")
    shutil.rmtree(tmp_path / "t.lance")
    shutil.move(tmp_path / "elsewhere" / "t.lance", tmp_path)
    again = other.open_table("t")
    assert again.version == version + later
    assert found(again) == [set(range(1000 + later, 1250))] * 2
    again.checkout(version)
    assert found(again) == [set(range(1000, 1250))] * 2


def test_a_branch_made_again_has_its_own_rows(db: lancelike.DBConnection) -> None:
    table = with_indices(db.create_table("t", rows(0)))
    for condition, left in [("id < 200", range(200, 300)), ("id >= 250", range(250))]:
        branch = table.branches.create("b")
        branch.delete(condition)
        assert found(branch) == [set(left)] * 2
        table.branches.delete("b")


def test_what_is_remembered_of_a_table_that_goes_on_is_kept(tmp_path: Path) -> None:
    session = lancelike.Session()
    db = lancelike.connect(tmp_path, vector_cache_bytes=0, session=session)
    with_indices(db.create_table("t", rows(0)))
    remembers = session.lance
    for count in (1, 2):
        assert [len(ids) for ids in found(db.open_table("t"))] == [count * ROWS] * 2
        db.open_table("t").add(rows(count * ROWS))
    assert session.lance is remembers
