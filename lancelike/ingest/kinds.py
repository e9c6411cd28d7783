"""Which Arrow types mean what to ingestion."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

SMALLEST_UNNAMED_VECTOR = 10
"""A fixed-size list of floats this long is a vector whatever its name; a shorter one may be a bounding box."""


def suggests_vector(name: str) -> bool:
    """Whether a column of this name holds vectors by convention."""
    return "vector" in name.lower() or "embedding" in name.lower()


def is_list(kind: pa.DataType) -> bool:
    """Whether *kind* is a list of any layout."""
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Whether *kind* is an integer or a float."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether *kind* is text in any layout, dictionaries of text included."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_multivector(kind: pa.DataType) -> bool:
    """Whether *kind* is a list of vectors of one length."""
    return bool(
        (pa.types.is_list(kind) or pa.types.is_large_list(kind))
        and pa.types.is_fixed_size_list(kind.value_type)
        and is_number(kind.value_type.value_type)
    )


def holds_vectors(kind: pa.DataType) -> bool:
    """Whether *kind* is a vector's or a multivector's."""
    return is_multivector(kind) or bool(pa.types.is_fixed_size_list(kind) and is_number(kind.value_type))


def vector_of(kind: pa.DataType) -> pa.DataType:
    """The fixed-size list in *kind*, a vector's or a multivector's type."""
    return kind.value_type if is_multivector(kind) else kind


def is_vector_field(field: pa.Field, bound: Collection[str] = ()) -> bool:
    """Whether the values of *field* are vectors, so that the policy for bad vectors is theirs.

    Args:
        field: A field of the table.
        bound: Names of columns that embedding functions fill.
    """
    if not holds_vectors(field.type):
        return False
    vector = vector_of(field.type)
    is_long = pa.types.is_floating(vector.value_type) and vector.list_size >= SMALLEST_UNNAMED_VECTOR
    return field.name in bound or suggests_vector(field.name) or is_long


def leaves(kind: pa.DataType) -> list[pa.DataType]:
    """The types within *kind* that hold no others."""
    if is_list(kind):
        return leaves(kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for i in range(kind.num_fields) for leaf in leaves(kind.field(i).type)]
    return [kind]


def fixed_bytes(kind: pa.DataType) -> int:
    """Bytes of a value in the parts of *kind* that take as many for each."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * fixed_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return sum(fixed_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return kind.bit_width // 8 if pa.types.is_primitive(kind) else 0


def plain(kind: pa.DataType) -> pa.DataType:
    """*kind* without the view layouts, which not every reader of Lance files knows."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list_view(kind) or pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list_view(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(i)) for i in range(kind.num_fields)])
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, plain(kind.value_type), kind.ordered)
    return kind


def holds_list_view(kind: pa.DataType) -> bool:
    """Whether *kind* has a list view in it."""
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return True
    if pa.types.is_struct(kind):
        return any(holds_list_view(kind.field(i).type) for i in range(kind.num_fields))
    return is_list(kind) and holds_list_view(kind.value_type)


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain(field.type))
