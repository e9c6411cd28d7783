"""pydantic fields as Arrow columns: the type of a column, and its values both ways.

What Arrow can't tell (a UUID from a text, an Enum from its values) is kept in the column's metadata under
`lancelike:type`, as JSON with a `kind`. Any other type is given with `Annotated[T, pa.int32()]`, or with a whole
`pa.field`, whose name, nullability and metadata then are the column's.

A `datetime` column has no zone: a value with one is stored as its UTC time and comes back without. `AwareDatetime`,
or `Field(json_schema_extra={"tz": ...})`, makes a column with a zone.
"""

from __future__ import annotations

import datetime as dt
import json
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any, ForwardRef, Literal, NewType, TypeAlias, Union, get_args, get_origin
from uuid import UUID
from weakref import WeakKeyDictionary

import pyarrow as pa
import pydantic
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from lancelike.errors import EmbeddingFunctionUnavailable, SchemaError
from lancelike.media import Audio, Image
from lancelike.schema.bindings import BoundFunction
from lancelike.schema.blobs import is_blob_v2_field
from lancelike.schema.fields import VectorMark, vector_mark
from lancelike.schema.vector import FixedSizeListMixin
from lancelike.types import JSON

TYPE_KEY = b"lancelike:type"
"""Field metadata key of the JSON that tells what Arrow's type can't."""

Convert: TypeAlias = Callable[[Any], Any]

_SCALARS: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.utf8(),
    bytes: pa.binary(),
    dt.date: pa.date32(),
    dt.datetime: pa.timestamp("us"),
    dt.time: pa.time64("us"),
    dt.timedelta: pa.duration("us"),
    pydantic.AwareDatetime: pa.timestamp("us", "UTC"),
    pydantic.NaiveDatetime: pa.timestamp("us"),
    pydantic.PastDatetime: pa.timestamp("us"),
    pydantic.FutureDatetime: pa.timestamp("us"),
    pydantic.PastDate: pa.date32(),
    pydantic.FutureDate: pa.date32(),
}
_MEDIA: dict[Any, str] = {Image: "image", Audio: "audio"}
_MAPPINGS = (dict, Mapping)
_COLLECTIONS: dict[Any, str | None] = {list: None, Sequence: None, tuple: "tuple", set: "set", frozenset: "frozenset"}
_RESTORE: dict[str | None, Convert] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_MAX_DECIMAL128_DIGITS = 38
_DEFAULT_DECIMAL_PLACES = 18


@dataclass(frozen=True, slots=True)
class Form:
    """How one Python type is stored.

    Attributes:
        type: The Arrow type.
        nullable: Whether None is a value.
        metadata: Of the Arrow field, or None.
        encode: From a Python value, never None, to one that pyarrow takes; None when it takes it as it is.
        decode: The reverse.
    """

    type: pa.DataType
    nullable: bool = False
    metadata: dict[bytes, bytes] | None = None
    encode: Convert | None = None
    decode: Convert | None = None

    def field(self, name: str) -> pa.Field:
        """The Arrow field of a column called *name*."""
        return pa.field(name, self.type, self.nullable, metadata=self.metadata)

    @property
    def item(self) -> pa.Field:
        """The Arrow field of a list's items, which Lance and LanceDB let be null."""
        return pa.field("item", self.type, metadata=self.metadata)


def logical_type(field: pa.Field) -> JSON:
    """What `lancelike:type` says of *field*: a dict with `kind`, or an empty one."""
    found: JSON = json.loads((field.metadata or {}).get(TYPE_KEY, b"{}"))
    return found


def pydantic_to_schema(model: type[BaseModel]) -> pa.Schema:
    """The Arrow schema of *model*'s fields, in their order, without metadata of its own.

    Raises:
        TypeError: A field's type has no home in Arrow ("unsupported type").
        SchemaError: A vector field and its embedding function disagree.
    """
    return pa.schema([_column(name, info, within=(model,)) for name, info in fields_of(model).items()])


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """*model*'s fields by name, with annotations that named what was not defined yet looked up again."""
    if not model.__pydantic_complete__:
        model.model_rebuild(raise_errors=False)
    return model.model_fields


def column_name(name: str, info: FieldInfo) -> str:
    """The column of the field *name*: the same, unless an Arrow field in its annotation says otherwise."""
    exact = _exact_type(_unwrap(info.annotation, info.metadata)[1])
    return str(exact.name) if isinstance(exact, pa.Field) else name


