"""What can't be stored or answered is said plainly, and leaves the database as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import (
    BadDataError,
    BadVectorError,
    ColumnNotFoundError,
    CorruptTableError,
    QueryError,
    TableExistsError,
    TableNameError,
    TableNotFoundError,
)
from lancelike.index import FTS, Bitmap, BTree, IvfPq, LabelList
from lancelike.pydantic import LanceModel, Vector
from tests.table.conftest import Doc, hashing

VECTOR = [0.0] * 31 + [1.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def db(folder: Path) -> lancelike.DBConnection:
    return lancelike.connect(folder)


@pytest.fixture
def plain(db: lancelike.DBConnection) -> lancelike.Table:
    """Twenty rows that no function fills."""
    rows = [{"id": i, "name": f"n{i}", "vector": [float(i), 1.0]} for i in range(20)]
    return db.create_table("plain", rows)


def files_in(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@contextmanager
def unchanged(table: lancelike.Table, folder: Path) -> Iterator[None]:
    """Holds that the block leaves rows, version and files as they were, to this handle and to a new one."""
    version, rows, files = table.version, table.to_arrow(), files_in(folder)
    yield
    again = lancelike.connect(folder)[table.name]
    assert (table.version, again.version) == (version, version)
    assert table.to_arrow().equals(rows)
    assert again.to_arrow().equals(rows)
    assert files_in(folder) == files


Write = Callable[[lancelike.Table, Any], Any]
WRITES: dict[str, Write] = {
    "add": lambda table, rows: table.add(rows),
    "overwrite": lambda table, rows: table.add(rows, mode="overwrite"),
    "merge": lambda table, rows: (
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
    ),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))


def row(id_: int, **values: Any) -> dict[str, Any]:
    return {"id": id_, "name": f"n{id_}", "vector": [1.0, 2.0], **values}


# -- vectors -----------------------------------------------------------------------------------------------------------


@each_write
@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([1.0, 2.0, 3.0], r"length 3 where the column's are 2 long: \[1.0, 2.0, 3.0\]"),
        ([1.0], r"length 1 where the column's are 2 long"),
        ([], r"length 0 where the column's are 2 long"),
        ([1.0, float("nan")], "NaN"),
        ([1.0, None], "NaN"),
        (None, "a vector is null"),
    ],
)
def test_a_bad_vector(plain: lancelike.Table, folder: Path, write: Write, vector: Any, says: str) -> None:
    rows = [row(i) for i in range(100, 120)]
    rows[17]["vector"] = vector
    with (
        unchanged(plain, folder),
        pytest.raises(BadVectorError, match=rf"row 17, column 'vector': .*{says}.*on_bad_vectors") as caught,
    ):
        write(plain, rows)
    assert (caught.value.row, caught.value.column) == (17, "vector")
    assert caught.value.value == vector or (vector is not None and np.isnan([v or np.nan for v in vector]).any())


@pytest.mark.parametrize("value", ["text", 3, b"bytes", {"x": 1}, ["a", "b"], [[1.0, 2.0], [3.0, 4.0]]])
@each_write
def test_a_vector_that_is_none(plain: lancelike.Table, folder: Path, write: Write, value: Any) -> None:
    with unchanged(plain, folder), pytest.raises(BadDataError, match="row 1, column 'vector'") as caught:
        write(plain, [row(100), row(101, vector=value)])
    assert (caught.value.row, caught.value.column, caught.value.value) == (1, "vector", value)


@each_write
def test_ragged_vectors_of_a_frame(plain: lancelike.Table, folder: Path, write: Write) -> None:
    frame = pd.DataFrame({"id": [100, 101], "name": ["a", "b"], "vector": [[1.0, 2.0], [1.0]]})
    with unchanged(plain, folder), pytest.raises(BadVectorError, match="row 1, column 'vector'"):
        write(plain, frame)


@each_write
def test_arrow_vectors_of_another_length(plain: lancelike.Table, folder: Path, write: Write) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(6, np.float32)), 3)
    rows = pa.table({"id": [100, 101], "name": ["a", "b"], "vector": vectors})
    with unchanged(plain, folder), pytest.raises(BadVectorError, match=r"row 0, column 'vector': .*length 3"):
        write(plain, rows)


@pytest.mark.parametrize("vector", [VECTOR[:-1], [*VECTOR[:-1], float("nan")]])
def test_a_bad_vector_where_a_function_fills_the_column(folder: Path, db: lancelike.DBConnection, vector: Any) -> None:
    docs = db.create_table("docs", [{"id": 0, "text": "zero"}], schema=Doc)
    with unchanged(docs, folder), pytest.raises(BadVectorError, match="row 1, column 'vector'"):
        docs.add([{"id": 1, "text": "one"}, {"id": 2, "text": "two", "vector": vector}])


def test_ragged_vectors_of_a_new_table(db: lancelike.DBConnection, folder: Path) -> None:
    with pytest.raises(BadVectorError, match=r"row 2, column 'vector': .*length 3"):
        db.create_table("t", [{"vector": [1.0, 2.0]}, {"vector": [3.0, 4.0]}, {"vector": [1.0, 2.0, 3.0]}])
    assert db.list_tables().tables == []
    assert list(folder.glob("*")) == []


def test_a_query_of_the_wrong_length(plain: lancelike.Table) -> None:
    with pytest.raises(QueryError, match=r"the query has 3 values.*'vector' has 2"):
        plain.search([1.0, 2.0, 3.0]).to_list()
    with pytest.raises(QueryError, match="vector"):
        plain.search([1.0, 2.0, 3.0], vector_column_name="vector").to_list()
    with pytest.raises(QueryError, match="NaN"):
        plain.search([1.0, float("nan")])
    with pytest.raises(QueryError, match="non-empty"):
        plain.search([])
    with pytest.raises(QueryError, match="has no registered embedding function"):
        plain.search("a text", query_type="vector").to_list()
    with pytest.raises(QueryError, match="unless an INVERTED index has been created"):
        plain.search("a text").to_list()


@pytest.mark.parametrize(
    ("column", "config", "says"),
    [
        ("id", LabelList(), "a LabelList index cannot be created on column 'id', which holds int64"),
        ("vector", BTree(), "a BTree index cannot be created on column 'vector'"),
        ("vector", Bitmap(), "a Bitmap index cannot be created on column 'vector'"),
        ("id", FTS(), "a FTS index cannot be created on column 'id'"),
        ("name", IvfPq(), "column 'name' holds string, not vectors"),
    ],
)
def test_an_index_that_does_not_suit_its_column(
    plain: lancelike.Table, folder: Path, column: str, config: Any, says: str
) -> None:
    with unchanged(plain, folder), pytest.raises(QueryError, match=says):
        plain.create_index(column, config=config)


# -- columns and values ------------------------------------------------------------------------------------------------


@each_write
def test_a_wrong_type_in_row_17(plain: lancelike.Table, folder: Path, write: Write) -> None:
    rows = [row(i) for i in range(100, 120)]
    rows[17]["name"] = 3.5
    with (
        unchanged(plain, folder),
        pytest.raises(BadDataError, match=r"row 17, column 'name': 3.5 is not string; convert it") as caught,
    ):
        write(plain, rows)
    assert (caught.value.row, caught.value.column, caught.value.value) == (17, "name", 3.5)


@pytest.mark.parametrize("value", ["abc", "12", 1.5, 2**63, [1], {"a": 1}, b"1"])
@each_write
def test_what_is_no_integer(plain: lancelike.Table, folder: Path, write: Write, value: Any) -> None:
    with unchanged(plain, folder), pytest.raises(BadDataError, match="row 1, column 'id'") as caught:
        write(plain, [row(100), row(101, id=value)])
    assert caught.value.value == value


def test_a_wrong_type_far_into_a_stream(plain: lancelike.Table, folder: Path) -> None:
    rows = (row(i, name=None if i < 25_017 else object()) for i in range(30_000))
    with unchanged(plain, folder), pytest.raises(BadDataError, match="row 25017, column 'name'"):
        plain.add(rows)


def test_types_that_do_not_go_together_in_a_new_table(db: lancelike.DBConnection, folder: Path) -> None:
    rows: list[dict[str, Any]] = [{"n": i} for i in range(17)]
    with pytest.raises(BadDataError, match=r"row 17, column 'n': 'seventeen'.*give the column one type"):
        db.create_table("t", [*rows, {"n": "seventeen"}])
    assert list(folder.glob("*")) == []


@each_write
def test_an_extra_column(plain: lancelike.Table, folder: Path, write: Write) -> None:
    with (
        unchanged(plain, folder),
        pytest.raises(
            BadDataError, match=r"row 1, column 'colour': .*no such column; its columns are id, name"
        ) as caught,
    ):
        write(plain, [row(100), row(101, colour="red")])
    assert (caught.value.row, caught.value.value) == (1, "red")


def test_a_missing_column_is_null_where_it_may_be(plain: lancelike.Table) -> None:
    plain.add([{"id": 100, "vector": [1.0, 2.0]}])
    assert plain.search().where("id = 100").to_list()[0]["name"] is None


@pytest.mark.parametrize("rows", [[{"text": "no id"}], [{"id": 3, "text": "a"}, {"id": None, "text": "no id"}]])
def test_a_missing_value_where_there_must_be_one(db: lancelike.DBConnection, folder: Path, rows: Any) -> None:
    docs = db.create_table("docs", [{"id": 0, "text": "zero"}], schema=Doc)
    with unchanged(docs, folder), pytest.raises(BadDataError, match="column 'id'"):
        docs.add(rows)


def test_a_merge_without_its_key(plain: lancelike.Table, folder: Path) -> None:
    merge = plain.merge_insert("id").when_matched_update_all()
    with unchanged(plain, folder), pytest.raises(BadDataError, match="column 'id'"):
        merge.execute([{"name": "x"}])
    with unchanged(plain, folder), pytest.raises(ColumnNotFoundError, match=r"'key'.*id, name, vector"):
        plain.merge_insert("key").when_matched_update_all().execute([row(1)])


def test_a_merge_with_a_key_twice(plain: lancelike.Table, folder: Path) -> None:
    merge = plain.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    with unchanged(plain, folder), pytest.raises(BadDataError, match="same key"):
        merge.execute([row(1), row(1, name="again")])


# -- what is no rows ---------------------------------------------------------------------------------------------------


@each_write
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (row(1), "Cannot create or add rows from a single dictionary. Use a list"),
        (Doc(id=1, text="one"), "Cannot add a single LanceModel to a table. Use a list."),
        ("rows", "holds no rows"),
        (17, "17 holds no rows"),
        (None, "None holds no rows"),
        ([1, 2], "1 holds no rows"),
        ([row(1), "row"], "'row' holds no rows"),
        (np.ones((2, 2)), "holds no rows"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_no_rows(plain: lancelike.Table, folder: Path, write: Write, data: Any, says: str) -> None:
    with unchanged(plain, folder), pytest.raises(BadDataError, match=says):
        write(plain, data)


def test_an_empty_list_is_no_rows_and_no_error(plain: lancelike.Table) -> None:
    plain.add([])
    assert plain.merge_insert("id").when_matched_update_all().execute([]).num_updated_rows == 0
    assert plain.count_rows() == 20
    plain.add([], mode="overwrite")
    assert plain.count_rows() == 0
    assert plain.schema.names == ["id", "name", "vector"]


# -- failures half-way -------------------------------------------------------------------------------------------------


class Broken(Exception):
    """The caller's own."""


