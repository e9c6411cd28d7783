"""The chain of generators from the caller's data to batches that can be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from lancelike.errors import BadDataError, EmbeddingFunctionUnavailable, SchemaError
from lancelike.ingest.ahead import ahead
from lancelike.ingest.aligning import align
from lancelike.ingest.batch import Batch
from lancelike.ingest.computed import fill_computed, without_computed
from lancelike.ingest.embed import embed_batches
from lancelike.ingest.infer import infer_schema
from lancelike.ingest.kinds import holds_vectors, vector_of
from lancelike.ingest.progress import report_progress
from lancelike.ingest.read import read_batches
from lancelike.ingest.sources import read_sources
from lancelike.ingest.vectors import fit_vectors
from lancelike.ledger import Embedder
from lancelike.schema.bindings import EmbeddingFunctionConfig, bindings_to_metadata
from lancelike.schema.blobs import (
    blob_v2_column_paths,
    is_blob_like_field,
    is_blob_v2_field,
    row_addressable_blob_v2_paths,
)
from lancelike.schema.computed import plain
from lancelike.types import OnBadVectors, Rows

AHEAD_BYTES = 18 << 20
"""Rows that wait to be written while more are made: two batches, so that neither side waits for the other."""


def ingest(
    data: Rows,
    schema: pa.Schema,
    bindings: Sequence[EmbeddingFunctionConfig] = (),
    *,
    on_bad_vectors: OnBadVectors = "error",
    fill_value: float = 0.0,
    progress: Any = None,
    embedder: Embedder | None = None,
) -> pa.RecordBatchReader:
    """*data* as batches of *schema*, embedded; nothing but the first rows is read before the reader is.

    Args:
        data: What `Table.add` takes, or a `Source`.
        schema: The table's schema; the reader has it, metadata included.
        bindings: The table's bindings.
        on_bad_vectors: What happens to vectors in *data* that don't fit; see `fit_vectors`.
        fill_value: For `on_bad_vectors="fill"`.
        progress: See `report_progress`.
        embedder: Makes the vectors, and counts; None takes one without a ledger.

    Raises:
        BadDataError: *data* is not rows; and, from the reader, a row doesn't fit.
        EmbeddingError: From the reader: a function failed.
    """
    embedder = embedder or Embedder()
    source = read_batches(data, schema)
    batches = align(without_computed(source.batches, schema), schema, bindings)
    batches = read_sources(batches, schema, bindings, embedder)
    batches = fill_computed(batches, schema)
    batches = fit_vectors(batches, schema, bindings, on_bad_vectors, fill_value)
    batches = embed_batches(batches, schema, bindings, embedder, drop_failed=embedder.on_error == "drop")
    ready = ahead(batches, AHEAD_BYTES, lambda batch: batch.data.nbytes)
    batches = report_progress(ready, progress, source.num_rows, embedder)
    return pa.RecordBatchReader.from_batches(schema, _with_schema(batches, schema, embedder))


def create_batches(
    data: Rows | None,
    schema: pa.Schema | None,
    bindings: Sequence[EmbeddingFunctionConfig] = (),
    *,
    on_bad_vectors: OnBadVectors = "error",
    fill_value: float = 0.0,
    progress: Any = None,
    embedder: Embedder | None = None,
) -> pa.RecordBatchReader:
    """The first batches of a new table; with no schema, that of *data* is inferred, and the bindings recorded in it.

    Args:
        data: The first rows, or None for an empty table.
        schema: The declared schema, with its metadata, or None.
        bindings: As in `ingest`; a vector column that an inferred schema lacks is added to it.
        on_bad_vectors: As in `ingest`.
        fill_value: As in `ingest`.
        progress: As in `ingest`.
        embedder: As in `ingest`.

    Raises:
        BadDataError: There is neither a schema nor a row to infer it from.
        SchemaError: There are blobs in a list.
    """
    if data is None and schema is None:
        raise BadDataError("a table needs a schema or rows", hint="give schema=, data=, or both")
    if schema is None:
        schema, data = infer_schema(read_batches(data))
        schema = with_bindings(plain(schema), bindings)
    refuse_blobs_in_lists(schema)
    return ingest(
        [] if data is None else data,
        schema,
        bindings,
        on_bad_vectors=on_bad_vectors,
        fill_value=fill_value,
        progress=progress,
        embedder=embedder,
    )


def with_bindings(schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig]) -> pa.Schema:
    """*schema* with *bindings* in its metadata, and a float32 column for each vector column that it lacks.

    Raises:
        SchemaError: A column holds vectors of another length than its function makes.
    """
    if not bindings:
        return schema
    for binding in bindings:
        refuse_blob_sources(schema, binding)
        index = schema.get_field_index(binding.vector_column)
        if index < 0:
            schema = schema.append(_vector_field(binding))
        elif not holds_vectors(schema.field(index).type):
            schema = schema.set(index, _vector_field(binding))
        else:
            _check_ndims(schema.field(index), binding)
    return schema.with_metadata({**(schema.metadata or {}), **bindings_to_metadata(bindings)})


def refuse_blobs_in_lists(schema: pa.Schema) -> None:
    """See that a row has one blob of each kind at most: Lance reads those within a list for no row.

    Raises:
        SchemaError: There are several.
    """
    within = set(blob_v2_column_paths(schema)) - set(row_addressable_blob_v2_paths(schema))
    if within:
        raise SchemaError(
            f"{min(within)!r} is a list of blobs, which can't be read by row: give each blob a row or a field of its "
            "own, or keep the list's values with the rows, as bytes, Image or Audio"
        )


def refuse_blob_sources(schema: pa.Schema, binding: EmbeddingFunctionConfig) -> None:
    """See that no blob is part of a text to be embedded, nor embedded if it is of Lance's older encoding.

    Raises:
        SchemaError: One is.
    """
    for source in binding.source_columns:
        if source not in schema.names or not is_blob_like_field(schema.field(source)):
            continue
        if binding.template is not None:
            raise SchemaError(
                f"column {source!r} is a blob, and no part of the text {binding.template!r}: embed it alone"
            )
        if not is_blob_v2_field(schema.field(source)):
            raise SchemaError(
                f"column {source!r} is a blob of Lance's older encoding, which no function is given: declare it with "
                "lancelike.blob, or as binary, to have it embedded"
            )


def _check_ndims(field: pa.Field, binding: EmbeddingFunctionConfig) -> None:
    try:
        made = binding.function.ndims()
    except EmbeddingFunctionUnavailable:
        return  # it makes none of the vectors that are there
    declared = vector_of(field.type).list_size
    if declared != made:
        raise SchemaError(
            f"column {field.name!r} is declared with vectors of length {declared}, and its function "
            f"{binding.function.label} makes them of length {made}; declare it as {made} long"
        )


def _vector_field(binding: EmbeddingFunctionConfig) -> pa.Field:
    return pa.field(binding.vector_column, pa.list_(pa.float32(), binding.function.ndims()))


def _with_schema(batches: Iterator[Batch], schema: pa.Schema, embedder: Embedder) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        embedder.count(len(batch))
        yield (
            batch.data
            if batch.data.schema.equals(schema, check_metadata=True)
            else pa.RecordBatch.from_arrays(batch.data.columns, schema=schema)
        )
        del batch  # before the next one is made
