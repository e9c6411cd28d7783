"""Versions, tags, and handles that show the same thing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

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
