"""Blob columns: their Arrow type, and their values by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from lance import LanceDataset
from lance.blob import BlobFile, BlobType

from lancelike import schema
from lancelike.errors import ColumnNotFoundError, LancelikeError, MediaFetchError, QueryError, shorten
from lancelike.schema.blobs import field_at, row_addressable_blob_v2_paths
from lancelike.storage.dataset import Dataset

__all__ = [
    "BlobFile",
    "BlobType",
    "Described",
    "StoredBytes",
    "StoredColumn",
    "blob",
    "fetch",
    "fetch_ranges",
    "open_files",
    "row_ids_of",
]


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
    return dataset.blob_values(column, list(row_ids))


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


class StoredBytes:
    """The value of a blob column in one row of one version, read when asked for.

    Attributes:
        size: Its bytes.
    """

    def __init__(self, dataset: Dataset, column: str, row_id: int, size: int) -> None:
        self.size = size
        self._dataset, self._column, self._row_id = dataset, column, row_id

    def read_bytes(self) -> bytes:
        """All of them.

        Raises:
            MediaFetchError: The version it is of is gone.
        """
        try:
            value: bytes = self._dataset.blob_values(self._column, [self._row_id])[0].as_py()
        except LancelikeError as error:
            where = f"column {self._column!r} of table {self._dataset.name!r}"
            raise MediaFetchError(f"it is no longer there ({shorten(str(error), 200)})", source=where) from error
        return value


class StoredColumn:
    """The values of a blob column in some rows of one version, not yet read.

    Attributes:
        kind: `"image"` or `"audio"` where they are images or sounds, or None.
    """

    def __init__(self, dataset: Dataset, column: str, row_ids: Sequence[int], described: pa.ChunkedArray) -> None:
        self.kind: str | None = _kind_of(dataset.schema, column)
        self._dataset, self._column, self._row_ids, self._described = dataset, column, row_ids, described

    def values(self) -> list[StoredBytes | None]:
        """Each value, to be read when it is asked for; None for null."""
        return [
            None if where is None else StoredBytes(self._dataset, self._column, row_id, where["size"])
            for row_id, where in zip(self._row_ids, self._described.to_pylist(), strict=True)
        ]

    def read(self) -> list[bytes | None]:
        """All values."""
        values: list[bytes | None] = fetch(self._dataset, self._column, self._row_ids).to_pylist()
        return values

    def files(self) -> list[BlobFile | None]:
        """A file for each value, which reads what is read of it; None for null."""
        return open_files(self._dataset, self._column, self._row_ids)


@dataclass(frozen=True)
class Described:
    """What polars scans of a dataset with blobs: Lance describes their values, and its schema doesn't say so."""

    dataset: LanceDataset

    @property
    def schema(self) -> pa.Schema:
        """The columns of the batches."""
        return self.dataset.scanner().projected_schema

    def to_batches(self, **options: Any) -> Iterator[pa.RecordBatch]:
        """The rows, by the *options* of `LanceDataset.to_batches`."""
        return iter(self.dataset.to_batches(**options))


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


def _kind_of(columns: pa.Schema, path: str) -> str | None:
    field = field_at(columns, path)
    return None if field is None else schema.logical_type(field).get("kind")


def _check(dataset: Dataset, column: str) -> None:
    if column in row_addressable_blob_v2_paths(dataset.schema):
        return
    if column.split(".", maxsplit=1)[0] not in dataset.schema.names:
        raise ColumnNotFoundError(column, dataset.schema.names)
    raise QueryError(f"column {column!r} is not a blob column")
