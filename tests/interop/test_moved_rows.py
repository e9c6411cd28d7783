"""B-trees that we built, on tables whose rows LanceDB moves without them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.index import BTree
from lancelike.storage import Dataset
from tests.interop.conftest import NDIMS, OurLetters, count_letters

ROWS = [{"id": i, "n": i, "at": {"x": i}} for i in range(40)]


@pytest.fixture
def written(ours: lancelike.DBConnection) -> lancelike.Table:
    table = ours.create_table("t", ROWS[:20])
    table.add(ROWS[20:])
    table.create_index("id", config=BTree())
    return table


@pytest.fixture
def moved(theirs: Any, written: lancelike.Table) -> lancelike.Table:
    """The row with id 5 is where the B-tree does not know it, and the B-tree claims it is not."""
    theirs.open_table("t").update(where="id = 5", values={"n": 500})
    written.checkout_latest()
    lance = Dataset.open(written._location, "t")._readable()
    assert "ScalarIndexQuery" in lance.scanner(filter="id = 5").explain_plan()
    assert lance.to_table(filter="id = 5").num_rows == 0, "LanceDB keeps B-trees right now: this file can go"
    return written


def is_used(table: lancelike.Table) -> bool:
    return "ScalarIndexQuery" in table.search().where("id = 5").explain_plan()


def where(table: lancelike.Table, condition: str) -> list[int]:
    return sorted(row["n"] for row in table.search().where(condition).to_list())


def test_reads_go_round_it(moved: lancelike.Table) -> None:
    version = moved.version
    assert where(moved, "id = 5") == [500]
    assert where(moved, "id IN (4, 5, 6)") == [4, 6, 500]
    assert moved.count_rows("id = 5") == 1
    assert [row["n"] for row in moved.search().where("id = 5").to_batches().read_all().to_pylist()] == [500]
    assert moved.to_lance().to_table(filter="id = 5").num_rows == 1
    assert moved.to_polars().filter(id=5).collect()["n"].to_list() == [500]
    assert not is_used(moved)
    assert moved.version == version


def test_a_search_for_vectors_goes_round_it(theirs: Any, ours: lancelike.DBConnection) -> None:
    function = OurLetters.create()
    rows = [{"id": i, "n": i, "vector": function.generate_embeddings([chr(97 + i)])[0]} for i in range(20)]
    table = ours.create_table("v", rows)
    table.create_index("id", config=BTree())
    theirs.open_table("v").update(where="id = 5", values={"n": 500})
    table.checkout_latest()
    found = table.search(count_letters(["f"], 1.0)[0]).where("id = 5").limit(3).to_list()
    assert [row["n"] for row in found] == [500]
    assert len(found[0]["vector"]) == NDIMS


def test_delete_finds_the_row(moved: lancelike.Table) -> None:
    assert moved.delete("id = 5").num_deleted_rows == 1
    assert moved.count_rows() == 39
    assert is_used(moved)


def test_update_finds_the_row(moved: lancelike.Table) -> None:
    assert moved.update("id = 5", {"n": 501}).rows_updated == 1
    assert where(moved, "id = 5") == [501]
    assert is_used(moved)


@pytest.mark.parametrize("use_index", [True, False])
def test_a_merge_does_not_insert_the_row_again(moved: lancelike.Table, use_index: bool) -> None:
    merge = moved.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().use_index(use_index)
    result = merge.execute([{"id": 5, "n": 502, "at": {"x": 5}}])
    assert (result.num_updated_rows, result.num_inserted_rows) == (1, 0)
    assert where(moved, "id = 5") == [502]
    assert moved.count_rows() == 40


def test_an_update_with_vectors_finds_the_row(theirs: Any, ours: lancelike.DBConnection) -> None:
    function = OurLetters.create()
    configs = [lancelike.embeddings.EmbeddingFunctionConfig("vector", "text", function)]
    rows = [{"id": i, "text": "a" * i, "n": i} for i in range(10)]
    table = ours.create_table("t", rows, embedding_functions=configs)
    table.create_index("id", config=BTree())
    theirs.open_table("t").update(where="id = 5", values={"n": 500})
    assert table.update("id = 5", {"text": "zz"}).rows_updated == 1
    assert table.search("zz").limit(1).to_list()[0]["n"] == 500


def test_refresh_finds_the_row(theirs: Any, ours: lancelike.DBConnection) -> None:
    function = OurLetters.create()
    configs = [lancelike.embeddings.EmbeddingFunctionConfig("vector", "text", function)]
    table = ours.create_table("t", [{"id": i, "text": "a" * i} for i in range(10)], embedding_functions=configs)
    table.create_index("id", config=BTree())
    theirs.open_table("t").update(where="id = 5", values={"text": "zz"})
    table.checkout_latest()
    assert len(table.verify()) == 1
    assert table.refresh().embedded == 1
    assert table.search("zz").where("id = 5").limit(1).to_list()[0]["vector"] == count_letters(["zz"], 1.0)[0]


def test_add_and_optimize_build_it_again(theirs: Any, moved: lancelike.Table) -> None:
    moved.add([{"id": 40, "n": 40, "at": {"x": 40}}])
    assert is_used(moved)
    assert where(moved, "id IN (5, 40)") == [40, 500]
    theirs.open_table("t").update(where="id = 6", values={"n": 600})
    moved.optimize()
    assert is_used(moved)
    assert where(moved, "id IN (5, 6, 40)") == [40, 500, 600]


def test_an_overwrite_needs_no_index(moved: lancelike.Table) -> None:
    moved.add(ROWS[:3], mode="overwrite")
    assert where(moved, "id = 2") == [2]


def test_a_compaction_by_lance_alone_does_not_hide_it(moved: lancelike.Table) -> None:
    """The B-tree then has entries of every fragment, and too few of them."""
    moved._shown._readable().optimize.compact_files()
    moved.checkout_latest()
    assert where(moved, "id = 5") == [500]


def test_past_versions_are_looked_at_too(moved: lancelike.Table) -> None:
    broken = moved.version
    moved.optimize()
    moved.checkout(broken)
    assert where(moved, "id = 5") == [500]
    moved.restore()
    assert where(moved, "id = 5") == [500]
    assert moved.delete("id = 5").num_deleted_rows == 1


def test_a_pinned_handle_reads_and_does_not_mend(moved: lancelike.Table, ours: lancelike.DBConnection) -> None:
    pinned = ours.open_table("t", version=moved.version)
    assert where(pinned, "id = 5") == [500]
    assert not is_used(pinned)


def test_a_nested_column(theirs: Any, written: lancelike.Table) -> None:
    written.add([{"id": 50, "n": 50, "at": None}, {"id": 51, "n": 51, "at": {"x": None}}])
    written.create_index("at.x", config=BTree())
    assert "ScalarIndexQuery" in written.search().where("at.x = 5").explain_plan()
    theirs.open_table("t").update(where="id = 5", values={"n": 500})
    written.checkout_latest()
    assert where(written, "at.x = 5") == [500]
    written.delete("at.x = 5")
    assert written.count_rows("id = 5") == 0
    assert "ScalarIndexQuery" in written.search().where("at.x = 6").explain_plan()


def test_our_own_writes_leave_it_in_use(written: lancelike.Table, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that we do makes a sound B-tree look otherwise."""
    written.create_index("n", config=BTree())
    merge = written.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    for step in (
        lambda: written.update("id = 5", {"n": 500}),
        lambda: merge.execute([{"id": 6, "n": 600, "at": None}, {"id": 90, "n": 90, "at": None}]),
        lambda: written.add([{"id": None, "n": None, "at": None}]),
        lambda: written.delete("id < 3"),
        lambda: written.delete("id >= 20 AND id < 40"),
        written.compact_files,
        written.optimize,
        lambda: written.add_columns({"m": "n + 1"}),
        lambda: written.restore(written.version - 3),
        written.optimize,
    ):
        step()
        assert is_used(written)
        assert where(written, "id = 5") in ([5], [500])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_index_without_rows_is_sound(ours: lancelike.DBConnection) -> None:
    table = ours.create_table("t", ROWS)
    table.create_index("id", config=BTree(), train=False)
    assert where(table, "id = 5") == [5]
    table.delete("true")
    table.optimize()
    assert where(table, "id = 5") == []


