"""From an Arrow table of results to what the caller wants to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from lancelike._optional import require
from lancelike.errors import QueryError
from lancelike.schema.arrow import row_to_values
from lancelike.schema.model import LanceModel

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

ModelT = TypeVar("ModelT", bound=LanceModel)


def to_models(table: pa.Table, model: type[ModelT]) -> list[ModelT]:
    """The rows as instances of *model*; columns that it doesn't declare, `_distance` among them, are left out.

    Raises:
        pydantic.ValidationError: A field without a default has no column in *table*.
    """
    declared = [name for name in model.field_names() if name in table.column_names]
    return [model(**row_to_values(model, row)) for row in table.select(declared).to_pylist()]


def to_pandas(table: pa.Table, flatten: bool | int | None = None, **options: Any) -> pd.DataFrame:
    """The rows as a data frame; *flatten* is as in `flatten_columns`, *options* go to `pyarrow.Table.to_pandas`."""
    require("pandas", extra="pandas", needed_by="to_pandas")
    return flatten_columns(table, flatten).to_pandas(**options)


def to_polars(table: pa.Table) -> pl.DataFrame:
    """The rows as a data frame that shares memory with *table* where it can."""
    polars = require("polars", extra="polars", needed_by="to_polars")
    frame: pl.DataFrame = polars.from_arrow(table)
    return frame


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """The rows as one batch, empty if there are none."""
    return pa.concat_batches(table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)])


def flatten_columns(table: pa.Table, flatten: bool | int | None = None) -> pa.Table:
    """*table* with struct columns made into one column per field, named `outer.inner`.

    Args:
        table: Any table.
        flatten: True for every level, a number for that many levels, None or False for none.

    Raises:
        QueryError: *flatten* is a number below 1.
    """
    if flatten is None or flatten is False:
        return table
    if flatten is True:
        while any(pa.types.is_struct(field.type) for field in table.schema):
            table = table.flatten()
        return table
    if flatten < 1:
        raise QueryError("Please specify a positive integer for flatten or the boolean value `True`")
    for _ in range(flatten):
        table = table.flatten()
    return table
