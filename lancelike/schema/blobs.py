"""Blob columns: large binary values that Lance stores apart, so that scans and searches don't read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

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


def blob_column_paths(schema: pa.Schema) -> list[str]:
    """Dotted paths of the blobs of any kind, also those within structs and lists."""
    return [path for path, field, _ in _walk(schema) if is_blob_like_field(field)]


def blob_v2_column_paths(schema: pa.Schema) -> list[str]:
    """Dotted paths of the declared blobs, also those within structs and lists."""
    return [path for path, field, _ in _walk(schema) if is_blob_v2_field(field)]


def row_addressable_blob_v2_paths(schema: pa.Schema) -> list[str]:
    """Dotted paths of the declared blobs of which a row has one, so that its id names it: those not within lists."""
    return [path for path, field, in_list in _walk(schema) if is_blob_v2_field(field) and not in_list]


def schema_has_blob_field(schema: pa.Schema) -> bool:
    """Whether there is a blob of any kind."""
    return bool(blob_column_paths(schema))


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
