"""What flows through ingestion: a record batch that knows which of the caller's rows it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single ==
class Batch:
    """Rows on their way to the table.

    Attributes:
        data: The rows.
        rows: Position of each row in the data the caller gave, shape (len(data),); it survives dropped rows.
    """

    data: pa.RecordBatch
    rows: range | NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.data.num_rows)

    def row(self, index: int) -> int:
        """Position in the caller's data of the row at *index* here."""
        return int(self.rows[index])

    def with_data(self, data: pa.RecordBatch) -> Batch:
        """The same rows with other columns."""
        return replace(self, data=data)

    def slice(self, start: int, length: int) -> Batch:
        """At most *length* rows from *start*, without copying."""
        return Batch(self.data.slice(start, length), self.rows[start : start + length])

    def keep(self, mask: NDArray[np.bool_]) -> Batch:
        """The rows where *mask*, shape (len(self),), is true."""
        return Batch(self.data.filter(pa.array(mask)), np.asarray(self.rows, dtype=np.int64)[mask])


def concat(batches: Sequence[Batch]) -> Batch:
    """*batches*, of one schema, as one batch."""
    if len(batches) == 1:
        return batches[0]
    rows = np.concatenate([np.asarray(batch.rows, dtype=np.int64) for batch in batches])
    return Batch(pa.concat_batches([batch.data for batch in batches]), rows)