def breaking(make: Callable[[int], Any], good: int) -> Iterator[Any]:
    yield from (make(i) for i in range(good))
    raise Broken("the source broke")


@each_write
@pytest.mark.parametrize("good", [0, 1, 50_000])
def test_a_generator_that_raises(plain: lancelike.Table, folder: Path, write: Write, good: int) -> None:
    with unchanged(plain, folder), pytest.raises(Broken, match="the source broke"):
        write(plain, breaking(lambda i: row(100 + i), good))


@each_write
def test_a_reader_that_raises(plain: lancelike.Table, folder: Path, write: Write) -> None:
    batch = pa.RecordBatch.from_pylist([row(i) for i in range(100, 200)])
    reader = pa.RecordBatchReader.from_batches(batch.schema, breaking(lambda i: batch.slice(i, 1), 50))
    with unchanged(plain, folder), pytest.raises(Broken, match="the source broke"):
        write(plain, reader)


@pytest.mark.parametrize("mode", ["create", "overwrite"])
def test_a_table_whose_rows_fail_is_not_made(db: lancelike.DBConnection, folder: Path, mode: Any) -> None:
    with pytest.raises(Broken):
        db.create_table("t", breaking(row, 30_000), mode=mode)
    assert db.list_tables().tables == []
    assert list(folder.glob("*")) == []


