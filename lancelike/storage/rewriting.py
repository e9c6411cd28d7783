"""New values for some columns of some rows, made in Python, in one commit.

The rows are written again whole, into fragments of their own, and deleted where they were. With stable row ids each
keeps its `_rowid`, and the indices on columns that did not change go on covering it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from lance.fragment import FragmentMetadata, write_fragments
from numpy.typing import NDArray

from lancelike.errors import ColumnNotFoundError, QueryError, SchemaError
from lancelike.schema.blobs import with_blobs
from lancelike.storage.blob_scans import with_values
from lancelike.storage.pulling import Pull
from lancelike.storage.read_ahead import read_ahead_bytes
from lancelike.storage.replacing import Places, keep_row_ids, replacement
from lancelike.storage.scratch import zeros
from lancelike.storage.transactions import OURS, commit
from lancelike.types import StorageOptions

Transform: TypeAlias = Callable[[pa.RecordBatch], pa.RecordBatch]
RowTransform: TypeAlias = Callable[[pa.RecordBatch, NDArray[np.uint64]], pa.RecordBatch]
"""Gets whole rows, and beside them the old values of what was set, as `old_name` says; and the `_rowid` of each."""

_MOST_RUNS = 16


@dataclass(frozen=True, eq=False)
class _Rows:
    """Where the matching rows are in one version."""

    places: Places
    files: tuple[tuple[str, ...], ...]

    @classmethod
    def matching(cls, dataset: LanceDataset, where: str | None) -> _Rows:
        places = Places.matching(dataset, where)
        fragments = (dataset.get_fragment(each) for each in places.fragments)
        return cls(places, tuple(tuple(file.path for file in each.data_files()) for each in fragments))

    def same_as(self, other: _Rows) -> bool:
        """Whether both are the same rows with the same values: data files are never changed in place."""
        return self.files == other.files and self.places.same_as(other.places)


@dataclass
class _Written:
    """The rows with their new values, on disk, in no version yet."""

    rows: _Rows
    changed: set[str] = field(default_factory=set)
    fragments: list[FragmentMetadata] = field(default_factory=list)


class Rewrite:
    """One rewrite of the rows that meet *where*; `run` may be called again after a conflict.

    What was written is used again when the rows themselves are as they were, so the transform, which may be paid for,
    runs again only for rows that changed.
    """

    def __init__(
        self,
        where: str | None,
        columns: Mapping[str, str],
        transform: RowTransform,
        errors: Callable[[], AbstractContextManager[None]],
        properties: Mapping[str, str] = OURS,
    ) -> None:
        self._where, self._columns, self._transform, self._errors = where, dict(columns), transform, errors
        self._properties = properties
        self._written: _Written | None = None
        self._pull: Pull | None = None

    @property
    def error(self) -> BaseException | None:
        """What the transform raised, or None."""
        return self._pull.error if self._pull else None

    def run(self, dataset: LanceDataset, storage_options: StorageOptions | None) -> int:
        """Rewrite the rows of *dataset*, the latest version, and move it to the version that makes; rows rewritten."""
        _check_columns(dataset, self._columns)
        rows = _Rows.matching(dataset, self._where)
        if not len(rows.places):
            return 0
        if self._written is None or not self._written.rows.same_as(rows):
            self._written = self._write(dataset, rows, storage_options)
        update = replacement(dataset, rows.places, self._written.fragments, self._written.changed)
        dataset._ds = commit(dataset, update, storage_options, properties=self._properties)._ds
        return len(rows.places)

    def _write(self, dataset: LanceDataset, rows: _Rows, storage_options: StorageOptions | None) -> _Written:
        written, row_ids = _Written(rows), zeros(len(rows.places))
        stable = dataset.has_stable_row_ids
        new_rows = self._new_rows(dataset, written, row_ids)
        self._pull = Pull(pa.RecordBatchReader.from_batches(dataset.schema, new_rows))
        written.fragments = write_fragments(
            self._pull.reader,
            dataset,
            mode="append",
            enable_stable_row_ids=stable,
            storage_options=storage_options,
        )
        if stable:
            keep_row_ids(written.fragments, row_ids)
        return written

    def _new_rows(
        self, dataset: LanceDataset, written: _Written, row_ids: NDArray[np.uint64]
    ) -> Iterator[pa.RecordBatch]:
        """The rows as they are to be written, the id of each put into *row_ids* meanwhile."""
        schema, start = dataset.schema, 0
        for batch in _matching_rows(dataset, self._where, self._columns, self._errors):
            before = _conform(batch, schema)
            ids = batch["_rowid"].to_numpy().copy()  # a view would keep the whole batch
            row_ids[start : start + len(ids)] = ids
            start += len(ids)
            after = _conform(self._transform(_with_old(before, batch, self._columns), ids), schema)
            if after.num_rows != before.num_rows:
                raise QueryError(f"the transform made {after.num_rows} rows of {before.num_rows}")
            written.changed.update(self._columns, _different(before, after))
            yield after


def _check_columns(dataset: LanceDataset, columns: Iterable[str]) -> None:
    """See that *dataset* has them all."""
    for name in columns:
        if name not in dataset.schema.names:
            raise ColumnNotFoundError(name, dataset.schema.names)


def rows_as_set(
    dataset: LanceDataset,
    where: str | None,
    columns: Mapping[str, str],
    errors: Callable[[], AbstractContextManager[None]],
) -> Iterator[pa.RecordBatch]:
    """The rows that meet *where*, with *columns* set to SQL expressions, in the batches that a rewrite gets."""
    _check_columns(dataset, columns)
    for batch in _matching_rows(dataset, where, columns, errors):
        yield _with_old(_conform(batch, dataset.schema), batch, columns)


def _matching_rows(
    dataset: LanceDataset,
    where: str | None,
    columns: Mapping[str, str],
    errors: Callable[[], AbstractContextManager[None]],
) -> Iterator[pa.RecordBatch]:
    expressions = {name: columns.get(name, _quoted(name)) for name in dataset.schema.names}
    expressions |= {old_name(name): _quoted(name) for name in columns}
    with errors():
        scanner = dataset.scanner(
            columns=expressions,
            filter=where,
            with_row_id=True,
            io_buffer_size=read_ahead_bytes(dataset),
            **with_values(dataset.schema),
        )
        yield from (batch for batch in scanner.to_reader() if batch.num_rows)


def old_name(column: str) -> str:
    """What a transform finds the values under that *column*, which is set, had before."""
    return f"_lancelike_old_{column}"


def _with_old(rows: pa.RecordBatch, read: pa.RecordBatch, columns: Iterable[str]) -> pa.RecordBatch:
    for name in map(old_name, columns):
        rows = rows.append_column(name, read.column(name))
    return rows


def among_row_ids(row_ids: NDArray[np.uint64]) -> str:
    """SQL for the rows with these ids, ascending; long runs by their ends, as Lance takes 500 bytes for a number."""
    cuts = np.flatnonzero(np.diff(row_ids) != 1) + 1
    starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(row_ids)]])
    longest = np.sort(np.argsort(starts - ends, kind="stable")[:_MOST_RUNS])
    runs = [f"_rowid BETWEEN {row_ids[starts[run]]} AND {row_ids[ends[run] - 1]}" for run in longest]
    single = np.ones(len(row_ids), bool)
    for run in longest:
        single[starts[run] : ends[run]] = False
    if single.any():
        runs.append(f"_rowid IN ({', '.join(map(str, row_ids[single]))})")
    return " OR ".join(runs)


def _quoted(name: str) -> str:
    return f"`{name}`"


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """*batch* with the fields of *schema* in their order, cast where types differ."""
    names = batch.schema.names
    if missing := [name for name in schema.names if name not in names]:
        raise SchemaError(f"column {missing[0]!r} is missing from the rewritten rows")
    columns = (batch.column(names.index(each.name)) for each in schema)
    return pa.RecordBatch.from_arrays(
        [_cast(column, each) for column, each in zip(columns, schema, strict=True)], schema=schema
    )


def _cast(column: pa.Array, target: pa.Field) -> pa.Array:
    column = with_blobs(column, target.type)
    if column.type == target.type:
        return column
    try:
        return column.cast(target.type)
    except pa.ArrowInvalid as error:
        raise QueryError(f"the new values of column {target.name!r} are no {target.type}: {error}") from error


def _different(before: pa.RecordBatch, after: pa.RecordBatch) -> set[str]:
    pairs = zip(before.schema.names, before.columns, after.columns, strict=True)
    return {name for name, old, new in pairs if not new.equals(old)}
