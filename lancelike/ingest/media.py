"""Columns of images and sounds: whatever a row has for one, as its encoded bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lancelike.errors import BadDataError, MediaError, shorten
from lancelike.ingest.blobs import hint_about, values_to_blobs
from lancelike.ingest.kinds import is_text
from lancelike.media import Audio, Image
from lancelike.media.base import MediaValue
from lancelike.media.image import is_pil
from lancelike.media.limits import DEFAULT, MediaLimits
from lancelike.media.sources import unpacked
from lancelike.media.urls import shown
from lancelike.media.values import as_media, located
from lancelike.schema.blobs import is_binary, is_blob_like_field, takes_blobs
from lancelike.schema.columns import MEDIA_FORMS, logical_type

SOURCE = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
"""An image or sound on its way to a column that stores its bytes: these, or the path or URL that they are to be read
from. Hugging Face's datasets have the same form."""
_KINDS: dict[str | None, type[Image] | type[Audio]] = {"image": Image, "audio": Audio}


def media_encoder(field: pa.Field | None) -> Callable[[Any], bytes | str] | None:
    """What makes the bytes that *field* stores, if it is a column of images or sounds; it raises `MediaError`.

    Of one that holds text, it makes the path or URL.
    """
    cls = None if field is None else _KINDS.get(logical_type(field).get("kind"))
    if field is None or cls is None:
        return None
    if is_text(field.type):
        return _address
    return lambda value: value if isinstance(value, bytes) else cls(value).data()


def media_class(field: pa.Field) -> type[Image] | type[Audio] | None:
    """Of what kind the values are whose bytes *field* stores, if it does."""
    return None if is_text(field.type) else _KINDS.get(logical_type(field).get("kind"))


def stores_media(field: pa.Field) -> bool:
    """Whether *field* stores the bytes of images or sounds, by itself or somewhere within."""
    children = (field.type.field(i) for i in range(field.type.num_fields))
    return media_class(field) is not None or (is_nested(field.type) and any(map(stores_media, children)))


def is_nested(kind: pa.DataType) -> bool:
    """Whether *kind* is that of structs or lists."""
    return bool(pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind))


def holds_sources(kind: pa.DataType) -> bool:
    """Whether values of type *kind* are `SOURCE`, or have some within."""
    if kind == SOURCE:
        return True
    return is_nested(kind) and any(holds_sources(kind.field(i).type) for i in range(kind.num_fields))


def _address(value: Any) -> str:
    where = address_of(value)
    if where is None:
        raise MediaError("the column holds paths and URLs, and this is neither")
    return where


def address_of(value: Any) -> str | None:
    """The path or URL that *value* is, if it is one by its type, or a text; else None."""
    if isinstance(value, str):
        return value
    return value.uri if isinstance(value, MediaValue) else located(value)


def hint_about_media(value: Any, kind: pa.DataType) -> str | None:
    """What to do about *value* in a column of the type *kind*, if it is an image or a sound there; else None."""
    media = as_media(value) if is_text(kind) or is_binary(kind) else None
    if media is None:
        return None
    name = type(media).__name__
    return f"declare the column as lancelike.{name}, or store lancelike.{name}(...).data()"


def value_for(field: pa.Field | None, value: Any, limits: MediaLimits = DEFAULT) -> Any:
    """*value* as an update sets it in the column *field*: of images, sounds or blobs, its bytes.

    Args:
        field: The column; None for one that isn't there.
        value: The value.
        limits: Bounds on what is read of a path or URL.

    Raises:
        BadDataError: It is none of these, or can't be read.
    """
    encode = media_encoder(field)
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    if field is None or value is None:
        return value
    if holds_media(field) and isinstance(value, Mapping | list | tuple) and field.type.num_fields:
        return _nested_for(field.type, value, limits)
    if encode is None and is_text(field.type):
        return _text_for(field, value)
    if not (encode or takes_blobs(field)):
        return value
    try:
        if encode is None:
            return bytes(memoryview(value))
        cls, where = media_class(field), address_of(value)
        return encode(value) if cls is None or where is None else cls(where).whole_data(limits)
    except (MediaError, TypeError) as error:
        raise BadDataError(
            f"{described(value)} can't be stored: {error}",
            column=field.name,
            value=value,
            hint="give what can be read, bytes, or None for null",
        ) from error