def test_a_failed_overwrite_keeps_the_table(plain: lancelike.Table, db: lancelike.DBConnection, folder: Path) -> None:
    with unchanged(plain, folder), pytest.raises(Broken):
        db.create_table("plain", breaking(row, 30_000), mode="overwrite")


def test_interrupted_by_the_user(plain: lancelike.Table, folder: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield row(100)
        raise KeyboardInterrupt

    with unchanged(plain, folder), pytest.raises(KeyboardInterrupt):
        plain.add(rows())


FULL_DISK = """
import resource, signal, sys
import numpy as np, pyarrow as pa
import lancelike
from lancelike.errors import StorageFullError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
db = lancelike.connect(sys.argv[1])
vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(500_000, np.float32)), 2)
rows = pa.table({"id": np.arange(250_000), "name": ["x"] * 250_000, "vector": vectors})
table = db["plain"]
merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
writes = {
    "add": lambda: table.add(rows),
    "overwrite": lambda: table.add(rows, mode="overwrite"),
    "merge": lambda: merge.execute(rows),
    "create": lambda: db.create_table("new", rows),
}
try:
    writes[sys.argv[2]]()
except StorageFullError as error:
    assert "no space is left" in str(error) and "write again" in str(error), error
    sys.exit(42)
"""


@pytest.mark.parametrize("write", ["add", "overwrite", "merge", "create"])
def test_a_full_disk(plain: lancelike.Table, folder: Path, write: str) -> None:
    with unchanged(plain, folder):
        done = subprocess.run([sys.executable, "-c", FULL_DISK, folder, write], capture_output=True, text=True)
        assert done.returncode == 42, done.stderr
    assert lancelike.connect(folder).list_tables().tables == ["plain"]


# -- unknown columns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.search().where("colour = 'red'").to_list(),
        lambda t: t.search([1.0, 2.0]).where("colour = 'red'").to_list(),
        lambda t: t.search([1.0, 2.0]).where("colour = 'red'", prefilter=False).to_list(),
        lambda t: t.search().select(["id", "colour"]).to_list(),
        lambda t: t.search([1.0, 2.0]).select(["id", "colour"]).to_list(),
        lambda t: t.search().select({"x": "colour || '!'"}).to_list(),
        lambda t: list(t.search().where("colour = 'red'").to_batches()),
        lambda t: t.search([1.0, 2.0], vector_column_name="colour").to_list(),
        lambda t: t.count_rows("colour = 'red'"),
        lambda t: t.delete("colour = 'red'"),
        lambda t: t.update(where="colour = 'red'", values={"name": "x"}),
        lambda t: t.update(where="id = 1", values={"colour": "red"}),
        lambda t: t.update(values_sql={"name": "colour"}),
        lambda t: t.create_index("colour"),
        lambda t: t.drop_columns(["colour"]),
        lambda t: t.alter_columns({"path": "colour", "rename": "color"}),
        lambda t: t.add_columns({"shade": "colour"}),
    ],
)
def test_an_unknown_column(plain: lancelike.Table, folder: Path, ask: Callable[[lancelike.Table], Any]) -> None:
    with unchanged(plain, folder), pytest.raises(ColumnNotFoundError, match=r"colour.*id, name, vector") as caught:
        ask(plain)
    assert caught.value.column == "colour"
    assert caught.value.available == ["id", "name", "vector"]


