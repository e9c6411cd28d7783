"""Casts between Arrow types that lose nothing, or say which value would be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelike.ingest.kinds import holds_list_view, is_list, is_number, is_text, plain
from lancelike.schema.blobs import binary_to_blobs, is_binary, takes_blobs


def cast_exactly(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """*array* as *kind*.

    Raises:
        pa.ArrowException: A value would lose digits, a part of its date, or a field, become infinite, or text would
            become a number.
    """
    if array.type.equals(kind):
        return array
    if array.null_count == len(array):
        return pa.nulls(len(array), kind)
    if takes_blobs(pa.field("", kind)) and is_binary(array.type):
        return binary_to_blobs(array, kind)
    if isinstance(kind, pa.BaseExtensionType) and array.type.equals(kind.storage_type):
        return kind.wrap_array(array)
    array = without_views(array)
    reason = _mismatch(array.type, kind)
    if reason:
        raise pa.ArrowInvalid(reason)
    result = array.cast(kind)
    if pa.types.is_timestamp(array.type) and pa.types.is_date(kind):
        _check_whole_days(array, result)
    if is_small_float(kind) and is_number(array.type):
        _check_range(array, result)
    return result


def without_views(array: pa.Array) -> pa.Array:
    """*array* in plain layouts. Lists go by way of Python: pyarrow 26 casts a list view to a list of wrong values."""
    kind = plain(array.type)
    if kind.equals(array.type):
        return array
    return pa.array(array.to_pylist(), kind) if holds_list_view(array.type) else array.cast(kind)


def first_failure(
    values: Any, convert: Callable[[Any], object], errors: tuple[type[BaseException], ...] = (pa.ArrowException,)
) -> int:
    """Index of the first of *values* that *convert* refuses; as a whole they are known to be refused."""
    low, high = 0, len(values)  # values[:low] converts, values[:high] doesn't
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(values[:middle])
            low = middle
        except errors:
            high = middle
    return low


def _mismatch(source: pa.DataType, target: pa.DataType) -> str:
    """Why a value of type *source* is never one of type *target*, or nothing."""
    if is_text(source) != is_text(target) and (_is_plain_number(source) or _is_plain_number(target)):
        return f"{source} is not {target}"
    if pa.types.is_struct(source) and pa.types.is_struct(target):
        known = {target.field(i).name: target.field(i).type for i in range(target.num_fields)}
        for field in source:
            if field.name not in known:
                return f"{target} has no field {field.name!r}"
            reason = _mismatch(field.type, known[field.name])
            if reason:
                return reason
    if is_list(source) and is_list(target):
        return _mismatch(source.value_type, target.value_type)
    return ""


def _is_plain_number(kind: pa.DataType) -> bool:
    return is_number(kind) or bool(pa.types.is_boolean(kind) or pa.types.is_decimal(kind))


def is_small_float(kind: pa.DataType) -> bool:
    """Whether there are numbers of Python's that *kind* has no finite value for."""
    return bool(pa.types.is_float16(kind) or pa.types.is_float32(kind))


def holds_infinity(numbers: pa.Array) -> bool:
    """Whether any of *numbers*, floats, is infinite."""
    return bool(np.isinf(numbers.to_numpy(zero_copy_only=False)).any())


def _check_range(given: pa.Array, stored: pa.Array) -> None:
    if not holds_infinity(stored):
        return
    too_large = np.isinf(stored.to_numpy(zero_copy_only=False)) & ~np.isinf(given.to_numpy(zero_copy_only=False))
    if too_large.any():
        raise pa.ArrowInvalid(f"{given[int(too_large.argmax())]} is too large for {stored.type}")


def _check_whole_days(moments: pa.Array, days: pa.Array) -> None:
    if not pc.all(pc.equal(days.cast(moments.type), moments)).as_py() and len(moments) > moments.null_count:
        raise pa.ArrowInvalid("a date has no time of day")
