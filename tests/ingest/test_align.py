from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from lancelike.errors import BadDataError
from lancelike.ingest import align, read_batches


def aligned(data: Any, schema: pa.Schema) -> pa.Table:
    batches = [batch.data for batch in align(read_batches(data, schema).batches, schema, [])]
    return pa.Table.from_batches(batches)


def test_columns_are_ordered_cast_and_made_null() -> None:
    schema = pa.schema([("a", pa.int8()), ("b", pa.string()), ("c", pa.float32())])
    table = aligned(pa.table({"c": [1, 2], "a": pa.array([1.0, None])}), schema)
    assert table.schema == schema
    assert table.to_pylist() == [{"a": 1, "b": None, "c": 1.0}, {"a": None, "b": None, "c": 2.0}]


def test_an_extra_column_is_named_with_what_there_is() -> None:
    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(BadDataError, match="column 'z': the table has no such column; its columns are a; leave this"):
        aligned(pa.table({"a": [1], "z": [1]}), schema)


def test_an_extra_key_of_one_row_names_the_row() -> None:
    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(BadDataError) as error:
        aligned([{"a": 1}, {"a": 2, "z": 5}], schema)
    assert (error.value.row, error.value.column, error.value.value) == (1, "z", 5)


def test_twin_columns_are_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(BadDataError, match="two columns of this name"):
        aligned(table, pa.schema([("a", pa.int64())]))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1.0, 2.0, 2.5]), pa.int64()),
        (pa.array([1, 2, 300]), pa.uint8()),
        (pa.array(["a", "b", "c"]), pa.int64()),
        (pa.array([0, 1, 1 << 53], pa.int64()), pa.float32()),
        (pa.array([None, None, dt.datetime(2024, 1, 1, 5)]), pa.date32()),
        (pa.array([None, None, b"\xff"]), pa.string()),
        (pa.array([None, None, {"a": 1, "z": 1}]), pa.struct([("a", pa.int64())])),
        (pa.array([None, None, [1.5]]), pa.list_(pa.int64())),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_a_cast_that_would_lose_something_names_the_row(values: pa.Array, kind: pa.DataType) -> None:
    with pytest.raises(BadDataError, match="is not") as error:
        aligned(pa.table({"a": values}), pa.schema([("a", kind)]))
    first = 0 if pa.types.is_string(values.type) else 2
    assert (error.value.row, error.value.column) == (first, "a")
    assert error.value.value == values[first].as_py()


def test_numbers_do_not_become_text_on_their_own() -> None:
    with pytest.raises(BadDataError, match="row 0, column 'a': 5 \\(int64\\) is not string; convert the column"):
        aligned(pa.table({"a": [5]}), pa.schema([("a", pa.string())]))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(["x", None], pa.string_view()), pa.string()),
        (pa.array(["x", None], pa.large_string()), pa.string()),
        (pa.array(["x", None]), pa.dictionary(pa.int32(), pa.string())),
        (pa.array(["x", None]).dictionary_encode(), pa.string()),
        (pa.array([[["x"]], None], pa.large_list(pa.list_(pa.string_view()))), pa.list_(pa.list_(pa.string()))),
        (pa.array([b"0123456789abcdef", None], pa.binary(16)), pa.uuid()),
        (pa.array(['{"a": 1}', None]), pa.json_()),
        (pa.nulls(2), pa.list_(pa.float32(), 3)),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_other_layouts_of_the_same_values_are_taken(values: pa.Array, kind: pa.DataType) -> None:
    schema = pa.schema([("a", kind)])
    assert aligned(pa.table({"a": values}), schema).schema == schema


def test_polars_types_are_taken() -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.list_(pa.string())), ("c", pa.timestamp("us"))])
    frame = pl.DataFrame({"a": ["x"], "b": [["y"]], "c": [dt.datetime(2024, 1, 1)]})
    assert aligned(frame, schema).to_pylist() == [{"a": "x", "b": ["y"], "c": dt.datetime(2024, 1, 1)}]


def test_null_where_none_is_taken_names_the_row() -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    with pytest.raises(BadDataError, match="row 1, column 'a': null in a column that takes none; give it a value"):
        aligned([{"a": 1}, {"a": None}], schema)


def test_leaving_out_a_column_that_takes_no_null_is_an_error() -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), ("b", pa.int64())])
    with pytest.raises(BadDataError, match="column 'a': the column is left out, and takes no null"):
        aligned([{"b": 1}], schema)


def test_rows_without_columns_become_rows_of_nulls() -> None:
    assert aligned([{}, {}], pa.schema([("a", pa.int64())])).to_pylist() == [{"a": None}, {"a": None}]
