"""Rows that lack an image or sound that could not be read: which they are, and reading it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import CommitConflictError, MediaError
from lancelike.ingest import Batch, BindingsIn, fill_lacking
from lancelike.ingest.embed import WINDOW_BYTES
from lancelike.ingest.sources import crew_for, field_at, limits_of, read_source
from lancelike.ingest.values import to_array
from lancelike.ledger import Embedder, TableFailures
from lancelike.ledger.unread import UnreadSource, waiting_rows, with_value_at
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.blobs import blobs_to_binary
from lancelike.storage import Dataset

_ATTEMPTS = 10


def unread_errors(
    dataset: Dataset, bindings: Sequence[EmbeddingFunctionConfig], failures: TableFailures
) -> Iterator[dict[str, Any]]:
    """What `embedding_errors` lists of rows that lack an image or sound, or were left out for one, by time.

    There is one for each vector that would be made of it; where that is none, one without a vector column.
    """
    records = failures.unread.latest()
    found = waiting_rows(dataset, records)
    for each in records:
        if each.key in found or each.dropped:
            fed = [binding.vector_column for binding in bindings if each.source_column in binding.source_columns]
            for column in fed or (None,):
                yield {
                    "row_id": found.get(each.key),
                    "vector_column": column,
                    "source_column": each.place,
                    "input": each.input,
                    "error_class": each.error_class,
                    "message": each.message,
                    "attempts": each.attempts,
                    "at": each.at,
                }


def read_again(dataset: Dataset, bindings_in: BindingsIn, failures: TableFailures, embedder: Embedder) -> None:
    """Read what rows lack from where it was to be read, and store it with the vectors of it, in one commit.

    Where it takes more than 64 MB there are several, each of whole rows. What can't be read is noted with its error.

    Args:
        dataset: The table.
        bindings_in: Its bindings.
        failures: What could not be read.
        embedder: Makes the vectors, with the policy to quarantine what fails.

    Raises:
        EmbeddingError: A function failed as a whole; what was stored before stays.
    """
    records = [each for each in failures.unread.latest() if each.address is not None]
    if not records:
        return
    dataset.refresh()
    shown = dataset.frozen()
    found = waiting_rows(shown, records)
    waiting = [each for each in records if each.key in found]
    bindings = bindings_in(shown)
    limits = {column: limits_of(column, bindings) for column in {each.source_column for each in waiting}}
    window: list[tuple[UnreadSource, bytes]] = []
    size = 0
    with embedder, closing(crew_for(limits, bindings)) as crew:
        reading = []
        for each in waiting:
            kind = field_at(shown.schema.field(each.source_column), each.steps)
            reading.append(crew.submit(partial(read_source, kind, each.address or "", limits[each.source_column])))
        for each, future in zip(waiting, reading, strict=True):
            got = crew.take(future)
            if isinstance(got, MediaError):
                embedder.set_aside([each.failed_again(got)])
                embedder.rows += 1
                continue
            window.append((each, got))
            size += len(got)
            if size >= WINDOW_BYTES:
                _store(dataset, bindings_in, window, embedder)
                window, size = [], 0
        embedder.list_aside()
        _store(dataset, bindings_in, window, embedder)


def _store(
    dataset: Dataset, bindings_in: BindingsIn, window: Sequence[tuple[UnreadSource, bytes]], embedder: Embedder
) -> None:
    """Put what was read into the rows that still lack it, with the vectors of it."""
    for attempt in reversed(range(_ATTEMPTS)):
        dataset.refresh()
        shown = dataset.frozen()
        found = waiting_rows(shown, [each for each, _ in window])
        if not found:
            return
        bindings = bindings_in(shown)
        new: dict[int, list[tuple[UnreadSource, bytes]]] = {}
        for each, data in window:
            if each.key in found:
                new.setdefault(found[each.key], []).append((each, data))
        try:
            filled = partial(_filled, new=new, bindings=bindings, embedder=embedder)
            rows, _ = dataset.rewrite_rows_by_id(np.array(sorted(new), np.uint64), shown.version, filled)
        except CommitConflictError:
            if not attempt:
                raise
        else:
            embedder.rows += rows
            return


def _filled(
    rows: pa.RecordBatch,
    row_ids: NDArray[np.uint64],
    *,
    new: dict[int, list[tuple[UnreadSource, bytes]]],
    bindings: Sequence[EmbeddingFunctionConfig],
    embedder: Embedder,
) -> pa.RecordBatch:
    """*rows* with what is *new* for each of *row_ids*, and with the vectors that were lacking for it."""
    columns = {each.source_column for brought in new.values() for each, _ in brought}
    for column in columns:
        index = rows.schema.get_field_index(column)
        values = _values(rows.column(index))
        for row, row_id in enumerate(row_ids.tolist()):
            for each, data in new.get(row_id, ()):
                if each.source_column == column:
                    values[row] = with_value_at(values[row], each.steps, data)
        kind = rows.schema.field(index)
        rows = rows.set_column(index, kind, to_array(values, column, kind, 0))
    batch = Batch(rows, range(rows.num_rows))
    for binding in bindings:
        if columns.intersection(binding.source_columns):
            batch = fill_lacking(batch, rows.schema, binding, embedder)
    return batch.data


def _values(column: pa.Array) -> list[Any]:
    values: list[Any] = blobs_to_binary(column).to_pylist()
    return values
