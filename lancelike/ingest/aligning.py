"""Columns in the table's order and types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import pyarrow as pa

from lancelike.errors import BadDataError, shorten
from lancelike.ingest.batch import Batch
from lancelike.ingest.blobs import hint_about
from lancelike.ingest.casts import cast_exactly, first_failure
from lancelike.ingest.kinds import is_text, is_vector_field
from lancelike.ingest.media import media_class, media_encoder, media_to_array, stores_media
from lancelike.ingest.nested import is_nested_media
from lancelike.ingest.values import to_array
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.blobs import takes_blobs


def align(batches: Iterable[Batch], schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig]) -> Iterator[Batch]:
    """*batches* with the columns of *schema*, in its order; a column left out is null.

    Vector columns keep the type they came with: `fit_vectors` gives them the table's. So do those of images and sounds
    that are given by path or URL, for `read_sources`.

    Raises:
        BadDataError: A column that the table doesn't have, a value that the column's type can't hold exactly, or null
            in a column that takes none.
    """
    bound = {binding.vector_column for binding in bindings}
    return map(partial(_align, schema=schema, bound=bound), batches)


def _align(batch: Batch, schema: pa.Schema, bound: Collection[str]) -> Batch:
    _refuse_strangers(batch, schema)
    arrays = [_column(batch, field, bound) for field in schema]
    fields = [field.with_type(array.type) for field, array in zip(schema, arrays, strict=True)]
    return batch.with_data(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, schema.metadata)))


def _refuse_strangers(batch: Batch, schema: pa.Schema) -> None:
    names = batch.data.schema.names
    if len(set(names)) < len(names):
        twin = next(first for first, second in pairwise(sorted(names)) if first == second)
        raise BadDataError("there are two columns of this name", column=twin, hint="rename one of them")
    for name in names:
        if schema.get_field_index(name) < 0:
            raise _stranger(batch, name, schema)


def _stranger(batch: Batch, name: str, schema: pa.Schema) -> BadDataError:
    column = batch.data.column(name)
    index = column.is_valid().index(pa.scalar(True)).as_py() if column.null_count else -1
    return BadDataError(
        "the table has no such column",
        row=batch.row(index) if index >= 0 else None,
        column=name,
        value=column[index].as_py() if index >= 0 else None,
        hint=f"its columns are {', '.join(schema.names)}; leave this one out, or make it with add_columns first",
    )


def is_unread(array: pa.Array, field: pa.Field) -> bool:
    """Whether `read_sources` makes what *field* stores of *array*: images and sounds by path or URL, or as Python's."""
    if not stores_media(field) or array.type.equals(field.type):
        return False
    return media_class(field) is None or is_text(array.type) or pa.types.is_struct(array.type)


def _column(batch: Batch, field: pa.Field, bound: Collection[str]) -> pa.Array:
    index = batch.data.schema.get_field_index(field.name)
    array = pa.nulls(len(batch), field.type) if index < 0 else batch.data.column(index)
    if is_vector_field(field, bound):
        return array
    if is_unread(array, field):
        return array
    if not array.type.equals(field.type):
        array = _convert(batch, array, field)
    if not field.nullable and array.null_count:
        raise null_error(batch, array, field.name, left_out=index < 0)
    return array


def _convert(batch: Batch, array: pa.Array, field: pa.Field) -> pa.Array:
    encode = media_encoder(field)
    if encode is not None and pa.types.is_struct(array.type):
        return media_to_array(array.to_pylist(), field, encode, batch.row)  # Hugging Face's, in a column of paths
    if is_nested_media(field):
        return to_array(array.to_pylist(), field.name, field, batch.row(0) if len(batch) else 0)
    return _cast(batch, array, field)


def _cast(batch: Batch, array: pa.Array, field: pa.Field) -> pa.Array:
    try:
        return cast_exactly(array, field.type)
    except pa.ArrowException as error:
        index = first_failure(array, lambda part: cast_exactly(part, field.type))
        value = array[index].as_py()
        raise BadDataError(
            f"{shorten(value)} ({array.type}) is not {field.type}",
            row=batch.row(index),
            column=field.name,
            value=value,
            hint=hint_about(value) if takes_blobs(field) else f"convert the column to {field.type} first",
        ) from error


def null_error(batch: Batch, array: pa.Array, column: str, *, left_out: bool = False) -> BadDataError:
    """The error for the first null of *array* in a column that takes none."""
    if left_out:
        hint = f"give it a value, or let it be null: alter_columns({{'path': {column!r}, 'nullable': True}})"
        return BadDataError("the column is left out, and takes no null", column=column, hint=hint)
    index = array.is_null().index(pa.scalar(True)).as_py()
    return BadDataError("null in a column that takes none", row=batch.row(index), column=column, hint="give it a value")