@pytest.mark.parametrize("where", ["id >", "id ===", "id", "name = 3 AND", ""])
def test_a_filter_that_is_none(plain: lancelike.Table, folder: Path, where: str) -> None:
    with unchanged(plain, folder), pytest.raises(QueryError):
        plain.delete(where)
    if where:
        with pytest.raises(QueryError):
            plain.search().where(where).to_list()


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_table_that_is_not_there(plain: lancelike.Table, db: lancelike.DBConnection, folder: Path) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: db.open_table("plane"),
        lambda: db["plane"],
        lambda: db.drop_table("plane"),
        lambda: db.rename_table("plane", "train"),
    ]
    for ask in asks:
        with (
            unchanged(plain, folder),
            pytest.raises(TableNotFoundError, match="Table 'plane' was not found; this database has 'plain'"),
        ):
            ask()


def test_a_table_in_no_directory(tmp_path: Path) -> None:
    with pytest.raises(TableNotFoundError, match="'t' was not found"):
        lancelike.connect(tmp_path / "none").open_table("t")
    assert not (tmp_path / "none").exists()


def test_a_table_that_is_there(plain: lancelike.Table, db: lancelike.DBConnection, folder: Path) -> None:
    with unchanged(plain, folder), pytest.raises(TableExistsError, match=r"'plain' already exists; .*exist_ok=True"):
        db.create_table("plain", [row(1)])


