"""Rows of the version that a handle shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceScanner
from lance.dataset import ColumnOrdering
from numpy.typing import NDArray

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.query.plan import Scan
from lancelike.query.predicates import check_filter, check_sql
from lancelike.schema.blobs import is_blob_like_field
from lancelike.storage.blob_scans import with_values
from lancelike.storage.fragments import FragmentFiles, addresses_of
from lancelike.storage.fulltext import lance_query
from lancelike.storage.showing import Showing

MOST_FILTERED_BY_READING = 200_000
"""Rows of a table in which filters on numbers, beside a search by words, read their columns: two words in 100 000 rows
take 1.8 to 3.8 ms so, and 1 to 9 where B-trees are asked, as many ids take them long."""
_SYSTEM_COLUMNS = ("_rowid", "_rowaddr", "_rowoffset", "_row_created_at_version", "_row_last_updated_at_version")


class Reading(Showing):
    """What can be read of the version shown."""

    def count_rows(self, filter: str | None = None) -> int:
        """Rows that meet *filter*, SQL text; None counts all.

        Raises:
            ColumnNotFoundError: *filter* names a column that isn't there.
            QueryError: *filter* can't be parsed, or is no condition.
        """
        shown = self._readable()
        with self.errors():
            if filter is None:
                return int(shown.count_rows())
            return int(self._scanner(Scan(columns=[], filter=filter, with_row_id=True)).count_rows())

    def scan(self, scan: Scan) -> pa.RecordBatchReader:
        """Rows of *scan* as a stream; what Lance raises under way is of our tree too."""
        with self.errors():
            reader = self._scanner(scan).to_reader()
        return pa.RecordBatchReader.from_batches(reader.schema, self._streamed(reader))

    def _streamed(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self.errors():
            yield from reader

    def read(self, scan: Scan) -> pa.Table:
        """Rows of *scan*, all at once."""
        with self.errors():
            return self._scanner(scan).to_table()

    def explain(self, scan: Scan, verbose: bool = False) -> str:
        """How Lance would run *scan*."""
        with self.errors():
            return str(self._scanner(scan).explain_plan(verbose))

    def analyze(self, scan: Scan) -> str:
        """How Lance ran *scan*: its plan with rows and times."""
        with self.errors():
            return str(self._scanner(scan).analyze_plan())

    def output_schema(self, scan: Scan) -> pa.Schema:
        """Schema of what *scan* gives, without running it."""
        with self.errors():
            return self._scanner(scan).projected_schema

    def take(self, offsets: Sequence[int], columns: Sequence[str] | Mapping[str, str] | None = None) -> pa.Table:
        """Rows at *offsets*, counted from 0 over the rows not deleted, in the order given.

        Raises:
            QueryError: An offset lies outside the table.
        """
        shown = self._readable()
        with self.errors():
            num_rows = shown.count_rows()
            if outside := [offset for offset in offsets if not 0 <= offset < num_rows]:
                raise QueryError(f"no row at offset {outside[0]}: table {self.name!r} has {num_rows} rows")
            return shown.take(list(offsets), _projection_of(shown, columns))

    def take_row_ids(
        self, row_ids: Sequence[int], columns: Sequence[str] | Mapping[str, str] | None = None
    ) -> pa.Table:
        """Rows whose `_rowid` is among *row_ids*, in the order given; ids of no row are left out."""
        shown = self._readable()
        with self.errors():
            return shown._take_rows(list(row_ids), _projection_of(shown, columns))

    def rows_by_id(self, row_ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """*columns* and `_rowid` of the rows whose `_rowid` is among *row_ids*; ids of no row are left out.

        Blobs come as their values.
        """
        shown = self._readable()
        blobs = [field.name for field in shown.schema if field.name in columns and is_blob_like_field(field)]
        rows = self.take_row_ids(row_ids, [*(name for name in columns if name not in blobs), "_rowid"])
        for name in blobs:
            rows = rows.append_column(name, self.blob_values(name, rows["_rowid"].to_pylist()))
        return rows.select([*columns, "_rowid"])

    def blob_values(self, blob_column: str, row_ids: list[int]) -> pa.Array:
        """The values of *blob_column* in the rows with these ids, in their order, as large_binary."""
        with self.errors():
            found = self._readable().read_blobs(blob_column, ids=row_ids, preserve_order=True) if row_ids else []
        return pa.array([value for _, value in found], pa.large_binary())

    def fragments(self) -> dict[int, int]:
        """Size in bytes of each fragment's data files, by the fragment's id."""
        with self.errors():
            fragments = self._readable().get_fragments()
            return {
                int(each.fragment_id): sum(file.file_size_bytes or 0 for file in each.metadata.files)
                for each in fragments
            }

    def files(self) -> dict[int, FragmentFiles]:
        """What each fragment's rows are in, by the fragment's id."""
        with self.errors():
            fragments = [each.metadata for each in self._readable().get_fragments()]
        return {each.id: FragmentFiles.of(each) for each in fragments}

    def addresses(self, fragment: int) -> NDArray[np.uint64]:
        """`_rowaddr` of the fragment's rows."""
        with self.errors():
            return addresses_of(self._readable(), fragment)

    def _scanner(self, scan: Scan) -> LanceScanner:
        shown = self._searchable()
        return shown.scanner(
            columns=_projection(scan.columns),
            filter=check_filter(scan.filter),
            limit=scan.limit,
            offset=scan.offset,
            prefilter=scan.prefilter,
            nearest=_nearest(scan.nearest),
            full_text_query=None if scan.full_text_query is None else lance_query(scan.full_text_query),
            with_row_id=scan.with_row_id,
            with_row_address=scan.with_row_address,
            fast_search=scan.fast_search,
            order_by=_orderings(scan),
            use_scalar_index=False if scan.past_scalar_indices or _is_filter_read(shown, scan) else None,
            **(
                with_values(shown.schema, scan.columns, scan.batch_size)
                if scan.with_blobs
                else {"batch_size": scan.batch_size}
            ),
            fragments=None if scan.fragments is None else [shown.get_fragment(each) for each in scan.fragments],
        )


