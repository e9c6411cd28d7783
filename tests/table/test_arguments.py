"""What LanceDB's scripts pass, and what they read off the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tqdm import tqdm

import lancelike
from lancelike.embeddings import EmbeddingFunctionConfig, get_registry
from lancelike.errors import EmbeddingFunctionUnavailable, QueryError
from lancelike.index import IvfFlat
from lancelike.types import AddColumnsResult, AlterColumnsResult, DropColumnsResult


@pytest.fixture
def plain(db: lancelike.DBConnection) -> lancelike.Table:
    return db.create_table("plain", [{"id": i, "name": f"n{i}"} for i in range(5)])


def test_changes_of_columns_tell_their_version(plain: lancelike.Table) -> None:
    assert plain.add_columns({"twice": "id * 2"}) == AddColumnsResult(version=2)
    assert plain.alter_columns({"path": "twice", "rename": "double"}) == AlterColumnsResult(version=3)
    assert plain.drop_columns(["double"]) == DropColumnsResult(version=4)
    assert plain.version == 4


def test_add_takes_its_arguments_by_position(plain: lancelike.Table) -> None:
    told: list[object] = []
    plain.add([{"id": 9, "name": "x"}], "append", "drop", 1.0, told.append, 2)
    assert told
    assert plain.count_rows() == 6


def test_optimize_takes_retrain_and_warns(plain: lancelike.Table) -> None:
    plain.optimize(retrain=False)
    with pytest.warns(DeprecationWarning, match="retrain"):
        plain.optimize(retrain=True)


def test_open_table_takes_storage_options(db: lancelike.DBConnection, plain: lancelike.Table) -> None:
    other = db.open_table("plain", storage_options={"timeout": "60s"})
    other.add([{"id": 9, "name": "x"}])
    assert plain.count_rows() == 6


# -- functions that data brings along ----------------------------------------------------------------------------------


def test_functions_named_in_the_metadata_of_rows_are_used(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    rows = docs.to_arrow()
    bare = rows.drop_columns(["vector"]).replace_schema_metadata(rows.schema.metadata)
    for name, data in (("whole", rows), ("bare", bare), ("stream", bare.to_reader())):
        copied = db.create_table(name, data)
        assert copied.embedding_functions.keys() == {"vector"}
        assert copied.to_arrow().sort_by("id")["vector"].to_pylist() == rows.sort_by("id")["vector"].to_pylist()
        copied.add([{"id": 50, "text": rows["text"][0].as_py()}])
        assert copied.count_rows("vector IS NULL") == 0


def test_functions_given_go_before_those_of_the_metadata(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    rows = docs.to_arrow().drop_columns(["vector"])
    config = EmbeddingFunctionConfig("other", "text", get_registry().get("hash").create(dim=3))
    made = db.create_table("other", rows, embedding_functions=[config])
    assert made.embedding_functions.keys() == {"other"}


def test_a_copy_with_its_vectors_needs_no_function(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    rows = docs.to_arrow()
    [(key, functions)] = rows.schema.metadata.items()
    name = docs.embedding_functions["vector"].function.stored()["name"].encode()
    rows = rows.replace_schema_metadata({key: functions.replace(name, b"gone")})
    copied = db.create_table("copy", rows)
    assert copied.count_rows() == docs.count_rows()
    assert copied.schema.metadata == rows.schema.metadata
    with pytest.raises(EmbeddingFunctionUnavailable):
        db.create_table("bare", rows.drop_columns(["vector"]))
    assert "bare" not in db


def test_metadata_of_other_kinds_is_kept(db: lancelike.DBConnection) -> None:
    made = db.create_table("t", pa.table({"id": [1]}).replace_schema_metadata({"owner": "me"}))
    assert made.schema.metadata == {b"owner": b"me"}


# -- one expression ----------------------------------------------------------------------------------------------------

CUT = ["id = 1; drop", "id = 1;; id = 2", "id = 1 -- a ;\n; id = 2", "name = 'a;b'; x", "id = 1; 'x'"]
WHOLE = ["name = 'a;b'", "name = 'it''s; so'", "id = 1;", "id = 1 ; \n", "id = 1 -- ; done", "id = 1 /* ; */"]


@pytest.mark.parametrize("text", CUT)
def test_text_after_a_semicolon_is_refused(plain: lancelike.Table, text: str) -> None:
    merge = plain.merge_insert("id")
    for ask in (
        lambda: plain.delete(text),
        lambda: plain.update(text, {"name": "x"}),
        lambda: plain.update(values_sql={"name": f"'x' || {text}"}),
        lambda: plain.count_rows(text),
        lambda: plain.search().where(text).to_list(),
        lambda: plain.search().where("id > 0").where(text).to_list(),
        lambda: plain.search().select({"x": text}).to_list(),
        lambda: plain.take_offsets([0]).select({"x": text}).to_list(),
        lambda: merge.when_matched_update_all(where=text).execute([{"id": 1, "name": "x"}]),
        lambda: plain.merge_insert("id").when_not_matched_by_source_delete(text).execute([{"id": 1, "name": "x"}]),
    ):
        with pytest.raises(QueryError):
            ask()
    assert plain.version == 1


@pytest.mark.parametrize("text", WHOLE)
def test_semicolons_elsewhere_are_not(plain: lancelike.Table, text: str) -> None:
    assert plain.count_rows(text) == plain.search().where(text).to_arrow().num_rows == ("id" in text)
    plain.update(text, {"name": "x;y"})
    assert plain.count_rows("name = 'x;y'") == ("id" in text)


# -- fields in columns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["payload.missing", "payload.a.deeper", "nothing.at.all"])
def test_an_index_on_a_field_that_is_not_there(db: lancelike.DBConnection, path: str) -> None:
    table = db.create_table("nested", [{"id": 1, "payload": {"a": 1}}])
    for config in (None, lancelike.index.BTree(), lancelike.index.IvfFlat()):
        with pytest.raises(lancelike.errors.ColumnNotFoundError, match=rf"Field path `{path}` not found"):
            table.create_index(path, config=config)


@pytest.mark.parametrize("kind", ["callable", "bar", "own bar"])
def test_the_building_of_an_index_shows_its_progress(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = lancelike.connect(tmp_path).create_table("t", [{"vector": [float(i), 1.0]} for i in range(300)])
    told: list[dict[str, Any]] = []
    own = tqdm()
    table.create_index(
        "vector",
        config=IvfFlat(num_partitions=2),
        progress={"callable": told.append, "bar": True, "own bar": own}[kind],
    )
    own.close()
    if kind == "callable":
        assert {"event", "stage", "completed", "total", "unit"} <= told[0].keys()
    else:
        assert "/300" in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress is True, a callable or a tqdm"):
        table.create_index("vector", progress="yes")
