"""Columns of Python values to Arrow, exactly, or with an error that names the row."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from lancelike.errors import BadDataError, shorten
from lancelike.ingest.blobs import hint_about, values_to_blobs
from lancelike.ingest.casts import cast_exactly, first_failure, holds_infinity, is_small_float
from lancelike.ingest.kinds import holds_vectors, is_list, is_text, leaves
from lancelike.ingest.media import address_of, hint_about_media, media_encoder, media_to_array
from lancelike.ingest.nested import is_nested_media, nested_to_array
from lancelike.ledger.rows import joined
from lancelike.media.arrays import to_numpy
from lancelike.schema.arrow import column_encoder
from lancelike.schema.blobs import takes_blobs

CONVERSION_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)


def to_array(values: Sequence[Any], name: str, field: pa.Field | None, first_row: int) -> pa.Array:
    """*values* as an Arrow array of *field*'s type, or of the type they suggest.

    Vectors keep the length and the number type they come with: whether these fit is for `fit_vectors` to say.

    Args:
        values: One value a row; None is null.
        name: The column.
        field: The table's field; None infers a type.
        first_row: Position of the first value in the caller's data.

    Raises:
        BadDataError: A value has another type, or would lose something.
    """
    encode = media_encoder(field)
    if field is not None and encode is not None:
        return media_to_array(values, field, encode, lambda index: first_row + index)
    if field is not None and is_nested_media(field):
        return nested_to_array(values, name, field, first_row, to_array)
    if field is not None and takes_blobs(field):
        return _to_blobs(values, name, field, first_row)
    as_vectors = field is not None and holds_vectors(field.type)
    if field is None or is_list(field.type):
        stacked = _stack(values, as_vectors=as_vectors)
        if stacked is not None:
            return stacked
    if field is not None and as_vectors:
        packed = _pack(values, field.type)
        if packed is not None:
            return packed
        if not pa.types.is_uint8(leaves(field.type)[0]):
            _refuse_bytes(values, name, field, first_row)
    wanted = field.with_type(_of_any_length(field.type)) if field is not None and as_vectors else field
    try:
        return _convert(values, wanted)
    except CONVERSION_ERRORS as error:
        index = first_failure(values, lambda part: _convert(part, wanted), CONVERSION_ERRORS)
        raise _bad_value(values[index], name, field, first_row + index, error) from error


def _to_blobs(values: Sequence[Any], name: str, field: pa.Field, first_row: int) -> pa.Array:
    try:
        return values_to_blobs(values, field.type)
    except CONVERSION_ERRORS as error:
        index = first_failure(values, lambda part: values_to_blobs(part, field.type), CONVERSION_ERRORS)
        raise BadDataError(
            f"{shorten(values[index])} is no blob",
            row=first_row + index,
            column=name,
            value=values[index],
            hint=hint_about(values[index]),
        ) from error


def _bad_value(value: object, name: str, field: pa.Field | None, row: int, error: BaseException) -> BadDataError:
    if field is None and isinstance(error, OverflowError):
        problem, hint = f"{shorten(value)} takes more than 64 bits", "store it as text, or as a Decimal"
    elif field is None:
        problem, hint = f"{shorten(value)} does not go with the rows before", "give the column one type, or a schema"
    else:
        problem = f"{shorten(value)} is not {field.type}"
        hint = hint_about_media(value, field.type) or "convert it first, or give None for null"
    if isinstance(error, _UnknownKey):
        hint = str(error)
    return BadDataError(problem, row=row, column=name, value=value, hint=hint)


def _refuse_bytes(values: Iterable[Any], name: str, field: pa.Field, first_row: int) -> None:
    """See that no vector of floats is given as bytes, which Arrow would take for that many small numbers."""
    for index, value in enumerate(values):
        if isinstance(value, bytes | bytearray | memoryview):
            raise BadDataError(
                f"{shorten(value)} is not {field.type}",
                row=first_row + index,
                column=name,
                value=value,
                hint="give numbers; numpy.frombuffer reads them from bytes",
            )


def _stack(values: Sequence[Any], *, as_vectors: bool) -> pa.Array | None:
    """Numpy vectors of one length, and None, as one array, in one copy; None if *values* are anything else."""
    vectors = [value for value in values if value is not None]
    if not _are_alike(vectors):
        return None
    size = len(vectors[0])
    flat = pa.array(joined(vectors))
    if as_vectors:
        stacked = pa.FixedSizeListArray.from_arrays(flat, size)
    else:
        stacked = pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, size, dtype=np.int32)), flat)
    return stacked if len(vectors) == len(values) else stacked.take(_places(values))


def _are_alike(vectors: Sequence[Any]) -> bool:
    """Whether *vectors* are numpy vectors of numbers, of one length."""
    if not vectors or set(map(type, vectors)) != {np.ndarray} or {vector.ndim for vector in vectors} != {1}:
        return False
    return vectors[0].dtype.kind in "fiu" and len(vectors[0]) > 0 and set(map(len, vectors)) == {len(vectors[0])}


def _pack(values: Sequence[Any], kind: pa.DataType) -> pa.Array | None:
    """Lists of numbers, of one length, and None, for a column of float32, in half of Arrow's time; None if *values* or
    *kind* are anything else.
    """
    vectors = [value for value in values if value is not None]
    if kind.value_type != pa.float32() or not all(issubclass(each, list | tuple) for each in set(map(type, vectors))):
        return None
    size = len(vectors[0]) if vectors else 0
    if not size or set(map(len, vectors)) != {size}:
        return None
    pack = struct.Struct(f"={size}f").pack
    try:
        numbers = b"".join([pack(*vector) for vector in vectors])
    except (struct.error, OverflowError):  # a number is missing, none, or too large: which one is told by who looks on
        return None
    stacked = pa.FixedSizeListArray.from_arrays(pa.array(np.frombuffer(numbers, np.float32)), size)
    return stacked if len(vectors) == len(values) else stacked.take(_places(values))


def _places(values: Iterable[Any]) -> pa.Array:
    """Where each of *values* is among those that aren't None; null for those that are."""
    present = np.array([value is not None for value in values])
    return pa.array(np.cumsum(present) - 1, mask=~present)


