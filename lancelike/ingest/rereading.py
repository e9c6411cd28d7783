"""Rows that can be read again, for a write that has to begin anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel

from lancelike.errors import SchemaChangedError
from lancelike.ingest.batch import Batch
from lancelike.ingest.read import Source, all_are, read_batches
from lancelike.ledger import Embedder
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import Rows

if TYPE_CHECKING:
    from lancelike.storage.dataset import Dataset

T = TypeVar("T")

BindingsIn: TypeAlias = "Callable[[Dataset], Sequence[EmbeddingFunctionConfig]]"
"""Makes the bindings that a version of a table names."""

MOST_TRIES = 10
LOOK_EVERY_S = 2.0
MOST_BYTES = 1 << 30
"""Rows that can be read only once are kept up to this, in a temporary file, while they are written."""
_BYTES_IN_MEMORY = 8 << 20


def until_written(
    write: Callable[[Dataset, Sequence[EmbeddingFunctionConfig]], T],
    dataset: Dataset,
    bindings_in: BindingsIn,
    embedder: Embedder,
) -> T:
    """What *write* returns, which gets the version shown and its bindings; begun anew when others change columns.

    What was paid for is kept, and counts in the receipt.

    Args:
        write: Writes rows to *dataset* that it made for the version it gets.
        dataset: The table.
        bindings_in: Its bindings.
        embedder: Makes the vectors.

    Raises:
        SchemaChangedError: It was changed again and again.
    """
    for left in reversed(range(MOST_TRIES)):
        shown = dataset.frozen()
        embedder.before = _watch(dataset, shown.schema)
        try:
            return write(shown, bindings_in(shown))
        except SchemaChangedError:
            if not left:
                raise
            dataset.refresh()
            embedder.begin_again()
    raise AssertionError("the last try returns or raises")


def _watch(dataset: Dataset, schema: pa.Schema) -> Callable[[], None]:
    """What sees now and then that the functions are still those of *schema*: a look at a remote table takes time."""
    looked_at = time.monotonic()

    def look() -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at >= LOOK_EVERY_S:
            dataset.check_functions(schema.metadata)
            looked_at = time.monotonic()

    return look


class Rereading:
    """*data*, as often as it is to be read.

    Args:
        data: What `Table.add` takes. Of an iterator or a stream what was read is kept, up to a bound.
    """

    def __init__(self, data: Rows) -> None:
        self._data = data
        self._once: Source | None = None
        self._kept: _Kept | None = None

    def read(self, schema: pa.Schema, *, keep: bool) -> Source:
        """The rows from the first on.

        Args:
            schema: The table's.
            keep: Whether to keep rows that can be read only once, so that they can be read again.

        Raises:
            BadDataError: As from `read_batches`.
            SchemaChangedError: They can be read only once, and were; also from the batches.
        """
        if _can_be_read_again(self._data):
            return read_batches(self._data, schema)
        if self._once is None or self._kept is None:
            self._once = read_batches(self._data, schema)
            self._kept = _Kept(self._once.batches, MOST_BYTES if keep else 0)
        return replace(self._once, batches=iter(self._kept))

    def close(self) -> None:
        """Delete what was kept."""
        if self._kept is not None:
            self._kept.close()


class _Kept:
    """Batches that come once, for any number of readers, in whatever threads."""

    def __init__(self, batches: Iterator[Batch], most_bytes: int) -> None:
        self._batches, self._most_bytes = batches, most_bytes
        self._lock = threading.Lock()
        self._file: SpooledTemporaryFile[bytes] | None = SpooledTemporaryFile(_BYTES_IN_MEMORY)  # noqa: SIM115 - kept
        self._places: list[tuple[int, range | NDArray[np.int64]]] = []
        self._read = self._size = 0
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Batch]:
        for number in count():
            with self._lock:
                batch = self._again(number) if number < self._read else self._next()
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file, self._places = None, []

    def _next(self) -> Batch | None:
        if self._error is not None:
            raise self._error
        try:
            batch = next(self._batches, None)
        except BaseException as error:
            self._error = error
            raise
        if batch is not None:
            self._keep(batch)
            self._read += 1
        return batch

    def _keep(self, batch: Batch) -> None:
        if self._file is None:
            return
        try:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.data.schema) as stream:
                stream.write_batch(batch.data)
            written = sink.getvalue()
            self._file.seek(self._size)
            self._file.write(written)
            self._places.append((self._size, batch.rows))
            self._size += written.size
        except OSError:  # no room for it, which the write may not need
            self._size = self._most_bytes + 1
        if self._size > self._most_bytes:
            self._file.close()
            self._file, self._places = None, []

    def _again(self, number: int) -> Batch:
        if self._file is None:
            raise SchemaChangedError(
                "the table's columns or embedding functions were changed while rows were written that can be read only "
                "once, and were not kept; nothing is written: write them again, what was paid for is kept"
            )
        start, rows = self._places[number]
        self._file.seek(start)
        return Batch(pa.ipc.open_stream(self._file).read_next_batch(), rows)


def _can_be_read_again(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return all_are(data, Mapping, BaseModel, pa.RecordBatch, pa.Table)
    library = type(data).__module__.partition(".")[0]
    return isinstance(data, pa.Table | pa.RecordBatch) or any(
        library == owner and hasattr(data, attribute) for owner, attribute in _LASTING
    )


_LASTING = (
    ("pandas", "iloc"),
    ("polars", "collect_schema"),
    ("datasets", "__len__"),
    ("lance", "scanner"),
    ("lance", "to_reader"),
)
