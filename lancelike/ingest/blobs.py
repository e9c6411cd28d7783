"""Binary values as the blobs that Lance takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lancelike.schema.blobs import is_blob_v2_field


def takes_blobs(field: pa.Field | None) -> bool:
    """Whether *field* is a blob column."""
    return field is not None and isinstance(field.type, pa.BaseExtensionType) and is_blob_v2_field(field)


def values_to_blobs(values: Sequence[Any], kind: pa.BaseExtensionType) -> pa.Array:
    """Bytes, bytearrays, memoryviews and None as blobs.

    Raises:
        pa.ArrowInvalid: A value is none of these; a text is no blob, nor the address of one.
    """
    for value in values:
        if not isinstance(value, bytes | bytearray | memoryview | None):
            raise pa.ArrowInvalid(f"{type(value).__name__} is not binary")
    return binary_to_blobs(pa.array(values, pa.large_binary()), kind)


def is_binary(kind: pa.DataType) -> bool:
    """Whether values of type *kind* can be blobs."""
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def binary_to_blobs(array: pa.Array, kind: pa.BaseExtensionType) -> pa.Array:
    """A binary array as blobs of the type *kind*; null stays null, and empty stays empty."""
    storage = kind.storage_type
    fields = [storage.field(i) for i in range(storage.num_fields)]
    parts = [
        array.cast(pa.large_binary()) if field.name == "data" else pa.nulls(len(array), field.type) for field in fields
    ]
    return kind.wrap_array(pa.StructArray.from_arrays(parts, fields=fields, mask=array.is_null()))
