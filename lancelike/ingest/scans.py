"""Datasets of Lance's and of Arrow's as sources, read little ahead of the write."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lancelike.ingest.kinds import fixed_bytes
from lancelike.storage.blob_scans import with_values
from lancelike.storage.read_ahead import READ_AHEAD_BYTES

BATCHES_AHEAD = 2
"""Both read 16 by themselves, Arrow of 131 072 rows and from four files. An `add` of 320 000 x 384 float32 took 1200 MB
beside them from Parquet in row groups of 4000, 600 from Lance; so it takes 340 and 240, and no longer."""
MOST_ROWS = 8_192
"""Rows of a batch: columns that take as many bytes for each row say nothing of the others."""


def scan(dataset: Any, batch_bytes: int, least_rows: int) -> pa.RecordBatchReader:
    """The rows of *dataset*, or of a fragment, in batches of *batch_bytes*, or of *least_rows* if that is more."""
    row_bytes = sum(map(fixed_bytes, dataset.schema.types)) * 33 // 32  # with a bit for each value, null or not
    rows = min(MOST_ROWS, max(least_rows, batch_bytes // max(1, row_bytes)))
    settings = {"batch_readahead": BATCHES_AHEAD} | with_values(dataset.schema, batch_size=rows)
    if hasattr(dataset, "get_fragments"):
        settings["fragment_readahead"] = 1
    if type(dataset).__module__.partition(".")[0] == "lance":
        settings["io_buffer_size"] = READ_AHEAD_BYTES
    return dataset.scanner(**settings).to_reader()