@pytest.mark.parametrize("name", ["a/b", "/etc/passwd", "..", "../up", "a\\b", "a\nb", "ü", ""])
def test_a_name_that_is_none(plain: lancelike.Table, db: lancelike.DBConnection, folder: Path, name: str) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: db.create_table(name, [row(1)]),
        lambda: db.open_table(name),
        lambda: db.drop_table(name),
        lambda: db.rename_table("plain", name),
        lambda: db.rename_table(name, "other"),
    ]
    for ask in asks:
        with unchanged(plain, folder), pytest.raises(TableNameError, match="use letters, digits"):
            ask()


def test_a_wrong_mode(plain: lancelike.Table, db: lancelike.DBConnection, folder: Path) -> None:
    asks: list[tuple[Callable[[], Any], str]] = [
        (lambda: plain.add([row(1)], mode="replace"), "'append' or 'overwrite', not 'replace'"),  # type: ignore[arg-type]
        (lambda: db.create_table("t", [row(1)], mode="append"), "'create' or 'overwrite', not 'append'"),  # type: ignore[arg-type]
        (lambda: plain.add([row(1)], on_bad_vectors="skip"), "on_bad_vectors is one of .*not 'skip'"),  # type: ignore[arg-type]
        (lambda: plain.update(where="id = 1"), "exactly one"),
        (lambda: plain.search([1.0, 2.0], query_type="foo"), "Unknown query type: 'foo'"),  # type: ignore[call-overload]
        (lambda: plain.search([1.0, 2.0]).distance_type("manhattan"), "manhattan.*l2, cosine, dot, hamming"),
    ]
    for ask, says in asks:
        with unchanged(plain, folder), pytest.raises(ValueError, match=says):
            ask()


# -- damage ------------------------------------------------------------------------------------------------------------


def latest_manifest(folder: Path) -> Path:
    """The manifest of the latest version: with Lance's naming, the first in order."""
    return min((folder / "plain.lance" / "_versions").glob("*.manifest"))


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\x00" * 4096])
def test_a_manifest_corrupted_under_a_handle(plain: lancelike.Table, folder: Path, damage: bytes) -> None:
    plain.delete("id = 1")
    manifest = latest_manifest(folder)
    whole = manifest.read_bytes()
    manifest.write_bytes(damage)
    for ask in (plain.checkout_latest, lambda: plain.add([row(1)]), lambda: plain.delete("id = 0")):
        with pytest.raises(CorruptTableError, match=r"table 'plain' is (damaged or missing|empty).*backup"):
            ask()
    manifest.write_bytes(whole)
    plain.checkout_latest()
    assert plain.delete("id = 0").num_deleted_rows == 1


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\x00" * 4096])
def test_a_corrupted_manifest(plain: lancelike.Table, folder: Path, damage: bytes) -> None:
    plain.delete("id = 1")
    latest_manifest(folder).write_bytes(damage)
    database = lancelike.connect(folder)
    asks: list[Callable[[], Any]] = [
        lambda: database.open_table("plain"),
        lambda: database.create_table("plain", [row(1)], exist_ok=True),
    ]
    for ask in asks:
        with pytest.raises(CorruptTableError, match=r"table 'plain' is (damaged or missing|empty).*backup") as caught:
            ask()
        assert "plain.lance" in str(caught.value)
        assert ".rs:" not in str(caught.value)
    assert database.list_tables().tables == ["plain"]
    database.drop_table("plain")
    assert list(folder.iterdir()) == []


