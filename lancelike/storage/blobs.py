"""Blob columns: their Arrow type, and their values by row."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from lance.blob import BlobFile, BlobType

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.schema.blobs import row_addressable_blob_v2_paths
from lancelike.storage.dataset import Dataset

__all__ = ["BlobFile", "BlobType", "blob", "fetch", "fetch_ranges", "open_files", "row_ids_of"]


def blob(name: str, nullable: bool = True) -> pa.Field:
    """A column of large binary values, for an Arrow schema: read when asked for, by `fetch_blobs` and its like."""
    return pa.field(name, BlobType(), nullable)


def fetch(dataset: Dataset, column: str, row_ids: Sequence[int]) -> pa.Array:
    """The values of the rows with these `_rowid`s, in their order, as large_binary.

    Raises:
        ColumnNotFoundError: There is no such column.
        QueryError: It is no blob column, or no row has one of the ids.
    """
    _check(dataset, column)
    with dataset.errors():
        found = dataset.lance.read_blobs(column, ids=list(row_ids), preserve_order=True) if len(row_ids) else []
    return pa.array([value for _, value in found], pa.large_binary())


def fetch_ranges(dataset: Dataset, column: str, requests: Sequence[tuple[int, int, int]]) -> pa.Array:
    """Parts of values, each asked for by row id, offset and length, in their order, as large_binary.

    Raises:
        ColumnNotFoundError: There is no such column.
        QueryError: It is no blob column, no row has one of the ids, or a range goes beyond its value.
    """
    _check(dataset, column)
    with dataset.errors():
        found = dataset.lance.read_blob_ranges(column, list(requests), selector="ids") if requests else []
    return pa.array([value for _, _, value in found], pa.large_binary())


def open_files(dataset: Dataset, column: str, row_ids: Sequence[int]) -> list[BlobFile | None]:
    """A file for the value of each of the rows, in their order, which reads when it is read; None for null.

    Raises:
        ColumnNotFoundError: There is no such column.
        QueryError: It is no blob column, or no row has one of the ids.
    """
    _check(dataset, column)
    with dataset.errors():
        return list(dataset.lance.take_blobs(column, ids=list(row_ids))) if len(row_ids) else []


def row_ids_of(rows: Sequence[int] | pa.Table) -> list[int]:
    """The ids in *rows*: a list of them, or a query's answer that has them in `_rowid`.

    Raises:
        QueryError: The answer has no `_rowid`.
    """
    if not isinstance(rows, pa.Table):
        return [int(row_id) for row_id in rows]
    if "_rowid" not in rows.column_names:
        raise QueryError("these rows have no column '_rowid': ask for it with with_row_id(True)")
    return [int(row_id) for row_id in rows["_rowid"].to_pylist()]


def _check(dataset: Dataset, column: str) -> None:
    if column in row_addressable_blob_v2_paths(dataset.schema):
        return
    if column.split(".", maxsplit=1)[0] not in dataset.schema.names:
        raise ColumnNotFoundError(column, dataset.schema.names)
    raise QueryError(f"column {column!r} is not a blob column")
