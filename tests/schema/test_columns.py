from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType
from uuid import UUID, uuid5

import pyarrow as pa
import pytest
from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FutureDate,
    NaiveDatetime,
    PositiveInt,
    SecretStr,
    conlist,
    create_model,
)
from typing_extensions import TypeAliasType

from lancelike.pydantic import LanceModel, Vector, pydantic_to_schema
from lancelike.schema import column_encoder, model_to_row, row_to_values


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    S = 1
    L = 2


class Speed(Enum):
    SLOW = 0.5


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Flavour(StrEnum):
    SWEET = "sweet"


class Confusing(Enum):
    NUMBER = 1
    TEXT = "1"


class Memberless(Enum):
    pass


class Point(BaseModel):
    x: float
    label: str | None = None


class Node(BaseModel):
    children: list[Node]


class Blank(BaseModel):
    pass


UserId = NewType("UserId", int)
Tags = TypeAliasType("Tags", list[str])
SOME_ID = UUID("8c6b4a3e-7d1b-4e57-9a44-0b7a3b8f5a11")


def field_of(annotation: Any, default: Any = ...) -> pa.Field:
    return pydantic_to_schema(create_model("One", v=(annotation, default))).field("v")


@pytest.mark.parametrize(
    ("annotation", "arrow"),
    [
        (int, pa.int64()),
        (float, pa.float64()),
        (str, pa.utf8()),
        (bool, pa.bool_()),
        (bytes, pa.binary()),
        (dt.date, pa.date32()),
        (dt.time, pa.time64("us")),
        (dt.timedelta, pa.duration("us")),
        (dt.datetime, pa.timestamp("us")),
        (NaiveDatetime, pa.timestamp("us")),
        (AwareDatetime, pa.timestamp("us", "UTC")),
        (FutureDate, pa.date32()),
        (Decimal, pa.decimal128(38, 18)),
        (PositiveInt, pa.int64()),
        (UserId, pa.int64()),
        (Tags, pa.list_(pa.utf8())),
        (list[int], pa.list_(pa.int64())),
        (Sequence[int], pa.list_(pa.int64())),
        (conlist(int, max_length=3), pa.list_(pa.int64())),
        (list[list[int]], pa.list_(pa.list_(pa.int64()))),
        (list[int | None], pa.list_(pa.int64())),
        (Point, pa.struct([pa.field("x", pa.float64(), False), pa.field("label", pa.utf8())])),
        (Annotated[int, pa.int8()], pa.int8()),
        (list[Annotated[float, pa.float16()]], pa.list_(pa.float16())),
        (Annotated[UUID, pa.binary(16)], pa.binary(16)),
        (Annotated[Any, pa.map_(pa.utf8(), pa.int8())], pa.map_(pa.utf8(), pa.int8())),
    ],
)
def test_types_that_arrow_has(annotation: Any, arrow: pa.DataType) -> None:
    assert field_of(annotation) == pa.field("v", arrow, nullable=False)
    assert field_of(annotation).metadata is None
    assert field_of(annotation | None if isinstance(annotation, type) else annotation).type == arrow


@pytest.mark.parametrize(
    ("annotation", "arrow", "said"),
    [
        (UUID, pa.utf8(), {"kind": "uuid"}),
        (dict, pa.utf8(), {"kind": "json"}),
        (dict[str, Any], pa.utf8(), {"kind": "json"}),
        (Mapping[str, int], pa.utf8(), {"kind": "json"}),
        (Literal["a", "b"], pa.utf8(), {"kind": "literal", "values": ["a", "b"]}),
        (Literal[1, 2], pa.int64(), {"kind": "literal", "values": [1, 2]}),
        (set[int], pa.list_(pa.int64()), {"kind": "set"}),
        (frozenset[str], pa.list_(pa.utf8()), {"kind": "frozenset"}),
        (tuple[int, ...], pa.list_(pa.int64()), {"kind": "tuple"}),
        (tuple[int, int], pa.list_(pa.int64()), {"kind": "tuple"}),
        (
            Color,
            pa.dictionary(pa.int32(), pa.utf8()),
            {"kind": "enum", "name": "Color", "members": {"RED": "red", "BLUE": "blue"}},
        ),
        (
            Flavour,
            pa.dictionary(pa.int32(), pa.utf8()),
            {"kind": "enum", "name": "Flavour", "members": {"SWEET": "sweet"}},
        ),
        (Size, pa.int64(), {"kind": "enum", "name": "Size", "members": {"S": 1, "L": 2}}),
        (Speed, pa.float64(), {"kind": "enum", "name": "Speed", "members": {"SLOW": 0.5}}),
        (Mixed, pa.utf8(), {"kind": "enum", "name": "Mixed", "members": {"ONE": "1", "TWO": "two"}}),
    ],
)
def test_types_that_metadata_tells(annotation: Any, arrow: pa.DataType, said: dict[str, Any]) -> None:
    field = field_of(annotation)
    assert (field.type, field.nullable) == (arrow, False)
    assert json.loads(field.metadata[b"lancelike:type"]) == said


