"""Blob columns: large binary values that Lance stores apart, so that scans and searches don't read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

_V2 = "lance.blob.v2"
_NAME_KEY = b"ARROW:extension:name"
_V1_KEY = b"lance-encoding:blob"


def is_blob_v2_field(field: pa.Field) -> bool:
    """Whether *field* is declared as a blob: with `lancelike.blob`, or Lance's `blob_field`."""
    named = (field.metadata or {}).get(_NAME_KEY, b"").decode()
    return _V2 in (getattr(field.type, "extension_name", None), named)


def is_blob_like_field(field: pa.Field) -> bool:
    """Whether *field* is a blob of any kind: declared, of Lance's older encoding, or described in a query's answer."""
    return is_blob_v2_field(field) or (field.metadata or {}).get(_V1_KEY) == b"true"


def blob_column_paths(schema: Iterable[pa.Field]) -> list[str]:
    """Dotted paths of the blobs of any kind, also those within structs and lists."""
    return [path for path, field, _ in _walk(schema) if is_blob_like_field(field)]


def blob_v2_column_paths(schema: pa.Schema) -> list[str]:
    """Dotted paths of the declared blobs, also those within structs and lists."""
    return [path for path, field, _ in _walk(schema) if is_blob_v2_field(field)]


def row_addressable_blob_v2_paths(schema: pa.Schema) -> list[str]:
    """Dotted paths of the declared blobs of which a row has one, so that its id names it: those not within lists."""
    return [path for path, field, in_list in _walk(schema) if is_blob_v2_field(field) and not in_list]


def blobs_within(field: pa.Field) -> list[tuple[str, ...]]:
    """Where the declared blobs in *field* are, of which a row has one: names of structs' fields; `()` is itself one."""
    if is_blob_v2_field(field):
        return [()]
    if not pa.types.is_struct(field.type):
        return []
    children = (field.type.field(i) for i in range(field.type.num_fields))
    return [(child.name, *path) for child in children for path in blobs_within(child)]


def field_at(columns: pa.Schema, path: str) -> pa.Field | None:
    """The field of *columns* at the dotted *path*, unless a column has that name; None if there is none."""
    if path in columns.names:
        return columns.field(path)
    name, *within = path.split(".")
    field = columns.field(name) if name in columns.names else None
    for step in within:
        if field is None or not pa.types.is_struct(field.type) or field.type.get_field_index(step) < 0:
            return None
        field = field.type.field(step)
    return field


def schema_has_blob_field(schema: Iterable[pa.Field]) -> bool:
    """Whether there is a blob of any kind."""
    return bool(blob_column_paths(schema))


def has_blobs(schema: pa.Schema, columns: Iterable[str] | None = None) -> bool:
    """Whether one of *columns*, None for all, is a blob, or has one within."""
    names = schema.names if columns is None else [name for name in columns if name in schema.names]
    return schema_has_blob_field([schema.field(name) for name in names])


def takes_blobs(field: pa.Field | None) -> bool:
    """Whether arrays of *field*'s type are blobs as Lance takes them."""
    return field is not None and isinstance(field.type, pa.BaseExtensionType) and is_blob_v2_field(field)


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


def with_blobs(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """*array* with its binary values as blobs wherever *kind*, the same but for them, has such, also within structs."""
    if array.type.equals(kind):
        return array
    if takes_blobs(pa.field("", kind)) and is_binary(array.type):
        return binary_to_blobs(array, kind)
    if not (pa.types.is_struct(kind) and pa.types.is_struct(array.type)):
        return array
    fields = [kind.field(i) for i in range(kind.num_fields)]
    if [field.name for field in fields] != [field.name for field in array.type]:
        return array
    parts = [with_blobs(pc.struct_field(array, i), field.type) for i, field in enumerate(fields)]
    made = [field.with_type(part.type) for field, part in zip(fields, parts, strict=True)]
    return pa.StructArray.from_arrays(parts, fields=made, mask=array.is_null())


def blobs_to_binary(array: pa.Array) -> pa.Array:
    """The values of blobs that `binary_to_blobs` made; an array of another type as it is."""
    return pc.struct_field(array.storage, "data") if takes_blobs(pa.field("", array.type)) else array


def _walk(fields: Iterable[pa.Field], prefix: str = "", in_list: bool = False) -> Iterator[tuple[str, pa.Field, bool]]:
    """Each field with its path and whether it is within a list; what is within a blob is not walked."""
    for field in fields:
        path, kind = f"{prefix}{field.name}", field.type
        yield path, field, in_list
        if is_blob_like_field(field):
            continue
        within = in_list
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            within, item = True, kind.value_field
            kind = item.type
            if is_blob_like_field(item):
                yield path, item, True
        if pa.types.is_struct(kind):
            yield from _walk([kind.field(i) for i in range(kind.num_fields)], f"{path}.", within)
