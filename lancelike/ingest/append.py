"""Rows appended, or put in place of those there are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike.ingest.pipeline import ingest
from lancelike.ingest.rereading import BindingsIn, Rereading, until_written
from lancelike.ledger import Embedder
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import OnBadVectors, Rows, WriteMode

if TYPE_CHECKING:
    from lancelike.storage.dataset import Dataset


def append_rows(
    dataset: Dataset,
    bindings_in: BindingsIn,
    data: Rows,
    *,
    mode: WriteMode = "append",
    on_bad_vectors: OnBadVectors = "error",
    fill_value: float = 0.0,
    progress: Any = None,
    embedder: Embedder,
) -> int:
    """Write *data* in one commit; the version that made.

    Args:
        dataset: The table.
        bindings_in: Its bindings.
        data: As `Table.add` takes them.
        mode: `"overwrite"` replaces the rows.
        on_bad_vectors: As in `ingest`.
        fill_value: As in `ingest`.
        progress: As in `ingest`.
        embedder: As in `ingest`.

    Raises:
        BadDataError: A row doesn't fit the schema; nothing is written.
        EmbeddingError: A function failed; nothing is written.
        SchemaChangedError: Others changed the schema, and *data* can't be read again.
    """

    def write(schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig]) -> int:
        reader = ingest(
            rows.read(schema, keep=bool(bindings)),
            schema,
            bindings,
            on_bad_vectors=on_bad_vectors,
            fill_value=fill_value,
            progress=progress,
            embedder=embedder,
        )
        with embedder:
            return dataset.append(reader) if mode == "append" else dataset.overwrite(reader, keeps_schema=True)

    with closing(Rereading(data)) as rows:
        version = until_written(write, dataset, bindings_in, embedder)
    embedder.written(dataset)
    return version