def model_to_row(model: BaseModel) -> dict[str, Any]:
    """*model* as a dict of values that pyarrow takes, by column; fields beyond the declared ones are kept."""
    return {**_encode_row(type(model), model), **(model.__pydantic_extra__ or {})}


def models_to_columns(models: Sequence[BaseModel]) -> dict[str, list[Any]] | None:
    """What `model_to_row` makes of each of *models*, at least one, by column; None if they may differ in columns."""
    model = type(models[0])
    if set(map(type, models)) != {model} or model.model_config.get("extra") == "allow":
        return None
    return {codec.column: _encode_all(codec.encode, map(attrgetter(codec.name), models)) for codec in _codecs(model)}


def row_to_values(model: type[BaseModel], row: Mapping[str, Any]) -> dict[str, Any]:
    """What to call *model* with to get back the instance stored as *row*.

    Args:
        model: The class to be called.
        row: Python values by column, as `pa.Table.to_pylist` gives them. Columns that *model* hasn't are left out.
    """
    return {
        codec.argument: value if codec.decode is None or value is None else codec.decode(value)
        for codec in _codecs(model)
        if (value := row.get(codec.column, _ABSENT)) is not _ABSENT
    }


def column_names(model: type[BaseModel]) -> list[str]:
    """The columns of *model*'s fields, in their order."""
    return [codec.column for codec in _codecs(model)]


def media_columns(model: type[BaseModel]) -> set[str]:
    """The columns of *model*'s fields that are an `Image` or an `Audio`."""
    return {codec.column for codec in _codecs(model) if codec.decode in _MEDIA}


_ABSENT = object()


@dataclass(frozen=True, slots=True)
class _Codec:
    """One field of a model: where its values are in a row, and how they change on the way."""

    name: str
    argument: str
    column: str
    encode: Convert | None
    decode: Convert | None


_known_codecs: WeakKeyDictionary[type[BaseModel], tuple[_Codec, ...]] = WeakKeyDictionary()


def _codecs(model: type[BaseModel]) -> tuple[_Codec, ...]:
    found = _known_codecs.get(model)
    if found is None:
        found = tuple(_codec(model, name, info) for name, info in fields_of(model).items())
        _known_codecs[model] = found
    return found


def _codec(model: type[BaseModel], name: str, info: FieldInfo) -> _Codec:
    form = _form_of_field(name, info, within=(model,))
    return _Codec(name, _argument(model, name, info), column_name(name, info), form.encode, form.decode)


def _argument(model: type[BaseModel], name: str, info: FieldInfo) -> str:
    """The keyword that sets a field: its alias, unless the model is filled by name only."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    by_alias = model.model_config.get("validate_by_alias", True)
    return alias if isinstance(alias, str) and by_alias else name


def _encode_row(model: type[BaseModel], value: BaseModel) -> dict[str, Any]:
    row = {}
    for codec in _codecs(model):
        item = getattr(value, codec.name)
        row[codec.column] = item if item is None or codec.encode is None else codec.encode(item)
    return row


def _encode_all(encode: Convert | None, values: Iterable[Any]) -> list[Any]:
    return list(values) if encode is None else [None if value is None else encode(value) for value in values]


def _column(name: str, info: FieldInfo, within: tuple[type, ...]) -> pa.Field:
    form = _form_of_field(name, info, within)
    column, mark = column_name(name, info), vector_mark(info)
    return (form if mark is None else _bound_form(form, column, mark)).field(column)


def _form_of_field(path: str, info: FieldInfo, within: tuple[type, ...]) -> Form:
    form = _form_of(info.annotation, path, within, info.metadata)
    zone = info.json_schema_extra.get("tz") if isinstance(info.json_schema_extra, dict) else None
    return replace(form, type=pa.timestamp("us", zone)) if zone and pa.types.is_timestamp(form.type) else form


def _bound_form(form: Form, name: str, mark: VectorMark) -> Form:
    """The column that a function fills: of the declared dimension, or of the function's for `list[float]`."""
    declared = form.type
    vector = declared.value_type if is_list(declared) and is_list(declared.value_type) else declared
    if pa.types.is_fixed_size_list(vector):
        _check_ndims(name, vector.list_size, mark.function)
        return form
    if not (is_list(vector) and pa.types.is_floating(vector.value_type)):
        raise SchemaError(
            f"vector column {name!r} can't hold vectors as {declared}; annotate it Vector(n) or list[float]"
        )
    made = pa.list_(pa.float32(), mark.function.ndims())
    return Form(made if vector is declared else pa.list_(made), nullable=True)


