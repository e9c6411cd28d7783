"""Rows on their way from the caller's code into Lance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class Pull:
    """A stream that Lance pulls, and what the caller's code raised while it did.

    Arrow's C interface carries only the text of an exception, so the exception itself is kept here.

    Attributes:
        reader: The stream to hand to Lance; its batches are made in a thread of Lance's.
        num_rows: Rows pulled so far.
        error: What the source raised, or None.
    """

    def __init__(self, source: pa.RecordBatchReader | pa.Table) -> None:
        self.num_rows = 0
        self.error: BaseException | None = None
        self.reader = pa.RecordBatchReader.from_batches(source.schema, self._batches(source))

    def _batches(self, source: pa.RecordBatchReader | pa.Table) -> Iterator[pa.RecordBatch]:
        try:
            for batch in source.to_reader() if isinstance(source, pa.Table) else source:
                self.num_rows += batch.num_rows
                yield batch
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def callers_errors(pull: Pull) -> Iterator[None]:
    """Raise what the source of *pull* raised, in place of what Lance made of it."""
    try:
        yield
    except BaseException:
        if pull.error is None:
            raise
        raise pull.error from pull.error.__cause__