def test_it_is_logged_once(theirs: Any, written: lancelike.Table, caplog: pytest.LogCaptureFixture) -> None:
    theirs.open_table("t").update(where="id = 5", values={"n": 500})
    written.checkout_latest()
    for _ in range(3):
        where(written, "id = 5")
        written.checkout_latest()
    [record] = [record for record in caplog.records if record.name == "lancelike.storage"]
    assert "'id_idx'" in record.getMessage()
    assert "misses rows" in record.getMessage()


def test_what_is_known_is_not_read_again(written: lancelike.Table, tmp_path: Path) -> None:
    """The entries of a segment never change, so they are counted once."""
    assert where(written, "id = 5") == [5]
    [pages] = (tmp_path / "db").glob("t.lance/_indices/*/page_data.lance")
    pages.unlink()
    written.add([{"id": 60, "n": 60, "at": None}])
    assert is_used(written)
    assert written._shown._stale_btrees(written._shown._readable()) == []


def test_a_writer_that_does_not_know_loses_nothing(theirs: Any, written: lancelike.Table) -> None:
    """Each of our deletes is preceded by a move of theirs, with this handle not told."""
    other = theirs.open_table("t")
    for i in range(5, 9):
        other.checkout_latest()
        other.update(where=f"id = {i}", values={"n": 1000 + i})
        assert written.delete(f"id = {i}").num_deleted_rows == 1
    assert written.count_rows() == 36
