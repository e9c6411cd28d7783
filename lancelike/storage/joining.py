"""Merges of more new rows than Lance's own merge should hold.

Lance joins all new rows with the table's in memory, 300 bytes for each and more. Here the new rows stay where they are
spooled, and are found by their keys, in files, while the table's keys go by; then they are written as a stream. What is
committed is the operation that Lance's merge makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceOperation
from lance.fragment import FragmentMetadata, write_fragments
from numpy.typing import NDArray

from lancelike.schema.blobs import has_blobs
from lancelike.storage.pulling import Pull, Spool, callers_errors
from lancelike.storage.read_ahead import read_ahead_bytes
from lancelike.storage.replacing import Places, keep_row_ids, replacement
from lancelike.storage.row_keys import RowsByKey
from lancelike.storage.scratch import zeros
from lancelike.types import StorageOptions

MOST_HELD = 1 << 17
"""New rows that are left to Lance's merge, which can find their keys through an index."""
MOST_HELD_BYTES = 256 << 20
"""And what they may take at most."""
_CHUNK_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeClauses:
    """What a merge does; `Dataset.merge` says what each means."""

    on: Sequence[str]
    when_matched_update_all: bool
    when_matched_where: str | None
    when_not_matched_insert_all: bool
    when_not_matched_by_source_delete: bool
    by_source_condition: str | None
    use_index: bool

    @property
    def change_something(self) -> bool:
        """Whether rows of any kind are written or deleted."""
        return (
            self.when_matched_update_all or self.when_not_matched_insert_all or self.when_not_matched_by_source_delete
        )