def _of_any_length(kind: pa.DataType) -> pa.DataType:
    """The type of vectors of any length, with numbers that nothing has rounded yet."""
    loose = pa.list_(pa.float64())
    return loose if pa.types.is_fixed_size_list(kind) else pa.list_(loose)


def _convert(values: Sequence[Any], field: pa.Field | None) -> pa.Array:
    kind = None if field is None else field.type
    try:
        return _convert_plain(values, kind)
    except _UnknownKey:
        raise
    except CONVERSION_ERRORS:
        encode = None if field is None else column_encoder(field)
        encoded = values if encode is None else [encode(value) for value in values]
        return _convert_plain([_plain(value, kind) for value in encoded], kind)


def _convert_plain(values: Sequence[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        return pa.array(values)
    if _holds_struct(kind):
        _check_keys(values, kind)
    if _may_round(values, kind):
        return cast_exactly(pa.array(values), kind)
    array = pa.array(values, kind)
    if is_small_float(kind) and holds_infinity(array):
        return cast_exactly(pa.array(values, pa.float64()), kind)
    return array


def _may_round(values: Iterable[Any], kind: pa.DataType) -> bool:
    """Whether Arrow might convert *values* to *kind* with a loss, or not at all, where a cast is exact."""
    if pa.types.is_nested(kind):
        return any(pa.types.is_integer(leaf) or pa.types.is_temporal(leaf) for leaf in leaves(kind))
    found = set(map(type, values))
    if pa.types.is_integer(kind):
        return any(issubclass(cls, float | np.floating | Decimal) for cls in found)
    if pa.types.is_date(kind):
        return any(issubclass(cls, str | dt.datetime) for cls in found)
    return bool(pa.types.is_temporal(kind)) and str in found


def _plain(value: Any, kind: pa.DataType | None) -> Any:
    """*value* in terms that Arrow converts: an Enum's value, a UUID's text, an array's list, ..."""
    if isinstance(value, Enum):
        return _plain(value.value, kind)
    if kind is not None and is_text(kind) and (where := address_of(value)) is not None:
        return where
    if isinstance(value, UUID):
        return value.bytes if kind is not None and pa.types.is_fixed_size_binary(kind) else str(value)
    if isinstance(value, Decimal) and kind is not None and pa.types.is_floating(kind):
        return float(value)
    if type(value) is dt.date and kind is not None and pa.types.is_timestamp(kind):
        return dt.datetime.combine(value, dt.time())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item, _child(kind, key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, kind.value_type if kind is not None and is_list(kind) else None) for item in value]
    return to_numpy(value).tolist() if hasattr(value, "__array__") else value


def _child(kind: pa.DataType | None, key: Any) -> pa.DataType | None:
    if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(key) < 0:
        return None
    return kind.field(key).type


class _UnknownKey(ValueError):
    """A nested dict has a key that its struct has no field for; Arrow would drop it."""


def _holds_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) or (is_list(kind) and _holds_struct(kind.value_type)))


def _check_keys(values: Iterable[Any], kind: pa.DataType) -> None:
    if is_list(kind):
        for items in values:
            _check_keys(items if items is not None else (), kind.value_type)
        return
    fields = [kind.field(i) for i in range(kind.num_fields)]
    known = [field.name for field in fields]
    rows = [value for value in values if isinstance(value, Mapping)]
    for row in rows:
        for key in row:
            if key not in known:
                raise _UnknownKey(f"there is no field {key!r} in it; the fields are {', '.join(known)}")
    for field in fields:
        if _holds_struct(field.type):
            _check_keys([row.get(field.name) for row in rows], field.type)
