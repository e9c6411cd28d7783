"""Awaited: the blob columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike.aio.handle import AsyncHandle
from lancelike.aio.threads import read
from lancelike.storage.blobs import BlobFile
from lancelike.types import BlobMode

if TYPE_CHECKING:
    import pandas as pd


class AsyncBlobs(AsyncHandle):
    """Reads blob columns."""

    async def blob_columns(self) -> list[str]:
        """The columns declared with `lancelike.blob`, nested ones by dotted path."""
        return await read(self._blocking.blob_columns)

    async def fetch_blobs(self, column: str, row_ids: Sequence[int] | pa.Table) -> pa.Array:
        """The values of *column* in the rows with these ids. Arguments and errors are those of `Table.fetch_blobs`."""
        table = self._blocking
        return await read(lambda: table.fetch_blobs(column, row_ids))

    async def fetch_blob_ranges(self, column: str, requests: Sequence[tuple[int, int, int]]) -> pa.Array:
        """Parts of values. Arguments and errors are those of `Table.fetch_blob_ranges`."""
        table = self._blocking
        return await read(lambda: table.fetch_blob_ranges(column, requests))

    async def fetch_blob_files(self, column: str, row_ids: Sequence[int] | pa.Table) -> list[BlobFile | None]:
        """Files whose own methods block. Arguments and errors are those of `Table.fetch_blob_files`."""
        table = self._blocking
        return await read(lambda: table.fetch_blob_files(column, row_ids))

    async def to_pandas(self, blob_mode: BlobMode = "lazy", **kwargs: Any) -> pd.DataFrame:
        """All rows as a pandas DataFrame. Arguments and errors are those of `Table.to_pandas`."""
        table = self._blocking
        return await read(lambda: table.to_pandas(blob_mode, **kwargs))
