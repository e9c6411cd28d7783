"""Columns of structs and lists that hold images, sounds or blobs somewhere within."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
from pydantic import BaseModel

from lancelike.errors import BadDataError, shorten
from lancelike.ingest.casts import cast_exactly
from lancelike.ingest.media import holds_media, holds_sources, is_nested
from lancelike.schema.arrow import model_to_row

ToArray: TypeAlias = Callable[[Sequence[Any], str, pa.Field, int], pa.Array]


def is_nested_media(field: pa.Field | None) -> bool:
    """Whether *field* is a struct or a list with images, sounds or blobs within."""
    return field is not None and is_nested(field.type) and holds_media(field)


def nested_to_array(values: Sequence[Any], name: str, field: pa.Field, first_row: int, to_array: ToArray) -> pa.Array:
    """*values* of a struct or list as an array of *field*'s type; *to_array* makes those of what is within.

    Where that has paths and URLs to be read, they are `SOURCE` in the place of their bytes.

    Raises:
        BadDataError: A value has another form, or one within it can't be stored.
    """
    if pa.types.is_struct(field.type):
        return _structs(values, name, field, first_row, to_array)
    return _lists(values, name, field, first_row, to_array)


def _structs(values: Sequence[Any], name: str, field: pa.Field, first_row: int, to_array: ToArray) -> pa.Array:
    rows = [model_to_row(value) if isinstance(value, BaseModel) else value for value in values]
    kind = field.type
    known = [kind.field(i) for i in range(kind.num_fields)]
    for index, row in enumerate(rows):
        _check(row, {each.name for each in known}, name, first_row + index)
    parts = []
    for each in known:
        within = [None if row is None else row.get(each.name) for row in rows]
        owners = range(first_row, first_row + len(rows))
        parts.append(_within(within, owners, name, each, to_array))
        for index, (row, value) in enumerate(zip(rows, within, strict=True)):
            if row is not None and value is None and not each.nullable:
                raise BadDataError(f"null in its field {each.name!r}", row=first_row + index, column=name, value=row)
    made = [each.with_type(part.type) for each, part in zip(known, parts, strict=True)]
    return pa.StructArray.from_arrays(parts, fields=made, mask=pa.array([row is None for row in rows], pa.bool_()))


def _check(row: Any, known: set[str], name: str, number: int) -> None:
    if row is None:
        return
    if not isinstance(row, Mapping):
        raise BadDataError(f"{shorten(row)} is no dict, nor a model", row=number, column=name, value=row)
    if strangers := [key for key in row if key not in known]:
        hint = f"there is no field {strangers[0]!r} in it; the fields are {', '.join(sorted(known))}"
        raise BadDataError(f"{shorten(row)} can't be stored", row=number, column=name, value=row, hint=hint)


def _lists(values: Sequence[Any], name: str, field: pa.Field, first_row: int, to_array: ToArray) -> pa.Array:
    ends: list[int | None] = []
    items: list[Any] = []
    owners: list[int] = []
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, list | tuple | set | frozenset):
            raise BadDataError(f"{shorten(value)} is no list", row=first_row + index, column=name, value=value)
        ends.append(None if value is None else len(items))
        items.extend(value or ())
        owners.extend([first_row + index] * len(value or ()))
    within = _within(items, owners, name, field.type.value_field, to_array)
    item = field.type.value_field.with_type(within.type)
    is_large = pa.types.is_large_list(field.type)
    offsets = pa.array([*ends, len(items)], pa.int64() if is_large else pa.int32())
    if is_large:
        return pa.LargeListArray.from_arrays(offsets, within, type=pa.large_list(item))
    return pa.ListArray.from_arrays(offsets, within, type=pa.list_(item))


def _within(values: Sequence[Any], owners: Sequence[int], name: str, field: pa.Field, to_array: ToArray) -> pa.Array:
    """*values*, each of the row among *owners*, as an array of *field*'s type."""
    try:
        made = to_array(values, name, field, 0)
        return made if holds_sources(made.type) else cast_exactly(made, field.type)
    except BadDataError as error:
        raise BadDataError(
            error.problem, row=owners[error.row or 0], column=name, value=error.value, hint=error.hint
        ) from error
