"""Rows by offset and by row id."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import ColumnNotFoundError, QueryError, QueryTimeoutError
from lancelike.pydantic import LanceModel


@pytest.fixture
def table(db: lancelike.DBConnection) -> lancelike.Table:
    table = db.create_table("t", [{"id": i, "n": -i} for i in range(10)])
    table.delete("id = 0")
    return table


def test_offsets_count_the_rows_there_are(table: lancelike.Table) -> None:
    assert table.take_offsets([4, 0, 4]).to_arrow().to_pydict() == {"id": [5, 1, 5], "n": [-5, -1, -5]}
    assert table.take_offsets([]).to_list() == []


def test_row_ids_come_in_the_order_asked_for(table: lancelike.Table) -> None:
    ids = {row["id"]: row["_rowid"] for row in table.search().with_row_id().to_list()}
    table.update("id = 7", {"n": 70})
    taken = table.take_row_ids([ids[7], ids[2], 10**9]).to_list()
    assert taken == [{"id": 7, "n": 70}, {"id": 2, "n": -2}]


@pytest.mark.parametrize("by", ["take_offsets", "take_row_ids"])
def test_what_of_the_rows(table: lancelike.Table, by: str) -> None:
    def take() -> Any:
        return getattr(table, by)([3])

    [row] = take().with_row_id().with_row_address().to_list()
    assert list(row) == ["id", "n", "_rowid", "_rowaddr"]
    assert take().select(["n"]).to_list() == [{"n": row["n"]}]
    assert take().select(["n"]).with_row_id().to_list() == [{"n": row["n"], "_rowid": row["_rowid"]}]
    assert take().select({"m": "n * 2"}).with_row_id().to_list() == [{"m": row["n"] * 2, "_rowid": row["_rowid"]}]
    assert take().select(["n"]).output_schema().names == ["n"]
    with pytest.raises(ColumnNotFoundError):
        take().select(["none"]).to_list()
    with pytest.raises(QueryError):
        take().select("n")


@pytest.mark.parametrize("by", ["take_offsets", "take_row_ids"])
def test_expressions_that_name_no_column_fail_as_in_a_search(table: lancelike.Table, by: str) -> None:
    for sql, kind in (("nope", ColumnNotFoundError), ("n + nope", ColumnNotFoundError), ("n +", QueryError)):
        with pytest.raises(kind) as taken:
            getattr(table, by)([3]).select({"m": sql}).to_list()
        with pytest.raises(kind) as searched:
            table.search().select({"m": sql}).to_list()
        assert str(taken.value) == str(searched.value)
    with pytest.raises(QueryError):
        getattr(table, by)([3]).select({"m": "1"}).to_list()


class Row(LanceModel):
    id: int
    n: int


def test_every_form_of_the_rows(table: lancelike.Table) -> None:
    take = table.take_offsets([1, 2])
    assert take.to_pydantic(Row) == [Row(id=2, n=-2), Row(id=3, n=-3)]
    assert take.to_pandas()["id"].tolist() == [2, 3]
    assert take.to_polars()["id"].to_list() == [2, 3]
    assert [batch.num_rows for batch in take.to_batches(1)] == [1, 1]
    with pytest.raises(QueryTimeoutError):
        take.to_arrow(timeout=timedelta(0))


@pytest.mark.parametrize("numbers", [[-1], [9], [1.5], [True], ["1"]])
def test_offsets_that_are_none(table: lancelike.Table, numbers: list[Any]) -> None:
    with pytest.raises(QueryError, match="offset"):
        table.take_offsets(numbers).to_list()


def test_torch_asks_for_rows_by_offset(docs: lancelike.Table) -> None:
    batch = docs.__getitems__([3, 0, 3])
    assert isinstance(batch, pa.RecordBatch)
    assert batch["id"].to_pylist() == [3, 0, 3]
    assert docs.__getitems__([]).num_rows == 0
    with pytest.raises(QueryError, match="no row at offset 5"):
        docs.__getitems__([5])


@pytest.mark.parametrize("by", ["take_offsets", "take_row_ids"])
def test_a_field_within_a_struct_comes_under_its_path(db: lancelike.DBConnection, by: str) -> None:
    nested = db.create_table("nested", [{"id": 1, "at": {"Line 1": 7, "n": 2}}, {"id": 2, "at": None}])
    for columns in (["at.n", "id"], ["at.Line 1"], ["`at`.`n`"]):
        taken = getattr(nested, by)([0, 1]).select(columns)
        assert taken.to_list() == nested.search().select(columns).to_list()
        assert taken.output_schema().names == columns
    assert getattr(nested, by)([1]).select(["at.n"]).with_row_id().to_list() == [{"at.n": None, "_rowid": 1}]
    with pytest.raises(ColumnNotFoundError):
        getattr(nested, by)([0]).select(["at.n", "at.none"]).to_list()
