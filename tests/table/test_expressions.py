"""Everywhere a filter or SQL text is taken, a typed expression is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import lancelike
from lancelike import col, func, lit
from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.permutation import permutation_builder

ROWS = [{"id": i, "n": i * 10, "name": f"it's {i}", "vector": [float(i), 0.0]} for i in range(5)]


@pytest.fixture
def table(tmp_path: Path) -> lancelike.Table:
    schema = pa.schema(
        [("id", pa.int64()), ("n", pa.int64()), ("name", pa.string()), ("vector", pa.list_(pa.float32(), 2))]
    )
    return lancelike.connect(tmp_path).create_table("t", ROWS, schema=schema)


def ns(table: lancelike.Table) -> dict[int, int]:
    return {row["id"]: row["n"] for row in table.to_arrow().to_pylist()}


def test_searches(table: lancelike.Table) -> None:
    nearest = table.search([0.0, 0.0]).where(col("id") > 1).where("n < 40").limit(5).to_list()
    assert [row["id"] for row in nearest] == [2, 3]
    after = table.search([0.0, 0.0]).limit(2).where(col("id") > 0, prefilter=False).to_list()
    assert [row["id"] for row in after] == [1]
    assert table.search().where((col("id") == 1) | (col("name") == "it's 3")).to_arrow()["id"].to_pylist() == [1, 3]


def test_projections(table: lancelike.Table) -> None:
    found = table.search().select({"id": "id", "twice": col("n") * 2, "short": func("left", col("name"), 4)}).to_list()
    assert found[1] == {"id": 1, "twice": 20, "short": "it's"}
    taken = table.take_offsets([2]).select({"half": col("n") / 2}).to_list()
    assert taken == [{"half": 10}]


def test_counts(table: lancelike.Table) -> None:
    assert table.count_rows(col("name").contains("'")) == 5
    assert table.count_rows(filter=col("id").isin([1, 3])) == 2


def test_updates(table: lancelike.Table) -> None:
    assert table.update(where=col("id") >= 3, values={"n": col("n") + col("id"), "name": "col(n)"}).rows_updated == 2
    assert ns(table) == {0: 0, 1: 10, 2: 20, 3: 33, 4: 44}
    table.update(col("id") == 0, values_sql={"n": lit(7)})
    assert ns(table)[0] == 7
    assert table.count_rows(col("name") == "col(n)") == 2


def test_deletes(table: lancelike.Table) -> None:
    assert table.delete(~col("id").between(1, 3)).num_deleted_rows == 2
    assert sorted(ns(table)) == [1, 2, 3]


def test_merges(table: lancelike.Table) -> None:
    new = [{"id": i, "n": 0, "name": "new", "vector": [0.0, 0.0]} for i in (1, 2)]
    merge = table.merge_insert("id").when_matched_update_all(where=col("target.n") > col("source.n") + 10)
    merge.when_not_matched_by_source_delete(col("id") == 4).execute(new)
    assert ns(table) == {0: 0, 1: 10, 2: 0, 3: 30}


@pytest.mark.asyncio
async def test_the_awaited_face(table: lancelike.Table, tmp_path: Path) -> None:
    awaited = await (await lancelike.connect_async(tmp_path)).open_table("t")
    assert await awaited.count_rows(col("id") > 1) == 3
    assert [row["id"] for row in await awaited.query().where(col("n") == 20).to_list()] == [2]
    await awaited.update({"n": col("n") + 1}, where=col("id") == 1)
    await awaited.delete(col("id").isin([0, 4]))
    assert ns(table) == {1: 11, 2: 20, 3: 30}


def test_permutations(table: lancelike.Table) -> None:
    assert permutation_builder(table).filter(col("id") >= 2).execute().count_rows() == 3


def test_a_column_that_is_not_there(table: lancelike.Table) -> None:
    with pytest.raises(ColumnNotFoundError, match="price"):
        table.search().where(col("price") > 3).to_list()
    with pytest.raises(ColumnNotFoundError, match="price"):
        table.delete(col("price") > 3)


@pytest.mark.parametrize("wrong", [3, ["id > 1"], True])
def test_what_is_neither_text_nor_an_expression(table: lancelike.Table, wrong: object) -> None:
    with pytest.raises(QueryError, match="no SQL text"):
        table.count_rows(wrong)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="no SQL text"):
        table.delete(wrong)  # type: ignore[arg-type]


def test_filters_are_added_two_hundred_times(db: lancelike.DBConnection) -> None:
    query = db.create_table("many", [{"n": n} for n in range(300)]).search()
    for n in range(200):
        query = query.where(f"n != {n} OR n < 0")
    assert [row["n"] for row in query.to_list()] == list(range(200, 300))
