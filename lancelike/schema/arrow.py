"""Between pydantic and Arrow, both ways: `columns` maps what is declared, this module what is stored."""

from __future__ import annotations

import datetime as dt
import keyword
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pyarrow as pa
from pydantic import BaseModel, Field, create_model

from lancelike.media import Audio, Image
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.columns import (
    Convert,
    is_json,
    is_list,
    logical_type,
    model_to_row,
    models_to_columns,
    pydantic_to_schema,
    row_to_values,
    to_json_text,
)
from lancelike.schema.fields import vector_field
from lancelike.schema.model import LanceModel
from lancelike.schema.vector import MultiVector, Vector

__all__ = [
    "column_encoder",
    "model_from_schema",
    "model_to_row",
    "models_to_columns",
    "pydantic_to_schema",
    "row_to_values",
]

_CLASS_SETTINGS: dict[str, Any] = {"protected_namespaces": ()}

_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], type], ...] = (
    (pa.types.is_boolean, bool),
    (pa.types.is_integer, int),
    (pa.types.is_floating, float),
    (pa.types.is_string, str),
    (pa.types.is_large_string, str),
    (pa.types.is_string_view, str),
    (pa.types.is_binary, bytes),
    (pa.types.is_large_binary, bytes),
    (pa.types.is_binary_view, bytes),
    (pa.types.is_fixed_size_binary, bytes),
    (pa.types.is_date, dt.date),
    (pa.types.is_timestamp, dt.datetime),
    (pa.types.is_time, dt.time),
    (pa.types.is_duration, dt.timedelta),
    (pa.types.is_decimal, Decimal),
    (lambda arrow: getattr(arrow, "extension_name", "") == "arrow.uuid", UUID),
    (is_json, str),
)


def model_from_schema(
    name: str, schema: pa.Schema, configs: Iterable[EmbeddingFunctionConfig] = ()
) -> type[LanceModel]:
    """A model class for the rows of a table.

    Args:
        name: Name of the class.
        schema: The stored schema; `to_arrow_schema()` of the class gives its fields back exactly.
        configs: The table's bindings; their vector columns become vector fields, unless a source was dropped since.

    Returns:
        A class with a field a column. A nullable one may be left out. A column whose name can't be a field's (it starts
        with an underscore, or is a method of the class) has a changed name and the column's as its alias. A column of a
        type without a Python counterpart is annotated `Any`.
    """
    known = set(schema.names)
    bindings = {config.vector_column: config for config in configs if known.issuperset(config.source_columns)}
    made: type[LanceModel] = _model(name, schema, LanceModel, bindings)
    return made


def column_encoder(field: pa.Field) -> Convert | None:
    """How a Python value becomes one that pyarrow takes for *field*, or None when all are taken as they are.

    The encoder is for data that comes without a model: it turns UUIDs, Enum members, sets, and dicts or lists of a JSON
    column into what is stored, leaves alone what is stored already, and looks into lists and structs.
    """
    kind = logical_type(field).get("kind")
    if kind == "enum":
        return _unless_none(_enum_text if pa.types.is_string(field.type) else _enum_value)
    if kind in _ENCODE_KIND:
        return _unless_none(_ENCODE_KIND[kind])
    if is_json(field.type):
        return _unless_none(_plain_json)
    if pa.types.is_struct(field.type):
        return _unless_none(_struct_encoder(field.type))
    if is_list(field.type):
        item = column_encoder(field.type.value_field)
        if item is not None:
            return _unless_none(lambda values: [item(value) for value in values])
        return _unless_none(list) if kind in ("set", "frozenset") else None
    return None


def _model(name: str, fields: Iterable[pa.Field], base: Any, bindings: dict[str, EmbeddingFunctionConfig]) -> Any:
    declared: dict[str, Any] = {}
    for field in fields:
        field_name = _field_name(field.name, declared)
        alias = {"alias": field.name} if field_name != field.name else {}
        default = _default(field, bindings.get(field.name), alias)
        declared[field_name] = (Annotated[_python_type(field, name), field], default)
    return create_model(name, __base__=base, __cls_kwargs__=_CLASS_SETTINGS, __module__=__name__, **declared)


