"""Versions, tags, and handles that show the same thing."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import lance
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import ReadOnlyTableError, TableClosedError, TableNotFoundError, VersionNotFoundError


def test_handles_of_one_process_see_each_others_writes(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    other = db.open_table("docs")
    docs.add([{"id": 9, "text": "new"}])
    assert other.count_rows() == 6
    assert other.version == docs.version


def test_checkout_shows_the_past_and_refuses_writes(docs: lancelike.Table) -> None:
    first = docs.version
    docs.add([{"id": 9, "text": "new"}])
    docs.checkout(first)
    assert docs.count_rows() == 5
    with pytest.raises(ReadOnlyTableError, match="cannot be modified"):
        docs.add([{"id": 10, "text": "no"}])
    with pytest.raises(ReadOnlyTableError):
        docs.delete("true")
    docs.checkout_latest()
    assert docs.count_rows() == 6


def test_restore_makes_a_past_version_the_latest(docs: lancelike.Table) -> None:
    first = docs.version
    docs.delete("id < 3")
    docs.restore(first)
    assert docs.count_rows() == 5
    assert docs.version > first
    docs.delete("true")
    docs.checkout(first)
    docs.restore()
    assert docs.count_rows() == 5


def test_restore_needs_a_version(docs: lancelike.Table) -> None:
    with pytest.raises(ValueError, match="checkout before running restore"):
        docs.restore()


def test_tags_name_versions(docs: lancelike.Table) -> None:
    docs.tags.create("first", docs.version)
    docs.delete("true")
    assert docs.tags.get_version("first") < docs.version
    docs.checkout("first")
    assert docs.count_rows() == 5


def test_a_version_or_tag_that_is_not_there(docs: lancelike.Table) -> None:
    with pytest.raises(VersionNotFoundError, match="99"):
        docs.checkout(99)
    with pytest.raises(VersionNotFoundError, match="nope"):
        docs.checkout("nope")


def test_list_versions(docs: lancelike.Table) -> None:
    docs.delete("id = 0")
    versions = docs.list_versions()
    assert [v["version"] for v in versions] == sorted(v["version"] for v in versions)
    assert versions[-1]["version"] == docs.version


def test_a_handle_on_a_dropped_table_says_so(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    db.drop_table("docs")
    with pytest.raises((TableClosedError, TableNotFoundError)):
        docs.count_rows()


def test_a_table_made_again_under_its_name_is_another(docs: lancelike.Table, db: lancelike.DBConnection) -> None:
    db.drop_table("docs")
    again = db.create_table("docs", [{"n": 1}])
    assert again.schema.names == ["n"]
    assert again.count_rows() == 1


def test_consistency_interval_zero_sees_other_connections(tmp_path: Path) -> None:
    lancelike.connect(tmp_path).create_table("t", [{"n": 1}])
    table = lancelike.connect(tmp_path, read_consistency_interval=timedelta(0)).open_table("t")
    import lance

    lance.write_dataset(lancelike.connect(tmp_path).open_table("t").to_arrow(), table.uri, mode="append")
    assert table.count_rows() == 2


@pytest.mark.parametrize(
    ("interval", "seen"),
    [(None, 1), (timedelta(0), 2), (timedelta(hours=1), 1)],
    ids=["when asked", "at every read", "after an hour"],
)
def test_other_programs_writes_are_seen_as_the_connection_says(
    tmp_path: Path, interval: timedelta | None, seen: int
) -> None:
    table = lancelike.connect(tmp_path, read_consistency_interval=interval).create_table("t", [{"id": 1}])
    lance.write_dataset(pa.table({"id": [2]}), table.uri, mode="append")
    assert table.count_rows() == seen
    table.checkout_latest()
    assert table.count_rows() == 2


def test_what_was_seen_gets_as_old_as_the_interval(tmp_path: Path) -> None:
    interval = timedelta(milliseconds=1)
    table = lancelike.connect(tmp_path, read_consistency_interval=interval).create_table("t", [{"id": 1}])
    lance.write_dataset(pa.table({"id": [2]}), table.uri, mode="append")
    time.sleep(0.005)
    assert table.count_rows() == 2


@pytest.mark.parametrize(("option", "stable"), [("true", True), ("false", False), (None, True)])
def test_row_ids_are_stable_unless_told_otherwise(db: lancelike.DBConnection, option: str | None, stable: bool) -> None:
    options = {} if option is None else {"new_table_enable_stable_row_ids": option}
    table = db.create_table("t", [{"id": 1}, {"id": 2}], storage_options=options)
    before = table.search().where("id = 1").with_row_id().to_list()[0]["_rowid"]
    table.update(where="id = 1", values={"id": 10})
    after = table.search().where("id = 10").with_row_id().to_list()[0]["_rowid"]
    assert (before == after) is stable
