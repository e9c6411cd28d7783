"""Naming, listing, creating, dropping and renaming tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import BadDataError, SchemaError, TableExistsError, TableNameError, TableNotFoundError


def test_names_are_sorted_and_never_cut(db: lancelike.DBConnection) -> None:
    for i in range(15):
        db.create_table(f"t{i:02}", [{"n": i}])
    assert db.list_tables().tables == [f"t{i:02}" for i in range(15)]
    assert len(db) == 15
    assert "t03" in db
    assert "nope" not in db
    page = db.list_tables(limit=4)
    assert page.tables == ["t00", "t01", "t02", "t03"]
    assert db.list_tables(page_token=page.page_token, limit=100).tables[0] == "t04"


def test_missing_and_existing_tables(db: lancelike.DBConnection) -> None:
    db.create_table("a", [{"n": 1}])
    with pytest.raises(TableNotFoundError, match="Table 'x' was not found"):
        db.open_table("x")
    with pytest.raises(ValueError, match="Table 'x' was not found"):
        db.drop_table("x")
    db.drop_table("x", ignore_missing=True)
    with pytest.raises(TableExistsError, match="Table 'a' already exists"):
        db.create_table("a", [{"n": 1}])
    assert db.create_table("a", [{"n": 1}, {"n": 2}], mode="overwrite").count_rows() == 2
    assert db.create_table("a", schema=pa.schema({"n": pa.int64()}), exist_ok=True).count_rows() == 2
    with pytest.raises(SchemaError, match="Provided schema does not match"):
        db.create_table("a", schema=pa.schema({"n": pa.string()}), exist_ok=True)


@pytest.mark.parametrize("name", ["a/b", "", "../up", "a b", ".hidden", 3])
def test_names_that_cannot_be(db: lancelike.DBConnection, name: str) -> None:
    with pytest.raises(TableNameError, match="can't name a table"):
        db.create_table(name, [{"n": 1}])


def test_drop_and_rename(db: lancelike.DBConnection) -> None:
    db.create_table("a", [{"n": 1}])
    db.create_table("b", [{"n": 1}, {"n": 2}])
    with pytest.raises(TableExistsError):
        db.rename_table("a", "b")
    db.rename_table("b", "c")
    assert db.list_tables().tables == ["a", "c"]
    assert db["c"].count_rows() == 2
    db.drop_all_tables()
    assert db.list_tables().tables == []


def test_a_table_needs_a_schema_or_rows(db: lancelike.DBConnection) -> None:
    with pytest.raises(SchemaError, match="needs a schema"):
        db.create_table("t")
    with pytest.raises(BadDataError, match="Cannot create table from empty list without a schema"):
        db.create_table("t", [])
    assert db.list_tables().tables == []


def test_an_empty_table_from_a_schema(db: lancelike.DBConnection) -> None:
    table = db.create_table("t", schema=pa.schema({"n": pa.int64(), "vector": pa.list_(pa.float32(), 2)}))
    assert table.count_rows() == 0
    table.add([{"n": 1, "vector": [1, 2]}])
    assert table.search([1, 2]).limit(1).to_list()[0]["n"] == 1


def test_rows_that_fail_leave_no_table(tmp_path: Path) -> None:
    db = lancelike.connect(tmp_path / "db")

    def rows() -> object:
        yield pa.RecordBatch.from_pylist([{"n": 1}])
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        db.create_table("t", rows(), schema=pa.schema({"n": pa.int64()}))
    assert db.list_tables().tables == []
    assert list((tmp_path / "db").iterdir()) == []


def test_repr(tmp_path: Path) -> None:
    db = lancelike.connect(tmp_path)
    assert repr(db) == f"LanceDBConnection(uri={str(tmp_path)!r})"
    assert repr(db.create_table("t", [{"n": 1}])) == f"LanceTable(name='t', _conn={db!r})"


def test_the_older_spelling_of_list_tables_warns(db: lancelike.DBConnection) -> None:
    db.create_table("a", [{"id": 1}])
    with pytest.warns(DeprecationWarning, match=r"table_names\(\) is deprecated; write list_tables\(\).tables") as said:
        assert db.table_names(namespace_path=[]) == ["a"]
    assert said[0].filename == __file__


@pytest.mark.parametrize("name", ["`", "a`b", "``", ""])
def test_a_column_name_that_could_not_be_read_again_is_refused(db: lancelike.DBConnection, name: str) -> None:
    with pytest.raises(SchemaError, match=r"backtick|empty"):
        db.create_table("bad", pa.table({name: [1]}))
    with pytest.raises(SchemaError, match=r"backtick|empty"):
        db.create_table("bad", schema=pa.schema({"id": pa.int64(), name: pa.int64()}))
    assert "bad" not in db
    table = db.create_table("t", [{"id": 1}])
    for change in (
        lambda: table.add_columns({name: "id + 1"}),
        lambda: table.add_columns(pa.field(name, pa.int64())),
        lambda: table.add_columns([pa.field(name, pa.int64())]),
        lambda: table.alter_columns({"path": "id", "rename": name}),
        lambda: table.merge(pa.table({"id": [1], name: [2]}), "id"),
        lambda: db.create_table("t", pa.table({name: [1]}), mode="overwrite"),
    ):
        with pytest.raises(SchemaError, match=r"backtick|empty"):
            change()
    assert table.to_arrow().to_pylist() == [{"id": 1}]