def _field_name(column: str, taken: Iterable[str]) -> str:
    """*column* where pydantic takes it for a field, else something close that is free."""
    name = (column if _is_name(column) else _identifier(column)).lstrip("_") or "column"
    while name in taken or hasattr(LanceModel, name):
        name = f"{name}_"
    return name


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _identifier(column: str) -> str:
    letters = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in column)
    return letters if _is_name(letters) else f"column_{letters}"


def _default(field: pa.Field, config: EmbeddingFunctionConfig | None, alias: dict[str, Any]) -> Any:
    if config is not None:
        return vector_field(config.function, source=config.source_column, template=config.template, **alias)
    return Field(default=None, **alias) if field.nullable else Field(**alias)


def _python_type(field: pa.Field, owner: str) -> Any:
    """The annotation for *field*, Optional where it is nullable."""
    plain = _logical_python_type(field) or _plain_python_type(field, owner)
    return Optional[plain] if field.nullable else plain  # noqa: UP045


def _logical_python_type(field: pa.Field) -> Any:
    said = logical_type(field)
    match said.get("kind"):
        case "uuid":
            return UUID
        case "json":
            return dict[str, Any]
        case "image":
            return Image
        case "audio":
            return Audio
        case "literal":
            return Literal[tuple(said["values"])]
        case "enum":
            return _enum(said["name"], said["members"])
        case "set" | "frozenset" | "tuple" as kind:
            return _collection(kind, _python_type(field.type.value_field, field.name))
    return None


def _collection(kind: str, item: Any) -> Any:
    return {"set": set[item], "frozenset": frozenset[item], "tuple": tuple[item, ...]}[kind]


def _enum(name: str, members: dict[str, Any]) -> Any:
    """An Enum whose members equal their values."""
    kinds = {type(value) for value in members.values()}
    return Enum(name, members, type=kinds.pop()) if len(kinds) == 1 else Enum(name, members)


def _plain_python_type(field: pa.Field, owner: str) -> Any:
    arrow = field.type
    if pa.types.is_dictionary(arrow):
        return _plain_python_type(field.with_type(arrow.value_type), owner)
    if pa.types.is_struct(arrow) and arrow.num_fields:
        return _model(_class_name(owner, field.name), arrow, BaseModel, {})
    if _is_vector(arrow):
        return Vector(arrow.list_size, arrow.value_type, nullable=field.nullable)
    if pa.types.is_list(arrow) and _is_vector(arrow.value_type):
        return MultiVector(arrow.value_type.list_size, arrow.value_type.value_type, nullable=field.nullable)
    if is_list(arrow):
        return list[_python_type(arrow.value_field, _class_name(owner, field.name))]  # type: ignore[misc]
    return next((python for is_type, python in _SCALARS if is_type(arrow)), Any)


def _is_vector(arrow: pa.DataType) -> bool:
    number = arrow.value_type if pa.types.is_fixed_size_list(arrow) else None
    return number is not None and bool(pa.types.is_floating(number) or pa.types.is_integer(number))


def _class_name(owner: str, column: str) -> str:
    return owner + "".join(part.capitalize() for part in _identifier(column).split("_"))


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _plain_json(value: Any) -> Any:
    return value if isinstance(value, str | bytes) else to_json_text(value)


def _enum_value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _enum_text(value: Any) -> str:
    """The value of an Enum of several types, which is stored as text."""
    return str(_enum_value(value))


def _struct_encoder(type_: pa.StructType) -> Convert:
    """For a nested model or a dict."""
    inner = {field.name: convert for field in type_ if (convert := column_encoder(field)) is not None}

    def encode(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return model_to_row(value)
        if not (inner and isinstance(value, dict)):
            return value
        return {name: inner[name](item) if name in inner else item for name, item in value.items()}

    return encode


_ENCODE_KIND: dict[Any, Convert] = {
    "uuid": lambda value: str(value) if isinstance(value, UUID) else value,
    "json": _plain_json,
}
