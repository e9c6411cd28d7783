"""Slices of nested columns, made whole where Lance can't read them.

An Arrow slice is an offset into buffers that stay as they are. Where a struct lies within a struct or a list of fixed
size, the Rust library beneath Lance applies the offset twice as it takes the column over, and panics.
"""

from __future__ import annotations

import pyarrow as pa


def unsliced(batch: pa.RecordBatch) -> pa.RecordBatch:
    """*batch*, with each column copied that is a slice which Lance can't take; the others share their memory."""
    copied = {
        index: pa.concat_arrays([batch.column(index)])
        for index, field in enumerate(batch.schema)
        if _nests_structs(field.type) and _is_sliced(batch.column(index))
    }
    if not copied:
        return batch
    columns = [copied.get(index, column) for index, column in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _nests_structs(kind: pa.DataType) -> bool:
    """Whether a struct lies right within a struct or a list of fixed size, at any depth of *kind*."""
    if isinstance(kind, pa.BaseExtensionType):
        return _nests_structs(kind.storage_type)
    children = [kind.field(index).type for index in range(kind.num_fields)]
    inherits_offset = pa.types.is_struct(kind) or pa.types.is_fixed_size_list(kind)
    return any(inherits_offset and _is_struct(child) for child in children) or any(map(_nests_structs, children))


def _is_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind))


def _is_sliced(array: pa.Array) -> bool:
    """Whether *array* or one within it begins after its memory does."""
    return bool(array.offset) or any(map(_is_sliced, _within(array)))


def _within(array: pa.Array) -> list[pa.Array]:
    if isinstance(array, pa.ExtensionArray):
        return [array.storage]
    if isinstance(array, pa.StructArray):
        return [array.field(index) for index in range(array.type.num_fields)]
    if isinstance(array, pa.MapArray):
        return [array.keys, array.items]
    return [array.values] if hasattr(array, "values") else []
