"""From an Arrow table of results to what the caller wants to hold."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from lancelike import schema
from lancelike._optional import require
from lancelike.errors import QueryError
from lancelike.media.rows import Rows
from lancelike.media.sources import Stored
from lancelike.types import BLOB_MODES, BlobMode

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from lancelike.schema import LanceModel

ModelT = TypeVar("ModelT", bound="LanceModel")

BlobPath: TypeAlias = tuple[str, ...]
"""A column, and the names of structs' fields that lead on from there."""


class BlobColumn(Protocol):
    """The values of a blob column in the rows of an answer, not yet read."""

    kind: str | None
    """`"image"` or `"audio"` where they are images or sounds, or None."""

    def values(self) -> Sequence[Stored | None]:
        """Each value, to be read when it is asked for; None for null."""

    def read(self) -> list[bytes | None]:
        """All values."""

    def files(self) -> Sequence[object]:
        """A file for each value, which reads what is read of it; None for null."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Rows, and what reads their blobs, by where they are."""

    rows: pa.Table
    blobs: Mapping[BlobPath, BlobColumn] = field(default_factory=dict)


def to_list(answer: Answer) -> list[dict[str, Any]]:
    """The rows as dicts; images and sounds that are stored as blobs are values that read them."""
    media = {path: schema.MEDIA_FORMS[column.kind].decode for path, column in answer.blobs.items() if column.kind}
    rows: list[dict[str, Any]] = answer.rows.to_pylist()
    for path, made in media.items():
        for row, value in zip(rows, answer.blobs[path].values(), strict=True):
            _put(row, path, None if value is None or made is None else made(value))
    return Rows(rows)


def _put(row: Any, path: BlobPath, value: Any) -> None:
    """Set what is at *path* in *row*, unless it or a struct around that is null."""
    at = row
    for name in path[:-1]:
        at = at[name] if isinstance(at, dict) else None
    if isinstance(at, dict):
        at[path[-1]] = value


def to_models(answer: Answer, model: type[ModelT]) -> list[ModelT]:
    """The rows as instances of *model*; columns that it doesn't declare, `_distance` among them, are left out.

    Raises:
        pydantic.ValidationError: A field without a default has no column in *table*.
        TypeError: *model* is no pydantic class.
    """
    if not hasattr(model, "model_fields"):
        raise TypeError(f"to_pydantic takes a pydantic class, such as a LanceModel, not {model!r}")
    declared = [name for name in schema.column_names(model) if name in answer.rows.column_names]
    rows = answer.rows.select(declared).to_pylist()
    media = schema.media_columns(model)
    for path, blobs in answer.blobs.items():
        if path[0] not in declared:
            continue
        is_media = blobs.kind is not None if path[1:] else path[0] in media
        for row, value in zip(rows, blobs.values() if is_media else blobs.read(), strict=True):
            _put(row, path, value)
    return Rows(model(**schema.row_to_values(model, row)) for row in rows)


def to_pandas(
    answer: Answer, flatten: bool | int | None = None, blob_mode: BlobMode = "lazy", **options: Any
) -> pd.DataFrame:
    """The rows as a data frame.

    Args:
        answer: The rows.
        flatten: As in `flatten_columns`; a blob is not made into columns of where it is, unless that is asked for.
        blob_mode: What blobs are, also those within structs: files, the values, or descriptions of where Lance keeps
            them.
        options: For `pyarrow.Table.to_pandas`.

    Raises:
        ValueError: There is no such *blob_mode*.
    """
    require("pandas", extra="pandas", needed_by="to_pandas")
    if blob_mode not in BLOB_MODES:
        raise ValueError(f"blob_mode must be one of {', '.join(map(repr, BLOB_MODES))}, not {blob_mode!r}")
    blobs = {} if blob_mode == "descriptions" else answer.blobs
    frame: pd.DataFrame = flatten_columns(_blanked(answer.rows, blobs), flatten).to_pandas(**options)
    levels = sys.maxsize if flatten is True else flatten or 0
    for path, column in blobs.items():
        values = column.files() if blob_mode == "lazy" else column.read()
        _fill(frame, (".".join(path[: levels + 1]), *path[levels + 1 :]), values)
    return frame


def _blanked(rows: pa.Table, paths: Iterable[BlobPath]) -> pa.Table:
    """*rows* with nulls where blobs are described."""
    within: dict[str, list[BlobPath]] = {}
    for name, *path in paths:
        within.setdefault(name, []).append(tuple(path))
    for name, inner in within.items():
        column = rows[name]
        chunks = [_without(chunk, inner) for chunk in column.chunks or [pa.array([], column.type)]]
        rows = rows.set_column(rows.column_names.index(name), name, pa.chunked_array(chunks))
    return rows


def _without(array: pa.Array, paths: Iterable[BlobPath]) -> pa.Array:
    """*array* with nulls at *paths*; a struct that is null stays so."""
    if () in paths:
        return pa.nulls(len(array))
    fields, parts = list(array.type), array.flatten()
    for place, child in enumerate(fields):
        inner = [path[1:] for path in paths if path[0] == child.name]
        if inner:
            parts[place] = _without(parts[place], inner)
            fields[place] = pa.field(child.name, parts[place].type)
    return pa.StructArray.from_arrays(parts, fields=fields, mask=array.is_null())


def _fill(frame: pd.DataFrame, path: BlobPath, values: Sequence[object]) -> None:
    """Set what is at *path* in each row of *frame*."""
    column, *within = path
    if not within:
        frame[column] = values
        return
    cells = np.empty(len(frame), dtype=object)
    for place, (cell, value) in enumerate(zip(frame[column], values, strict=True)):
        cells[place] = cell
        _put(cell, tuple(within), value)
    frame[column] = cells


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
