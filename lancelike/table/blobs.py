"""The blob columns of a table: large binary values, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike.query import results
from lancelike.query.plan import Scan
from lancelike.query.results import Answer
from lancelike.schema.blobs import row_addressable_blob_v2_paths
from lancelike.search.stored import blobs_among, with_stored
from lancelike.storage import blobs
from lancelike.storage.blobs import BlobFile
from lancelike.table.handle import Handle
from lancelike.types import BlobMode

if TYPE_CHECKING:
    import pandas as pd


class Blobs(Handle):
    """Reads blob columns."""

    def blob_columns(self) -> list[str]:
        """The columns declared with `lancelike.blob`, nested ones by dotted path."""
        return row_addressable_blob_v2_paths(self.schema)

    def fetch_blobs(self, column: str, row_ids: Sequence[int] | pa.Table) -> pa.Array:
        """The values of *column* in the rows with these ids, in their order: large_binary, null for null.

        Args:
            column: A blob column.
            row_ids: Ids, or a query's answer with the column `_rowid`; one may be there several times.

        Raises:
            ColumnNotFoundError: There is no such column.
            QueryError: It is no blob column, or no row has one of the ids.
        """
        return blobs.fetch(self._dataset, column, blobs.row_ids_of(row_ids))

    def fetch_blob_ranges(self, column: str, requests: Sequence[tuple[int, int, int]]) -> pa.Array:
        """Parts of values: large_binary, one for each `(row id, offset, length)` in their order, null for null.

        Raises:
            ColumnNotFoundError: There is no such column.
            QueryError: It is no blob column, no row has one of the ids, or a range goes beyond its value.
        """
        return blobs.fetch_ranges(self._dataset, column, requests)

    def fetch_blob_files(self, column: str, row_ids: Sequence[int] | pa.Table) -> list[BlobFile | None]:
        """A seekable file for the value of each row, in their order, None for null: it reads what is read of it.

        Args:
            column: A blob column.
            row_ids: As for `fetch_blobs`.

        Raises:
            ColumnNotFoundError: There is no such column.
            QueryError: It is no blob column, or no row has one of the ids.
        """
        return blobs.open_files(self._dataset, column, blobs.row_ids_of(row_ids))

    def to_pandas(self, blob_mode: BlobMode = "lazy", **kwargs: Any) -> pd.DataFrame:
        """All rows as a pandas DataFrame.

        Args:
            blob_mode: What blobs are, also those within structs: `"lazy"`, files that read what is read of them;
                `"bytes"`, the values; `"descriptions"`, dicts of where Lance keeps them.
            kwargs: For `pyarrow.Table.to_pandas`.
        """
        shown = self._dataset.frozen()
        within = blobs_among(shown.schema, None)
        rows = shown.read(Scan(with_row_id=bool(within)))
        answer = with_stored(shown, rows, within, hides_row_id=True) if within else Answer(rows)
        return results.to_pandas(answer, blob_mode=blob_mode, **kwargs)