def test_a_truncated_manifest(plain: lancelike.Table, folder: Path) -> None:
    manifest = latest_manifest(folder)
    manifest.write_bytes(manifest.read_bytes()[:-40])
    with pytest.raises(CorruptTableError):
        lancelike.connect(folder).open_table("plain").count_rows()


@pytest.mark.parametrize("damage", [None, b"", b"garbage"])
def test_a_damaged_data_file(plain: lancelike.Table, folder: Path, damage: bytes | None) -> None:
    [data] = (folder / "plain.lance" / "data").glob("*.lance")
    if damage is None:
        data.unlink()
    else:
        data.write_bytes(damage)
    table = lancelike.connect(folder).open_table("plain")
    for ask in (table.to_arrow, lambda: table.search([1.0, 2.0]).to_list(), lambda: list(table.to_batches())):
        with pytest.raises(CorruptTableError, match="damaged or missing"):
            ask()


def test_a_directory_that_vanished(plain: lancelike.Table, folder: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(lancelike.LancelikeError):
        plain.to_arrow()
    with pytest.raises(lancelike.LancelikeError):
        plain.add([row(100)])


def test_vectors_of_the_function_that_do_not_fit(db: lancelike.DBConnection, folder: Path) -> None:
    """The schema says 16, the function makes 32: found when the table is declared, not with the first row."""
    schema = pa.schema({"text": pa.string(), "vector": pa.list_(pa.float32(), 16)})
    config = lancelike.embeddings.EmbeddingFunctionConfig("vector", "text", hashing)
    with pytest.raises(lancelike.LancelikeError, match=r"16.*32|32.*16"):
        db.create_table("t", schema=schema, embedding_functions=[config])
    assert list(folder.glob("*")) == []


def test_a_vector_whose_source_was_dropped(db: lancelike.DBConnection, folder: Path) -> None:
    class Page(LanceModel):
        id: int
        title: str | None
        body: str | None
        vector: Vector(32) = hashing.VectorField(template="{title} {body}")  # type: ignore[valid-type]

    pages = db.create_table("pages", [{"id": 1, "title": "a", "body": "b"}], schema=Page)
    pages.drop_columns(["body"])
    with unchanged(pages, folder), pytest.raises(BadDataError, match=r"row 1, column 'vector': .*'body' is not in"):
        pages.add([{"id": 2, "title": "x", "vector": VECTOR}, {"id": 3, "title": "y"}])
    with unchanged(pages, folder), pytest.raises(BadDataError, match=r"column 'vector': .*'body' is not in"):
        pages.update(where="id = 1", values={"title": "z"})
    pages.update(where="id = 1", values={"title": "z", "vector": VECTOR})
    assert pages.search("a b").limit(1).to_list()[0]["vector"] == VECTOR


def test_a_filter_of_another_type(db: lancelike.DBConnection) -> None:
    table = db.create_table("t", [{"at": datetime(2026, 11, 21), "day": date(2026, 11, 21), "n": 1}])
    for filter_, says in {
        "at > '2026-01-01'": "Timestamp.*write TIMESTAMP '2026-11-21 12:00:00'",
        "day = '2026-11-21'": "Date32.*write DATE '2026-11-21'",
        "n = 'x'": "Int64.*or CAST it",
    }.items():
        with pytest.raises(QueryError, match=f"a column of type {says}"):
            table.count_rows(filter_)
    assert table.count_rows(lancelike.col("at") > datetime(2026, 1, 1)) == 1


def test_a_number_of_more_than_64_bits(db: lancelike.DBConnection) -> None:
    with pytest.raises(BadDataError, match="row 1, column 'n': 36893488147419103232 takes more than 64 bits"):
        db.create_table("t", [{"n": 1}, {"n": 2**65}])