@pytest.mark.parametrize("annotation", [int | None, list[int] | None, Point | None, Literal["a", None], Color | None])
def test_optional_is_nullable(annotation: Any) -> None:
    assert field_of(annotation).nullable


def test_a_zone_given_as_lancedb_does() -> None:
    field = field_of(dt.datetime, Field(json_schema_extra={"tz": "Europe/Paris"}))
    assert field.type == pa.timestamp("us", "Europe/Paris")


@pytest.mark.parametrize(
    ("constraints", "arrow"),
    [
        ({"max_digits": 10, "decimal_places": 2}, pa.decimal128(10, 2)),
        ({"decimal_places": 2}, pa.decimal128(38, 2)),
        ({"max_digits": 10}, pa.decimal128(38, 18)),
        ({"max_digits": 60, "decimal_places": 2}, pa.decimal256(60, 2)),
    ],
)
def test_decimals_as_constrained(constraints: Any, arrow: pa.DataType) -> None:
    assert field_of(Decimal, Field(**constraints)).type == arrow
    assert field_of(list[Annotated[Decimal, Field(**constraints)]]).type == pa.list_(arrow)


def test_an_arrow_field_says_all_of_a_column() -> None:
    exact = pa.field("the name", pa.int16(), nullable=True, metadata={"a": "b"})
    model = create_model("One", v=(Annotated[int, exact], ...))
    assert pydantic_to_schema(model).field(0).equals(exact, check_metadata=True)
    assert model_to_row(model(v=3)) == {"the name": 3}
    assert row_to_values(model, {"the name": 3}) == {"v": 3}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Any, "unsupported type .*Any"),
        (object, "unsupported type object"),
        (Path, "unsupported type Path"),
        (SecretStr, "unsupported type SecretStr"),
        (list, "unsupported type list"),
        (int | str, r"unsupported type int \| str"),
        (int | str | None, "a column has one type"),
        (tuple[int, str], r"unsupported type tuple\[int, str\] \(the items of a list have one type\)"),
        (Literal["a", 1], "all str, all int or all bool"),
        (Literal[None], "all str, all int or all bool"),
        (Confusing, "can't be told apart"),
        (Memberless, "no members"),
        (Blank, "unsupported type Blank.*no fields"),
        (Node, r"field 'v.children\[\]': unsupported type Node .*contains itself"),
        (list[Path], r"field 'v\[\]': unsupported type Path"),
    ],
)
def test_types_without_a_home(annotation: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words) as caught:
        field_of(annotation)
    assert "'v" in str(caught.value)
    assert "Annotated" in str(caught.value)


def test_a_model_that_contains_itself() -> None:
    with pytest.raises(TypeError, match="contains itself"):
        pydantic_to_schema(Node)


def test_a_nested_field_is_named_by_its_path() -> None:
    inner = create_model("Inner", deep=(Path, ...))
    with pytest.raises(TypeError, match=r"field 'v\.deep': unsupported type Path"):
        field_of(inner)


class Early(LanceModel):
    part: Later  # defined below


class Later(BaseModel):
    n: int


def test_a_name_defined_later_is_found() -> None:
    assert Early.to_arrow_schema().field("part").type == pa.struct([pa.field("n", pa.int64(), False)])


def test_a_name_defined_nowhere() -> None:
    nowhere: Any = "Nowhere"
    model = create_model("One", v=(nowhere, ...))
    with pytest.raises(TypeError, match="field 'v': Nowhere is not defined"):
        pydantic_to_schema(model)


class Everything(LanceModel):
    id: UUID
    color: Color
    size: Size
    mixed: Mixed | None
    payload: dict[str, Any]
    tags: set[str]
    pair: tuple[int, int]
    ids: list[UUID | None]
    point: Point
    points: frozenset[int]
    amount: Decimal
    kind: Literal["a", "b"]
    vector: Vector(2)  # type: ignore[valid-type]