def _check_ndims(name: str, dim: int, function: BoundFunction) -> None:
    try:
        ndims = function.ndims()
    except EmbeddingFunctionUnavailable:
        return
    if ndims != dim:
        raise SchemaError(
            f"vector column {name!r} is declared with {dim} dimensions, but its function makes vectors of {ndims}; "
            f"declare it Vector({ndims})"
        )


def _form_of(annotation: Any, path: str, within: tuple[type, ...], metadata: Sequence[Any] = ()) -> Form:
    base, extras = _unwrap(annotation, metadata)
    exact = _exact_type(extras)
    if exact is None:
        return _mapped(base, extras, path, within)
    try:
        form = _mapped(base, extras, path, within)
    except TypeError:
        form = Form(pa.null())
    if isinstance(exact, pa.DataType):
        return _retyped(form, exact)
    said = form.metadata or {} if is_blob_v2_field(exact) else {}  # an image or sound is one also where it is a blob
    merged = {**said, **(exact.metadata or {})} or None
    return replace(_retyped(form, exact.type), nullable=exact.nullable, metadata=merged)


def _retyped(form: Form, exact: pa.DataType) -> Form:
    """*form* in the type asked for: what would be stored as text is left to pyarrow when that is no text."""
    if _is_text(form.type) and not (_is_text(exact) or is_json(exact)):
        return Form(exact, form.nullable)
    return replace(form, type=exact)


def _unwrap(annotation: Any, metadata: Sequence[Any] = ()) -> tuple[Any, tuple[Any, ...]]:
    """The type inside Annotated, NewType and type aliases, with all that is said beside it."""
    extras = tuple(metadata)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for extra in more:
                extras += tuple(extra.metadata) if isinstance(extra, FieldInfo) else (extra,)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, extras


def _exact_type(extras: Sequence[Any]) -> pa.Field | pa.DataType | None:
    return next((extra for extra in extras if isinstance(extra, pa.Field | pa.DataType)), None)


def _mapped(base: Any, extras: Sequence[Any], path: str, within: tuple[type, ...]) -> Form:
    origin, args = get_origin(base), get_args(base)
    if origin in (Union, types.UnionType) and type(None) in args:
        return _optional(base, extras, path, within)
    if origin is None and base in _SCALARS:
        return Form(_SCALARS[base])
    if origin is None and base in _MEDIA:
        return MEDIA_FORMS[_MEDIA[base]]
    if base is Decimal:
        return Form(_decimal_type(extras))
    if base is UUID:
        return Form(pa.utf8(), metadata=_logical(kind="uuid"), encode=str, decode=UUID)
    if origin is Literal:
        return _literal(args, path)
    if base in _MAPPINGS or origin in _MAPPINGS:
        return Form(pa.utf8(), metadata=_logical(kind="json"), encode=to_json_text, decode=json.loads)
    if origin in _COLLECTIONS and args:
        return _collection(_COLLECTIONS[origin], base, args, path, within)
    if isinstance(base, type) and issubclass(base, FixedSizeListMixin):
        return Form(base.arrow_type(), nullable=base.nullable())
    if isinstance(base, type) and issubclass(base, Enum):
        return _enum(base, path)
    if isinstance(base, type) and issubclass(base, BaseModel):
        return _struct(base, path, within)
    if isinstance(base, ForwardRef):
        raise TypeError(f"field {path!r}: {base.__forward_arg__} is not defined where the class is; define it there")
    raise _unsupported(base, path)


def _unsupported(annotation: Any, path: str, why: str = "it has no Arrow type") -> TypeError:
    shown = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else annotation
    return TypeError(
        f"field {path!r}: unsupported type {shown} ({why}); "
        "say how to store it with Annotated[..., pa.utf8()], or use another type"
    )


def _logical(**said: Any) -> dict[bytes, bytes]:
    return {TYPE_KEY: json.dumps(said).encode()}


MEDIA_FORMS = {
    kind: Form(pa.large_binary(), metadata=_logical(kind=kind), decode=base) for base, kind in _MEDIA.items()
}
"""How images and sounds are stored: as their encoded bytes. What becomes of a value on the way in is for ingestion."""