def described(value: Any) -> str:
    """*value* in an error: of a URL, without what may be a secret."""
    where = address_of(value)
    return shorten(value if where is None else shown(where))


def _nested_for(kind: pa.DataType, value: Any, limits: MediaLimits) -> Any:
    """*value* as an update sets it in a column of structs or lists with images, sounds or blobs within."""
    if isinstance(value, Mapping):
        known = {kind.field(i).name: kind.field(i) for i in range(kind.num_fields)}
        return {name: value_for(known.get(name), each, limits) for name, each in value.items()}
    return [value_for(kind.field(0), each, limits) for each in value]


def _text_for(field: pa.Field, value: Any) -> Any:
    """*value* as an update sets it in a column of texts: of what is somewhere, where that is."""
    where = address_of(value)
    if where is None and (hint := hint_about_media(value, field.type)):
        raise BadDataError(f"{shorten(value)} is not {field.type}", column=field.name, value=value, hint=hint)
    return value if where is None else where


def media_field(values: Sequence[Any], name: str) -> pa.Field | None:
    """The column that *values* suggest where nothing is declared: of images or sounds, if the first of them is one."""
    first = next((value for value in values if value is not None), None)
    kind = "image" if isinstance(first, Image) or is_pil(first) else "audio" if isinstance(first, Audio) else None
    return None if kind is None else MEDIA_FORMS[kind].field(name).with_nullable(True)


def as_stored(field: pa.Field) -> pa.Field:
    """*field* as a table has it, where rows bring its images or sounds as `SOURCE`."""
    if field.type != SOURCE or (kind := logical_type(field).get("kind")) not in MEDIA_FORMS:
        return field
    return MEDIA_FORMS[kind].field(field.name).with_nullable(True)


def has_media(schema: pa.Schema | None) -> bool:
    """Whether *schema* has a column of images, sounds or blobs, whose rows are large."""
    return schema is not None and any(map(holds_media, schema))


def holds_media(field: pa.Field) -> bool:
    """Whether *field* holds images, sounds or blobs, by itself or somewhere within."""
    if media_encoder(field) or is_blob_like_field(field):
        return True
    return any(holds_media(field.type.field(i)) for i in range(field.type.num_fields))


def media_to_array(
    values: Sequence[Any], field: pa.Field, encode: Callable[[Any], bytes | str], row_of: Callable[[int], int]
) -> pa.Array:
    """*values* as an array of what *field* stores; with a path or URL among them, where that is bytes, as `SOURCE`.

    Args:
        values: One a row.
        field: The table's field.
        encode: Of `media_encoder`.
        row_of: A value's position in the caller's data.

    Raises:
        BadDataError: A value is no image or sound.
    """
    values = [None if unpacked(value) is None else value for value in values]
    wheres = [None if is_text(field.type) or value is None else address_of(value) for value in values]
    cells: list[Any] = []
    for index, (value, where) in enumerate(zip(values, wheres, strict=True)):
        try:
            cells.append(None if value is None or where is not None else encode(value))
        except MediaError as error:
            raise BadDataError(
                f"{shorten(value)} can't be stored: {error}",
                row=row_of(index),
                column=field.name,
                value=value,
                hint=hint_about(value),
            ) from error
    if any(where is not None for where in wheres):
        return to_sources(pa.array(cells, pa.large_binary()), wheres)
    return values_to_blobs(cells, field.type) if takes_blobs(field) else pa.array(cells, field.type)


def to_sources(data: pa.Array, wheres: Sequence[str | None] | None = None) -> pa.Array:
    """Bytes, with *wheres* the others are, as `SOURCE`; null where there is neither."""
    paths = pa.nulls(len(data), pa.large_string()) if wheres is None else pa.array(wheres, pa.large_string())
    neither = pc.and_(data.is_null(), paths.is_null())
    return pa.StructArray.from_arrays([data.cast(pa.large_binary()), paths], fields=list(SOURCE), mask=neither)
