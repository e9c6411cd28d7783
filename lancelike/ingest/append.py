"""Rows appended, or put in place of those there are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from lancelike.ingest.media import has_media
from lancelike.ingest.parts import in_parts
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
    parallelism: int | None = None,
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
        parallelism: `most` of `in_parts`, for rows that are appended without progress, where nothing is embedded and
            no file read.
        embedder: As in `ingest`.

    Raises:
        BadDataError: A row doesn't fit the schema; nothing is written.
        EmbeddingError: A function failed; nothing is written.
        SchemaChangedError: Others changed the schema, and *data* can't be read again.
    """

    def write(shown: Dataset, bindings: Sequence[EmbeddingFunctionConfig]) -> int:
        schema = shown.schema
        source = rows.read(schema, keep=bool(bindings))
        parts = in_parts(
            source,
            parallelism,
            lambda: mode == "append" and not progress and not bindings and not has_media(schema),
        )
        readers = [
            ingest(
                part,
                schema,
                bindings,
                on_bad_vectors=on_bad_vectors,
                fill_value=fill_value,
                progress=progress,
                embedder=embedder,
            )
            for part in parts
        ]
        with embedder:
            put = dataset.append if mode == "append" else dataset.overwrite
            return put(*readers, made_for=shown)

    with closing(Rereading(data)) as rows:
        version = until_written(write, dataset, bindings_in, embedder)
    embedder.written(dataset)
    return version
