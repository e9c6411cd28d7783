"""Rows by prints of their sources and vectors: which of them took a vector over from another source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.ingest import source_inputs
from lancelike.ledger.keys import input_keys
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.blobs import has_blobs
from lancelike.storage import Dataset
from lancelike.storage.blob_scans import ROWS_AT_ONCE as BLOB_ROWS_AT_ONCE
from lancelike.storage.history import ForeignCommit
from lancelike.storage.key_index import Keys

Facts: TypeAlias = NDArray[np.uint64]
"""Rows with a source and a vector that don't belong together, shape (n, 5): the `_rowid`, and the prints of both."""

FACT_NUMBERS = 5
ROWS_AT_ONCE = 8_192

NO_ROWS = np.empty(0, np.uint64)


@dataclass(frozen=True, eq=False)
class Prints:
    """Hashes of rows' sources and vectors, which differ when these do."""

    row_ids: NDArray[np.uint64]
    sources: Keys
    vectors: Keys

    def facts(self) -> Facts:
        """Each row with its prints."""
        return np.column_stack([self.row_ids, self.pairs()])

    def pairs(self) -> NDArray[np.uint64]:
        """The prints of each row, shape (n, 4)."""
        return np.hstack([self.sources, self.vectors])


def separated(commit: ForeignCommit, fields: Sequence[int], binding: EmbeddingFunctionConfig) -> Facts:
    """The rows whose vector *commit* left, or took over, while it changed the source."""
    after = prints_of(commit.rows_after(fields), binding)
    if not len(after.row_ids):
        return after.facts()
    before = prints_of(commit.rows_before(fields), binding)
    return after.facts()[_changed_by_id(before, after) if commit.joins_by_id else _taken_over(before, after)]


def _changed_by_id(before: Prints, after: Prints) -> NDArray[np.intp]:
    """Places in *after* of rows that have another source than before, and the vector they had."""
    order = np.argsort(before.row_ids)
    places = np.searchsorted(before.row_ids, after.row_ids, sorter=order)
    was = order[np.minimum(places, len(order) - 1)] if len(order) else np.empty(0, np.intp)
    if not len(was):
        return was
    same_row = before.row_ids[was] == after.row_ids
    same_source = (before.sources[was] == after.sources).all(axis=1)
    same_vector = (before.vectors[was] == after.vectors).all(axis=1)
    return np.flatnonzero(same_row & ~same_source & same_vector & ~_is_null(after.vectors))


def _taken_over(before: Prints, after: Prints) -> NDArray[np.intp]:
    """Places in *after* of rows whose vector was there, and only with other sources."""
    was_there = are_among(after.vectors, before.vectors)
    return np.flatnonzero(was_there & ~are_among(after.pairs(), before.pairs()) & ~_is_null(after.vectors))


def are_among(rows: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of *rows*, shape (n, numbers), are one of *others*."""
    whole = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    sought, there = (np.ascontiguousarray(each).view(whole).ravel() for each in (rows, others))
    return np.isin(sought, there)


def that_are(now: Prints, facts: Facts) -> NDArray[np.uint64]:
    """Ids of the rows of which one of *facts* holds, these ordered by row."""
    if not len(now.row_ids):
        return NO_ROWS
    first = np.searchsorted(facts[:, 0], now.row_ids.min(), side="left")
    end = np.searchsorted(facts[:, 0], now.row_ids.max(), side="right")
    return now.row_ids[are_among(now.facts(), facts[first:end])]


def read_rows(dataset: Dataset, row_ids: NDArray[np.uint64], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows with these ids, some at a time."""
    size = BLOB_ROWS_AT_ONCE if has_blobs(dataset.schema, columns) else ROWS_AT_ONCE
    for start in range(0, len(row_ids), size):
        some = row_ids[start : start + size].tolist()
        yield from dataset.rows_by_id(some, columns).combine_chunks().to_batches()


def prints_of(batches: Iterable[pa.RecordBatch], binding: EmbeddingFunctionConfig) -> Prints:
    """The prints of rows whose first columns are the binding's sources and vectors, whatever they are called."""
    names = [*binding.source_columns, binding.vector_column]
    row_ids, sources, vectors = [], [], []
    for batch in batches:
        rows = pa.RecordBatch.from_arrays(batch.columns[: len(names)], names)
        row_ids.append(batch["_rowid"].to_numpy().copy())
        sources.append(input_keys("", "source", source_inputs(rows, binding)))
        vectors.append(vector_keys(rows.column(len(names) - 1)))
    if not row_ids:
        return Prints(np.empty(0, np.uint64), np.empty((0, 2), np.uint64), np.empty((0, 2), np.uint64))
    return Prints(np.concatenate(row_ids), np.concatenate(sources), np.concatenate(vectors))


def vector_keys(column: pa.Array) -> Keys:
    """The print of each vector of *column*."""
    return input_keys("", "vector", [None if vector is None else vector.tobytes() for vector in to_arrays(column)])


_NULL_VECTOR = input_keys("", "vector", [None])


def _is_null(vectors: Keys) -> NDArray[np.bool_]:
    null: NDArray[np.bool_] = (vectors == _NULL_VECTOR).all(axis=1)
    return null


def to_arrays(column: pa.Array) -> list[NDArray[Any] | None]:
    """Each vector, or matrix of vectors, of *column*."""
    if not pa.types.is_fixed_size_list(column.type):
        return [None if value is None else np.array(value) for value in column.to_pylist()]
    size = column.type.list_size
    flat = column.values.to_numpy(zero_copy_only=False).reshape(-1, size)[column.offset : column.offset + len(column)]
    if not column.null_count:
        return list(flat)
    null = column.is_null().to_numpy(zero_copy_only=False)
    return [None if null[place] else vector for place, vector in enumerate(flat)]
