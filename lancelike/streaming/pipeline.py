"""Reading splits ahead: batches are fetched and transformed by threads, and come out row by row in order."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from lancelike.permutation import Permutation

logger = logging.getLogger(__name__)

OnTransformError: TypeAlias = Literal["raise", "skip", "warn"] | Callable[[Exception], bool]
Row: TypeAlias = tuple[int, Any]
"""A row's position in its split, and what the transform made of it."""


@dataclass(slots=True)
class Counters:
    """What a pipeline has done, in rows, bytes and seconds."""

    unscanned: int = 0
    raw: int = 0
    cooked: int = 0
    consumed: int = 0
    bytes_loaded: int = 0
    fetch_s: float = 0.0
    transform_s: float = 0.0
    skipped: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **changes: float) -> None:
        """Add to the counts named; several threads do."""
        with self._lock:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)


@dataclass(frozen=True, slots=True)
class RowTransform:
    """Turns a batch into rows; of a batch that fails, each row is tried alone."""

    function: Callable[[pa.RecordBatch], Any]
    on_error: OnTransformError = "raise"

    def rows(self, batch: pa.RecordBatch, start: int) -> list[Row]:
        """What became of the rows, the first of them at *start*, without those to be skipped.

        Raises:
            ValueError: The function gave more or fewer rows than it got.
            Exception: What it raised, unless that is to be skipped.
        """
        try:
            made = list(self.function(batch))
        except Exception as error:
            if not self._skips(error):
                raise
            return self._one_by_one(batch, start)
        return [(start + number, row) for number, row in enumerate(_counted(made, batch.num_rows))]

    def _one_by_one(self, batch: pa.RecordBatch, start: int) -> list[Row]:
        rows: list[Row] = []
        last: Exception | None = None
        for number in range(batch.num_rows):
            try:
                made = list(self.function(batch.slice(number, 1)))
            except Exception as error:
                if not self._skips(error):
                    raise
                last = error
            else:
                rows.append((start + number, _counted(made, 1)[0]))
        if self.on_error == "warn" and last is not None:
            skipped = batch.num_rows - len(rows)
            logger.warning("skipped %d of %d rows whose transform failed: %r", skipped, batch.num_rows, last)
        return rows

    def _skips(self, error: Exception) -> bool:
        return self.on_error != "raise" and (not callable(self.on_error) or bool(self.on_error(error)))


def _counted(rows: Sequence[Any], wanted: int) -> Sequence[Any]:
    if len(rows) != wanted:
        raise ValueError(
            f"transform returned {len(rows)} rows for a batch of {wanted}; it must give one for each. To drop rows, "
            "raise in it and pass on_transform_error='skip'"
        )
    return rows


@dataclass(slots=True)
class SplitReader:
    """The rows of one split from *start* on, a few batches of them under way.

    Attributes:
        permutation: The split, in Arrow's format.
        start: Position of the first row to read.
        batch_size: Rows in a batch.
        ahead: Batches under way at most.
    """

    permutation: Permutation
    start: int
    batch_size: int
    ahead: int
    transform: RowTransform
    counters: Counters
    fetching: Executor
    transforming: Executor
    _waiting: deque[Future[list[Row]]] = field(default_factory=deque)
    _ready: deque[Row] = field(default_factory=deque)

    def fill(self) -> None:
        """Ask for further batches, as many as may be under way."""
        while len(self._waiting) < self.ahead and self.start < len(self.permutation):
            stop = min(self.start + self.batch_size, len(self.permutation))
            batch = self.fetching.submit(self._fetch, range(self.start, stop))
            self._waiting.append(self.transforming.submit(self._transformed, batch, self.start))
            self.counters.add(unscanned=self.start - stop)
            self.start = stop

    def has_row(self) -> bool:
        """Whether a row is left; waits until that is known."""
        while not self._ready and (self._waiting or self.start < len(self.permutation)):
            self.fill()
            rows = self._waiting.popleft().result()
            self._ready.extend(rows)
            self.counters.add(cooked=len(rows))
            self.fill()
        return bool(self._ready)

    def next_row(self) -> Row:
        """The next row, of which `has_row` knows."""
        self.counters.add(cooked=-1, consumed=1)
        return self._ready.popleft()

    def _fetch(self, offsets: range) -> pa.RecordBatch:
        began = time.perf_counter()
        batch: pa.RecordBatch = self.permutation.take_offsets(offsets)
        self.counters.add(fetch_s=time.perf_counter() - began, bytes_loaded=batch.nbytes, raw=batch.num_rows)
        return batch

    def _transformed(self, fetched: Future[pa.RecordBatch], start: int) -> list[Row]:
        batch = fetched.result()
        began = time.perf_counter()
        rows = self.transform.rows(batch, start)
        took, skipped = time.perf_counter() - began, batch.num_rows - len(rows)
        self.counters.add(transform_s=took, raw=-batch.num_rows, skipped=skipped)
        return rows


@contextmanager
def reading(
    splits: Sequence[tuple[Permutation, int]],
    transform: RowTransform,
    counters: Counters,
    *,
    batch_size: int,
    ahead: int,
    parallelism: int,
) -> Iterator[list[SplitReader]]:
    """A reader for each of *splits*, given with the position to start at; their threads end with the block."""
    counters.unscanned = sum(max(0, len(split) - start) for split, start in splits)
    with (
        ThreadPoolExecutor(len(splits) * ahead, "lancelike-fetch") as fetching,
        ThreadPoolExecutor(parallelism, "lancelike-transform") as transforming,
    ):
        readers = [
            SplitReader(split, start, batch_size, ahead, transform, counters, fetching, transforming)
            for split, start in splits
        ]
        try:
            for reader in readers:
                reader.fill()
            yield readers
        finally:
            transforming.shutdown(wait=False, cancel_futures=True)
            fetching.shutdown(wait=False, cancel_futures=True)
            counters.unscanned = counters.raw = counters.cooked = 0