def _is_filter_read(shown: LanceDataset, scan: Scan) -> bool:
    """Whether a search by words is quicker if its filter's columns are read than if scalar indices are asked."""
    if scan.full_text_query is None or scan.filter is None or shown.count_rows() > MOST_FILTERED_BY_READING:
        return False
    return all(pa.types.is_primitive(field.type) for field in shown.schema if field.name in scan.filter)


def _nearest(arguments: dict[str, Any] | None) -> dict[str, Any] | None:
    """*arguments* with the vector in the form that pylance converts least: an Arrow array, or rows."""
    if arguments is None or arguments["q"].ndim == 2:
        return arguments
    return {**arguments, "q": pa.array(arguments["q"])}


def _projection(columns: Sequence[str] | Mapping[str, str] | None) -> list[str] | dict[str, str] | None:
    if columns is None:
        return None
    if isinstance(columns, Mapping):
        return {name: check_sql(sql) for name, sql in columns.items()}
    return list(columns)


def _projection_of(
    shown: LanceDataset, columns: Sequence[str] | Mapping[str, str] | None
) -> list[str] | dict[str, str] | None:
    """A projection to take rows with; Lance panics there at a name it does not know, or looks for rows of no column."""
    if isinstance(columns, Mapping):
        _ = shown.scanner(columns=_projection(columns)).projected_schema  # names what isn't there
    elif columns is not None:
        for name in columns:
            if not name.startswith(_SYSTEM_COLUMNS) and not shown.lance_schema.field(name):
                raise ColumnNotFoundError(name, shown.schema.names)
    return _projection(columns)


def _orderings(scan: Scan) -> list[ColumnOrdering] | None:
    if not scan.order_by:
        return None
    return [ColumnOrdering(each.column_name, each.ascending, each.nulls_first) for each in scan.order_by]
