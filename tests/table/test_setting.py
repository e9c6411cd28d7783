"""`update(values=...)` stores exactly what it is given, or says why it can't; and SQL means columns by their quotes."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelike
from lancelike.errors import BadDataError, BadVectorError, ColumnNotFoundError
from lancelike.pydantic import LanceModel

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("small", pa.uint8()),
        ("single", pa.float32()),
        ("text", pa.string()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("moment", pa.timestamp("us")),
        ("price", pa.decimal128(10, 2)),
        ("numbers", pa.list_(pa.int64())),
        ("pair", pa.struct([("a", pa.int64()), ("b", pa.string())])),
        ("bytes", pa.list_(pa.uint8(), 2)),
        ("vector", pa.list_(pa.float32(), 2)),
    ]
)


@pytest.fixture
def table() -> lancelike.Table:
    made = lancelike.connect("memory://").create_table("t", schema=SCHEMA)
    made.add([{"id": 1, "vector": [1.0, 2.0], "text": "a"}])
    return made


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("id", 2.0, 2),
        ("small", np.uint8(200), 200),
        ("single", 0.5, 0.5),
        ("single", float("inf"), float("inf")),
        ("text", Colour.RED, "red"),
        ("text", uuid.UUID(int=1), str(uuid.UUID(int=1))),
        ("text", None, None),
        ("day", "2026-11-21", dt.date(2026, 11, 21)),
        ("moment", dt.date(2026, 11, 21), dt.datetime(2026, 11, 21)),
        ("price", Decimal("1.50"), Decimal("1.50")),
        ("numbers", [], []),
        ("numbers", [1, None], [1, None]),
        ("pair", {"b": "x"}, {"a": None, "b": "x"}),
        ("bytes", [255, 0], [255, 0]),
        ("vector", np.array([5.0, 6.0]), [5.0, 6.0]),
        ("vector", [5, 6], [5.0, 6.0]),
        ("vector", None, None),
    ],
)
def test_a_value_is_stored_as_it_is(table: lancelike.Table, column: str, value: Any, stored: Any) -> None:
    table.update(values={column: value})
    assert table.to_arrow()[column].to_pylist() == [stored]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", 1.7),
        ("id", "7"),
        ("id", None),
        ("small", 300),
        ("single", 1e300),
        ("text", 5),
        ("flag", 1),
        ("day", dt.datetime(2026, 11, 21, 5)),
        ("price", Decimal("1.239")),
        ("numbers", [1.5]),
        ("pair", {"a": 1, "c": 2}),
        ("bytes", [1.5, 1]),
    ],
)
def test_a_value_that_would_lose_something(table: lancelike.Table, column: str, value: Any) -> None:
    version = table.version
    with pytest.raises(BadDataError, match=f"column '{column}': ") as caught:
        table.update(values={column: value})
    assert (caught.value.row, caught.value.column) == (None, column)
    assert table.version == version


@pytest.mark.parametrize("vector", [[1.0], [1.0, 2.0, 3.0], [float("nan"), 1.0], [1e300, 1.0]])
def test_a_bad_vector(table: lancelike.Table, vector: list[float]) -> None:
    with pytest.raises(BadVectorError, match="column 'vector'") as caught:
        table.update(values={"vector": vector})
    assert "on_bad_vectors" not in str(caught.value)


def test_a_column_of_a_models_own_type() -> None:
    class Note(LanceModel):
        id: int
        extra: dict[str, Any]

    notes = lancelike.connect("memory://").create_table("n", [Note(id=1, extra={})], schema=Note)
    notes.update(values={"extra": {"pages": 2}})
    assert notes.search().to_pydantic(Note)[0].extra == {"pages": 2}


@pytest.mark.parametrize("value", [1e300, 1e39])
def test_add_makes_no_number_infinite(table: lancelike.Table, value: float) -> None:
    with pytest.raises(BadDataError, match="row 1, column 'single'"):
        table.add([{"id": 2, "single": float("inf")}, {"id": 3, "single": value}])
    with pytest.raises(BadDataError, match="row 1, column 'single'"):
        table.add(pa.table({"id": [2, 3], "single": [float("inf"), value]}))


def test_names_in_double_quotes() -> None:
    rows = [{"item": "foo", "other": "foo", "my col": 3}, {"item": "bar", "other": "q", "my col": 4}]
    table = lancelike.connect("memory://").create_table("t", rows)
    assert table.count_rows("\"item\" = 'foo'") == 1
    assert table.search().where('"my col" = 4').select({"n": '"my col" + 1'}).to_list() == [{"n": 5}]
    assert table.update(where='"item" = "other"', values_sql={"my col": '"my col" * 10'}).rows_updated == 1
    assert table.delete('"my col" = 30').num_deleted_rows == 1
    table.add_columns({"twice": '"my col" * 2'})
    table.add_columns(computed={"thrice": '"my col" * 3'})
    table.add([{"item": "new", "my col": 5}])
    assert table.to_arrow()["thrice"].to_pylist() == [12, 15]
    merge = table.merge_insert("item").when_matched_update_all(where='target."my col" = 5')
    assert merge.execute([{"item": "new", "my col": 6}, {"item": "bar", "my col": 9}]).num_updated_rows == 1
    with pytest.raises(ColumnNotFoundError, match="no column 'fizz'"):
        table.delete('item = "fizz"')