class NewRows:
    """The rows that a merge brings, to be read by each of its attempts.

    Attributes:
        schema: Of the rows.
        num_rows: How many there are.
        num_bytes: What they take in memory.
    """

    def __init__(self, source: pa.RecordBatchReader | pa.Table) -> None:
        self.schema: pa.Schema = source.schema
        self._spool = Spool(source)
        self.num_rows, self.num_bytes = self._spool.num_rows, self._spool.num_bytes
        self._by_key: RowsByKey | None = None

    def read(self) -> pa.Table | pa.RecordBatchReader:
        """The rows from the first on."""
        return self._spool.read()

    def chunks(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows from the first on, a few at a time, with the number of the first of these."""
        rows, start = self.read(), 0
        for batch in rows.to_reader() if isinstance(rows, pa.Table) else rows:
            for offset in range(0, len(batch), _CHUNK_ROWS):
                yield start + offset, batch.slice(offset, _CHUNK_ROWS)
            start += len(batch)

    def by_key(self, fields: pa.Schema) -> RowsByKey:
        """The rows by their columns *fields*, which are the same in all attempts."""
        if self._by_key is None:
            self._by_key = RowsByKey(fields)
            for _, rows in self.chunks():
                self._by_key.add(rows)
        return self._by_key

    def close(self) -> None:
        """Delete what lies on disk."""
        self._spool.close()


def join(
    dataset: LanceDataset, clauses: MergeClauses, new: NewRows, storage_options: StorageOptions | None
) -> tuple[LanceOperation.Update, dict[str, int]] | None:
    """What a merge of *new* into *dataset* comes to, the rows written; with Lance's counts.

    None where it is left to Lance: few rows, or not whole ones; a condition on both rows of a pair; two rows with the
    same key on one side.
    """
    if not _is_due(dataset, clauses, new):
        return None
    by_key = new.by_key(pa.schema([dataset.schema.field(name) for name in clauses.on]))
    pairs = _Pairs(dataset, clauses, by_key, new.num_rows)
    if not by_key.are_distinct or not pairs.find():
        return None
    matched = pairs.count()
    updated = matched if clauses.when_matched_update_all else 0
    inserted = new.num_rows - matched if clauses.when_not_matched_insert_all else 0
    fragments = _write(dataset, clauses, new, pairs.row_ids, updated, storage_options) if updated + inserted else []
    counts = {"num_updated_rows": updated, "num_inserted_rows": inserted, "num_deleted_rows": pairs.deleted}
    return replacement(dataset, pairs.gone, fragments, dataset.schema.names), counts


def _is_due(dataset: LanceDataset, clauses: MergeClauses, new: NewRows) -> bool:
    there = {field.name: field.type for field in dataset.schema}
    return (
        (new.num_rows > MOST_HELD or new.num_bytes > MOST_HELD_BYTES)
        and clauses.change_something
        and clauses.when_matched_where is None
        and {field.name: field.type for field in new.schema} == there
        and there.keys() >= set(clauses.on)
        and not has_blobs(dataset.schema)
    )


class _Pairs:
    """New rows and the table's rows that have the same key.

    Attributes:
        row_ids: One more than the `_rowid` that each new row finds, 0 where it finds none, shape (new rows,).
        gone: The table's rows that the merge replaces or deletes.
        deleted: How many it deletes.
    """

    def __init__(self, dataset: LanceDataset, clauses: MergeClauses, by_key: RowsByKey, num_new: int) -> None:
        self._dataset, self._clauses, self._by_key = dataset, clauses, by_key
        self.row_ids = zeros(num_new)
        self.deleted = 0
        self.gone = Places()

    def find(self) -> bool:
        """Look through the table; whether no new row replaces two of its rows."""
        replaces = self._clauses.when_matched_update_all
        for numbers, rows in self._table():
            matched = numbers >= 0
            wanted, found = numbers[matched], rows["_rowid"].to_numpy()[matched] + 1
            are_new = self.row_ids[wanted] == 0
            self.row_ids[wanted] = found
            if replaces and not (are_new.all() and np.array_equal(self.row_ids[wanted], found)):
                return False
            if replaces:
                self.gone.add(rows["_rowaddr"].to_numpy()[matched])
        if self._clauses.when_not_matched_by_source_delete:
            for numbers, rows in self._table(self._clauses.by_source_condition):
                unmatched = rows["_rowaddr"].to_numpy()[numbers < 0]
                self.deleted += len(unmatched)
                self.gone.add(unmatched)
        return True

    def count(self) -> int:
        """How many new rows find one."""
        return int(np.count_nonzero(self.row_ids))

    def _table(self, where: str | None = None) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """The table's rows that meet *where*, and the number of the new row with the key of each, or -1."""
        scanner = self._dataset.scanner(
            columns=list(self._clauses.on),
            filter=where,
            with_row_id=True,
            with_row_address=True,
            io_buffer_size=read_ahead_bytes(self._dataset),
        )
        for batch in scanner.to_reader():
            yield self._by_key.find(batch), batch


def _write(
    dataset: LanceDataset,
    clauses: MergeClauses,
    new: NewRows,
    row_ids: NDArray[np.uint64],
    updated: int,
    storage_options: StorageOptions | None,
) -> list[FragmentMetadata]:
    """Write the rows that are updated, which keep their ids, and then those that are inserted."""
    kept = zeros(updated)

    def rows_written() -> Iterator[pa.RecordBatch]:
        start = 0
        for ids, rows in _chosen(new, row_ids, lambda found: found > 0) if updated else ():
            kept[start : start + len(ids)] = ids - 1
            start += len(ids)
            yield _ordered(rows, dataset.schema)
        for _, rows in _chosen(new, row_ids, lambda found: found == 0) if clauses.when_not_matched_insert_all else ():
            yield _ordered(rows, dataset.schema)

    pull, stable = Pull(pa.RecordBatchReader.from_batches(dataset.schema, rows_written())), dataset.has_stable_row_ids
    with callers_errors(pull):
        fragments: list[FragmentMetadata] = write_fragments(
            pull.reader, dataset, mode="append", enable_stable_row_ids=stable, storage_options=storage_options
        )
    if stable:
        keep_row_ids(fragments, kept)
    return fragments


def _chosen(
    new: NewRows, row_ids: NDArray[np.uint64], choose: Callable[[NDArray[np.uint64]], NDArray[np.bool_]]
) -> Iterator[tuple[NDArray[np.uint64], pa.RecordBatch]]:
    """The rows of *new* whose entries in *row_ids* are chosen, with these."""
    for start, rows in new.chunks():
        found = row_ids[start : start + len(rows)]
        chosen = choose(found)
        if chosen.any():
            yield found[chosen], rows if chosen.all() else rows.filter(pa.array(chosen))


def _ordered(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([rows.column(name) for name in schema.names], schema=schema)