EVERYTHING = Everything(
    id=SOME_ID,
    color=Color.RED,
    size=Size.L,
    mixed=Mixed.ONE,
    payload={"a": [1, None, {"b": "ü"}]},
    tags={"x"},
    pair=(1, 2),
    ids=[SOME_ID, None],
    point=Point(x=1.5),
    points=frozenset({3}),
    amount=Decimal("1.50"),
    kind="a",
    vector=[1, 2],
)
ROW = {
    "id": str(SOME_ID),
    "color": "red",
    "size": 2,
    "mixed": "1",
    "payload": '{"a":[1,null,{"b":"ü"}]}',
    "tags": ["x"],
    "pair": [1, 2],
    "ids": [str(SOME_ID), None],
    "point": {"x": 1.5, "label": None},
    "points": [3],
    "amount": Decimal("1.50"),
    "kind": "a",
    "vector": [1.0, 2.0],
}


def test_a_model_as_a_row_and_back() -> None:
    assert model_to_row(EVERYTHING) == ROW
    assert Everything(**row_to_values(Everything, ROW)) == EVERYTHING
    assert pa.Table.from_pylist([ROW], Everything.to_arrow_schema()).to_pylist() == [ROW]


def test_a_strict_model_takes_its_rows() -> None:
    strict = create_model("Strict", __base__=Everything, __cls_kwargs__={"strict": True})
    values = row_to_values(strict, ROW) | {"point": Point(x=1.5)}
    assert strict(**values).id == SOME_ID


def test_only_the_models_columns_are_taken() -> None:
    model = create_model("One", a=(int, 1), b=(int | None, None))
    assert row_to_values(model, {"a": 3, "_distance": 0.5, "c": 1}) == {"a": 3}
    assert row_to_values(model, {"b": None}) == {"b": None}


@pytest.mark.parametrize("said", [{"alias": "Name"}, {"validation_alias": AliasChoices("Name", "other")}])
def test_a_column_has_the_fields_name_not_its_alias(said: dict[str, Any]) -> None:
    model = create_model("One", __base__=LanceModel, name=(str, Field(**said)))
    made = model(Name="x")
    assert model.to_arrow_schema().names == ["name"]
    assert model_to_row(made) == {"name": "x"}
    assert model(**row_to_values(model, {"name": "x"})) == made


def test_enum_values_in_place_of_members() -> None:
    model = create_model("One", __config__=ConfigDict(use_enum_values=True), color=(Color, ...), mixed=(Mixed, ...))
    assert model_to_row(model(color="red", mixed=1)) == {"color": "red", "mixed": "1"}


def test_extra_fields_are_not_lost() -> None:
    model = create_model("One", __config__=ConfigDict(extra="allow"), a=(int, ...))
    assert model_to_row(model(a=1, b=2)) == {"a": 1, "b": 2}


def test_a_subclass_in_place_of_a_nested_model_has_the_declared_fields() -> None:
    class Point3(Point):
        z: float = 0.0

    assert model_to_row(EVERYTHING.model_copy(update={"point": Point3(x=1)}))["point"] == {"x": 1.0, "label": None}


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("id", SOME_ID, str(SOME_ID)),
        ("id", str(SOME_ID), str(SOME_ID)),
        ("id", None, None),
        ("color", Color.RED, "red"),
        ("color", "red", "red"),
        ("size", Size.L, 2),
        ("mixed", Mixed.ONE, "1"),
        ("mixed", 1, "1"),
        ("payload", {"a": dt.date(2020, 1, 2)}, '{"a":"2020-01-02"}'),
        ("payload", '{"a":1}', '{"a":1}'),
        ("tags", {"x"}, ["x"]),
        ("ids", [SOME_ID, None, "x"], [str(SOME_ID), None, "x"]),
        ("point", Point(x=1), {"x": 1.0, "label": None}),
        ("point", {"x": 1}, {"x": 1}),
        ("point", 3, 3),
    ],
)
def test_encoding_values_that_come_without_a_model(column: str, value: Any, stored: Any) -> None:
    encode = column_encoder(Everything.to_arrow_schema().field(column))
    assert encode is not None
    assert encode(value) == stored


@pytest.mark.parametrize("column", ["amount", "kind", "vector", "pair"])
def test_columns_that_need_no_encoding(column: str) -> None:
    assert column_encoder(Everything.to_arrow_schema().field(column)) is None


def test_encoding_inside_a_struct() -> None:
    inner = create_model("Inner", id=(UUID, ...), n=(int, ...))
    encode = column_encoder(field_of(inner))
    assert encode is not None
    assert encode({"id": SOME_ID, "n": 1}) == {"id": str(SOME_ID), "n": 1}
    assert encode(inner(id=uuid5(SOME_ID, "x"), n=1))["id"] == str(uuid5(SOME_ID, "x"))
