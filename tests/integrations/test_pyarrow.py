"""DuckDB, DataFusion, polars and Arrow read no more of a table than they need, and read it right."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import datafusion
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import lancelike
from lancelike.integrations.pyarrow import PyarrowDatasetAdapter, _Scan

ROWS = 60


@pytest.fixture
def table() -> lancelike.Table:
    rows = pa.table(
        {
            "id": range(ROWS),
            "text": [f"n{n % 7}" if n % 11 else None for n in range(ROWS)],
            "price": [n / 4 for n in range(ROWS)],
            "day": [date(2024, 1, 1) + timedelta(days=n) for n in range(ROWS)],
            "hour": [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(ROWS)],
            "exact": [Decimal(n) / 4 for n in range(ROWS)],
            "even": [n % 2 == 0 for n in range(ROWS)],
            "raw": [bytes([n % 5]) for n in range(ROWS)],
            "nested": [{"a": n, "b c": "x"} for n in range(ROWS)],
            "words": [["w"] * (n % 3) for n in range(ROWS)],
            "odd (name": range(ROWS),
            "vector": pa.array([[float(n), 1.0] for n in range(ROWS)], pa.list_(pa.float32(), 2)),
        }
    )
    table = lancelike.connect("memory://").create_table("t", rows.slice(0, 40))
    table.add(rows.slice(40))
    table.delete("id = 59")
    return table


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    """Columns and filter of each scan that Lance is asked for."""
    seen: list[tuple[Any, str]] = []
    scan = _Scan._in_lance

    def spy(self: _Scan, columns: Any, filter: Any, limit: int | None) -> Any:
        seen.append((columns, str(filter)))
        return scan(self, columns, filter, limit)

    monkeypatch.setattr(_Scan, "_in_lance", spy)
    return seen


def ask(dataset: Any, query: str) -> list[tuple[Any, ...]]:
    """What DuckDB answers; *dataset* is found by its name."""
    relation = duckdb.sql(query)
    assert relation is not None
    return relation.fetchall()


CONDITIONS = [
    "id > 50",
    "text = 'n3' and id < 20",
    "text is null",
    "text is not null and not even",
    "day >= date '2024-02-20'",
    "hour between timestamp '2024-01-01 05:00:00' and timestamp '2024-01-01 09:00:00'",
    "exact < 2",
    "price in (1, 2.5, 99)",
    "even or id = 7",
    "raw = '\\x01'::blob",
    "text like 'n3%'",
    "nested.a < 5",
    "nested.a < 30 and text = 'n3'",
    "nested.\"b c\" = 'x' and id < 3",
    "len(words) = 2",
    '"odd (name" > 55',
    "vector[1] > 50",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_duckdb_finds_the_rows_it_finds_in_memory(table: lancelike.Table, condition: str) -> None:
    query = f"select id, text from dataset where {condition} order by id"
    expected = ask(table.to_arrow(), query)
    assert ask(PyarrowDatasetAdapter(table), query) == expected
    assert expected


def test_duckdb_asks_for_what_a_query_needs(table: lancelike.Table, reads: list[tuple[Any, str]]) -> None:
    ask(PyarrowDatasetAdapter(table), "select price from dataset where id > 50 and text = 'n3'")
    (read,) = reads
    assert read == (["price"], '((id > 50) and (text == "n3"))')


def test_a_filter_that_lance_cannot_take_costs_only_its_columns(
    table: lancelike.Table, reads: list[tuple[Any, str]]
) -> None:
    found = PyarrowDatasetAdapter(table).to_table(columns=["price"], filter=pc.field("nested", "a") > 56)
    assert found.to_pydict() == {"price": [14.25, 14.5]}
    assert reads[-1] == (["price", "nested"], "None")


def test_duckdb_sees_what_was_written_since(table: lancelike.Table) -> None:
    dataset = PyarrowDatasetAdapter(table)
    table.delete("id < 10")
    assert ask(dataset, "select count(*), min(id) from dataset") == [(49, 10)]


def test_datafusion_pushes_down_too(table: lancelike.Table, reads: list[tuple[Any, str]]) -> None:
    context = datafusion.SessionContext()
    context.register_dataset("t", PyarrowDatasetAdapter(table))
    assert context.sql("select count(*) as n from t where id > 50").to_pylist() == [{"n": 8}]
    reads.clear()
    found = context.sql("select id from t where text = 'n3' and id > 30 order by id").to_pylist()
    assert [row["id"] for row in found] == [n for n in range(31, 59) if n % 7 == 3 and n % 11]
    assert all(columns == ["id"] for columns, _ in reads)
    assert [asked for _, asked in reads if "n3" in asked and "30" in asked]
    assert context.sql("select id from t where nested['a'] = 5").to_pylist() == [{"id": 5}]


def test_a_table_is_an_arrow_stream(table: lancelike.Table) -> None:
    assert pa.table(table).equals(table.to_arrow())
    assert pl.DataFrame(table)["id"].to_list() == list(range(59))
    copy = lancelike.connect("memory://").create_table("copy", table)
    assert copy.to_arrow().equals(table.to_arrow())


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_polars_reads_columns_and_rows_that_it_needs(table: lancelike.Table, engine: Any) -> None:
    frame = table.to_polars(batch_size=7)
    asked = frame.filter((pl.col("id") > 50) & pl.col("text").is_not_null()).select("price")
    assert "FILTER" not in asked.explain().partition("PYTHON SCAN")[0]
    assert "PROJECT 3/12 COLUMNS" in asked.explain()
    assert asked.collect(engine=engine)["price"].to_list() == [n / 4 for n in range(51, 59) if n % 11]
    nested = frame.filter(pl.col("nested").struct.field("a") > 56).select("id").collect(engine=engine)
    assert nested["id"].to_list() == [57, 58]


def test_polars_keeps_the_version_it_was_made_of(table: lancelike.Table) -> None:
    frame = table.to_polars()
    table.delete("true")
    assert frame.select(pl.len()).collect().item() == 59


def test_a_dataset_in_arrows_own_words(table: lancelike.Table) -> None:
    dataset = PyarrowDatasetAdapter(table)
    small = pc.field("id") < 3
    assert dataset.schema == table.schema
    assert (dataset.count_rows(), dataset.count_rows(small), dataset.count_rows("id < 2")) == (59, 3, 2)
    assert dataset.head(2, columns=["id"]).to_pylist() == [{"id": 0}, {"id": 1}]
    assert dataset.head(0, columns=["id"]).num_rows == 0
    assert dataset.to_table(columns={"twice": pc.field("id") * 2}, filter=small)["twice"].to_pylist() == [0, 2, 4]
    assert dataset.scanner(columns=["text", "id"]).projected_schema.names == ["text", "id"]
    assert dataset.take([3, 1], columns=["id"])["id"].to_pylist() == dataset.take([3, 1])["id"].to_pylist() == [3, 1]
    assert dataset.filter(small).filter(pc.field("nested", "a") > 0).count_rows() == 2
    assert [batch.num_rows for batch in dataset.to_batches(columns=["id"], batch_size=30)] == [30, 10, 19]
    assert sum(fragment.count_rows(small) for fragment in dataset.get_fragments()) == 3
    assert dataset.sort_by([("id", "descending")]).head(1)["id"].to_pylist() == [58]


def test_joins_are_made_in_memory() -> None:
    db = lancelike.connect("memory://")
    prices = PyarrowDatasetAdapter(db.create_table("prices", [{"id": n, "price": n / 2} for n in range(5)]))
    names = PyarrowDatasetAdapter(db.create_table("names", [{"id": n, "name": f"n{n}"} for n in (3, 4, 9)]))
    joined = prices.join(names, "id", join_type="inner").sort_by("id").to_table()
    assert joined.to_pylist() == [{"id": n, "price": n / 2, "name": f"n{n}"} for n in (3, 4)]
    nearest = prices.join_asof(names, on="id", by=[], tolerance=5).to_table()
    assert nearest["name"].to_pylist() == ["n3", "n3", "n3", "n3", "n4"]


def test_bad_requests_are_refused(table: lancelike.Table) -> None:
    dataset = PyarrowDatasetAdapter(table)
    with pytest.raises(pa.ArrowInvalid, match="nope"):
        dataset.to_table(filter=pc.field("nope") > 1)
    with pytest.raises(TypeError, match="SQL text and an Arrow expression"):
        dataset.filter(pc.field("id") > 1).to_table(filter="id < 5")
    with pytest.raises(ValueError, match="from 0"):
        dataset.head(-1)
    with pytest.raises(NotImplementedError, match="alter_columns"):
        dataset.replace_schema(table.schema)