def _optional(base: Any, extras: Sequence[Any], path: str, within: tuple[type, ...]) -> Form:
    others = [arg for arg in get_args(base) if arg is not type(None)]
    if len(others) != 1:
        raise _unsupported(base, path, "a column has one type")
    return replace(_form_of(others[0], path, within, extras), nullable=True)


def _decimal_type(extras: Sequence[Any]) -> pa.DataType:
    """Precision and scale as constrained, else 38 digits of which 18 are decimal places."""
    digits = next((d for extra in extras if (d := getattr(extra, "max_digits", None)) is not None), None)
    places = next((p for extra in extras if (p := getattr(extra, "decimal_places", None)) is not None), None)
    if places is None:
        places, digits = _DEFAULT_DECIMAL_PLACES, None
    digits = digits or _MAX_DECIMAL128_DIGITS
    return pa.decimal128(digits, places) if digits <= _MAX_DECIMAL128_DIGITS else pa.decimal256(digits, places)


def _literal(values: tuple[Any, ...], path: str) -> Form:
    nullable = None in values
    kept = [value for value in values if value is not None]
    kinds = {type(value) for value in kept}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise _unsupported(Literal[values], path, "its values must be all str, all int or all bool")
    return Form(_SCALARS[kinds.pop()], nullable, _logical(kind="literal", values=kept))


def is_json(kind: pa.DataType) -> bool:
    """Whether *kind* is Arrow's JSON, whose values filters can look into."""
    return getattr(kind, "extension_name", "") == "arrow.json"


def to_json_text(value: Any) -> str:
    """*value* as JSON; dates, UUIDs and models in it become what pydantic makes of them."""
    return to_json(value).decode()


def _collection(kind: str | None, base: Any, args: tuple[Any, ...], path: str, within: tuple[type, ...]) -> Form:
    items = [arg for arg in args if arg is not Ellipsis]
    if any(item != items[0] for item in items):
        raise _unsupported(base, path, "the items of a list have one type")
    item = _form_of(items[0], f"{path}[]", within)
    restore = None if pa.types.is_struct(item.type) else _RESTORE.get(kind)  # a struct's row can't be in a set
    return Form(
        pa.list_(item.item),
        metadata=_logical(kind=kind) if kind else None,
        encode=_list_of(item.encode, list if kind else None),
        decode=_list_of(item.decode, restore),
    )


def _list_of(convert: Convert | None, collect: Convert | None) -> Convert | None:
    """*convert* for each item, then *collect* for all; None when there is nothing to do."""
    if convert is None:
        return collect
    return lambda values: (collect or list)(None if value is None else convert(value) for value in values)


def _enum(base: type[Enum], path: str) -> Form:
    values = [member.value for member in base]
    stored = _enum_type(values)
    by_stored = {_enum_value(stored, member.value): member for member in base}
    if len(by_stored) != len(values) or not values:
        raise _unsupported(base, path, "its values can't be told apart as text" if values else "it has no members")
    members = {member.name: value for value, member in by_stored.items()}
    return Form(
        stored,
        metadata=_logical(kind="enum", name=base.__name__, members=members),
        encode=lambda member: _enum_value(stored, getattr(member, "value", member)),
        decode=lambda value: by_stored.get(value, value),
    )


def _enum_type(values: Sequence[Any]) -> pa.DataType:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return pa.dictionary(pa.int32(), pa.utf8())
    return _SCALARS[kinds.pop()] if kinds in ({int}, {float}) else pa.utf8()


def _enum_value(stored: pa.DataType, value: Any) -> Any:
    return str(value) if stored == pa.utf8() else value


def _struct(base: type[BaseModel], path: str, within: tuple[type, ...]) -> Form:
    if base in within:
        raise _unsupported(base, path, "it contains itself")
    fields = fields_of(base)
    if not fields:
        raise _unsupported(base, path, "it has no fields")
    for name, info in fields.items():
        if vector_mark(info) is not None:
            raise SchemaError(f"vector field {name!r} is inside {path!r}; embedding functions fill top-level columns")
    children = [(n, i, _form_of_field(f"{path}.{n}", i, (*within, base))) for n, i in fields.items()]
    return Form(
        pa.struct([form.field(column_name(name, info)) for name, info, form in children]),
        encode=lambda value: _encode_row(base, value),
        decode=lambda row: row_to_values(base, row),
    )


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def is_list(type_: pa.DataType) -> bool:
    """Whether *type_* is a list of any kind."""
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))
