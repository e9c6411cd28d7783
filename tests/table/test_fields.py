"""What is noted with columns, joins of new columns, and manifests."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import BadDataError, ColumnNotFoundError, SchemaError
from lancelike.pydantic import LanceModel


@pytest.fixture
def plain(db: lancelike.DBConnection) -> lancelike.Table:
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("n", pa.float64())])
    return db.create_table("plain", pa.table({"id": [1, 2, 3], "n": [0.1, 0.2, 0.3]}).cast(schema), schema=schema)


def test_metadata_is_set_deleted_and_replaced(plain: lancelike.Table) -> None:
    def noted() -> object:
        return plain.schema.field("n").metadata

    before = plain.version
    assert plain.update_field_metadata({"path": "n", "metadata": {"a": "1", "b": "2"}}).version > before
    plain.update_field_metadata({"path": "n", "metadata": {"a": None, "c": "3"}})
    assert noted() == {b"b": b"2", b"c": b"3"}
    plain.update_field_metadata({"path": "n", "metadata": {"d": "4"}, "replace": True})
    assert noted() == {b"d": b"4"}
    with pytest.warns(DeprecationWarning, match="write update_field_metadata"):
        plain.replace_field_metadata("n", {"e": "5"})
    assert noted() == {b"e": b"5"}


def test_metadata_of_no_column(plain: lancelike.Table) -> None:
    before = plain.version
    with pytest.raises(ColumnNotFoundError, match="nope"):
        plain.update_field_metadata({"path": "n", "metadata": {}}, {"path": "nope", "metadata": {"a": "b"}})
    assert plain.version == before


def test_replacing_metadata_keeps_what_a_type_needs(db: lancelike.DBConnection) -> None:
    class Thing(LanceModel):
        id: UUID

    things = db.create_table("things", [Thing(id=uuid4())], schema=Thing)
    things.update_field_metadata({"path": "id", "metadata": {"a": "b"}, "replace": True})
    assert isinstance(things.search().to_pydantic(Thing)[0].id, UUID)
    assert things.schema.field("id").metadata[b"a"] == b"b"


def test_one_column_is_the_primary_key_for_good(plain: lancelike.Table) -> None:
    plain.set_unenforced_primary_key("id")
    assert plain.to_lance().lance_schema.field("id").is_unenforced_primary_key()
    plain.set_unenforced_primary_key(["id"])
    with pytest.raises(SchemaError, match="'id' is the primary key already"):
        plain.set_unenforced_primary_key("n")


def test_columns_that_are_no_primary_key(plain: lancelike.Table) -> None:
    with pytest.raises(SchemaError, match="double; a primary key is int32"):
        plain.set_unenforced_primary_key("n")
    with pytest.raises(SchemaError, match="one column, not 2"):
        plain.set_unenforced_primary_key(["id", "n"])
    with pytest.raises(ColumnNotFoundError):
        plain.set_unenforced_primary_key("nope")
    plain.add_columns(pa.field("text", pa.string()))
    with pytest.raises(SchemaError, match="takes nulls"):
        plain.set_unenforced_primary_key("text")


def test_merge_joins_columns_by_key(plain: lancelike.Table, db: lancelike.DBConnection) -> None:
    plain.merge([{"key": 3, "word": "three"}, {"key": 1, "word": "one"}], "id", "key")
    assert plain.to_arrow()["word"].to_pylist() == ["one", None, "three"]
    other = db.create_table("other", [{"id": 2, "more": 20}])
    plain.merge(other, "id")
    assert plain.to_arrow()["more"].to_pylist() == [None, 20, None]


def test_merges_that_are_refused_change_nothing(plain: lancelike.Table) -> None:
    before = plain.version
    with pytest.raises(BadDataError, match="several rows have the key 1"):
        plain.merge([{"id": 1, "x": 1}, {"id": 1, "x": 2}], "id")
    with pytest.raises(SchemaError, match="'n' is there already"):
        plain.merge([{"id": 1, "n": 1.0}], "id")
    with pytest.raises(ColumnNotFoundError):
        plain.merge([{"id": 1, "x": 1}], "id", "nope")
    assert plain.version == before


def test_new_tables_have_manifests_of_today(plain: lancelike.Table) -> None:
    assert plain.uses_v2_manifest_paths()
    plain.migrate_v2_manifest_paths()
    assert plain.uses_v2_manifest_paths()


def test_old_manifests_are_migrated(tmp_path: Path) -> None:
    import lance

    lance.write_dataset(pa.table({"id": [1]}), tmp_path / "old.lance", enable_v2_manifest_paths=False)
    old = lancelike.connect(tmp_path).open_table("old")
    assert not old.uses_v2_manifest_paths()
    old.migrate_v2_manifest_paths()
    assert old.uses_v2_manifest_paths()
    assert lancelike.connect(tmp_path).open_table("old").count_rows() == 1


def test_prewarming_holds_vectors(docs: lancelike.Table) -> None:
    docs.prewarm_data(["vector"])
    docs.prewarm_data()
    with pytest.raises(ColumnNotFoundError):
        docs.prewarm_data(["nope"])
