from __future__ import annotations

import copy
import pickle
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError, create_model

from lancelike.errors import SchemaError
from lancelike.pydantic import FixedSizeListMixin, LanceModel, MultiVector, Vector


def one(annotation: Any, **fields: Any) -> Any:
    return create_model("One", __base__=LanceModel, v=(annotation, ...), **fields)


def column(annotation: Any) -> pa.Field:
    return one(annotation).to_arrow_schema().field("v")


def test_a_vector_is_a_fixed_size_list_of_float32() -> None:
    assert column(Vector(3)) == pa.field("v", pa.list_(pa.float32(), 3))


def test_a_multivector_is_a_list_of_vectors() -> None:
    assert column(MultiVector(2, pa.float16())) == pa.field("v", pa.list_(pa.list_(pa.float16(), 2)))


def test_nullable_is_the_columns() -> None:
    assert not column(Vector(3, nullable=False)).nullable
    assert column(Vector(3, nullable=False) | None).nullable


def test_the_class_tells_its_parameters() -> None:
    vector = Vector(4, pa.float64(), nullable=False)
    assert issubclass(vector, FixedSizeListMixin)
    assert (vector.dim(), vector.value_arrow_type(), vector.nullable()) == (4, pa.float64(), False)
    assert Vector(4, pa.float64(), nullable=False) is vector


@pytest.mark.parametrize("value", [[1, 2], (1.0, 2.0), np.array([1, 2], np.float32), np.array([1, 2], np.uint8)])
def test_what_is_a_vector(value: Any) -> None:
    made = one(Vector(2))(v=value)
    assert made.v == [1.0, 2.0]
    assert isinstance(made.v, list)


@pytest.mark.parametrize("value", [[1], [1, 2, 3], "ab", ["a", "b"], [1, None], np.zeros((2, 2)), 3])
def test_what_is_not(value: Any) -> None:
    with pytest.raises(ValidationError):
        one(Vector(2))(v=value)


@pytest.mark.parametrize(
    "value",
    [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.float32), [np.array([1, 2.0]), np.array([3, 4.0])]],
)
def test_what_is_a_multivector(value: Any) -> None:
    assert one(MultiVector(2))(v=value).v == [[1.0, 2.0], [3.0, 4.0]]


def test_a_ragged_multivector_is_refused() -> None:
    with pytest.raises(ValidationError):
        one(MultiVector(2))(v=[[1, 2], [3]])


def test_none_is_a_value_of_a_nullable_column_only() -> None:
    assert one(Vector(2))(v=None).v is None
    with pytest.raises(ValidationError):
        one(Vector(2, nullable=False))(v=None)


def test_whole_numbers_stay_whole() -> None:
    model = one(Vector(2, pa.uint8()))
    assert model(v=[1, 255]).v == [1, 255]
    with pytest.raises(ValidationError):
        model(v=[1.5, 2])


def test_a_value_shows_its_length_not_its_numbers() -> None:
    assert repr(one(Vector(2))(v=[1, 2])) == "One(v=Vector(dim=2))"
    assert str(one(MultiVector(2))(v=[[1, 2]]).v) == "MultiVector(dim=2)"


def test_values_are_copied_and_pickled_as_lists() -> None:
    value = one(Vector(2))(v=[1, 2]).v
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == [1.0, 2.0]


def test_a_vector_class_of_ones_own() -> None:
    class Pair(FixedSizeListMixin):
        @staticmethod
        def dim() -> int:
            return 2

        @staticmethod
        def value_arrow_type() -> pa.DataType:
            return pa.int16()

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return handler(list[int])

    assert column(Pair) == pa.field("v", pa.list_(pa.int16(), 2))


def test_json_schema_has_the_length() -> None:
    said = one(Vector(2, nullable=False)).model_json_schema()["properties"]["v"]
    assert (said["minItems"], said["maxItems"], said["items"]) == (2, 2, {"type": "number"})


@pytest.mark.parametrize("name", ["Vector", "MultiVector"])
def test_a_bare_annotation_says_what_to_write(name: str) -> None:
    bare: Any = {"Vector": Vector, "MultiVector": MultiVector}[name]
    with pytest.raises(TypeError, match=rf"{name} must be parameterized.*{name}\(128\)"):
        one(bare)
    with pytest.raises(TypeError, match="must be parameterized"):
        one(Annotated[bare, "x"])
    assert repr(bare) == name


@pytest.mark.parametrize("dim", [0, -1, 2.5, "3", None])
def test_a_dimension_is_a_positive_integer(dim: Any) -> None:
    with pytest.raises(SchemaError, match=r"positive integer.*Vector\(128\)"):
        Vector(dim)


def test_a_vector_holds_numbers() -> None:
    with pytest.raises(SchemaError, match="can't be string"):
        Vector(2, pa.utf8())
    assert Vector(np.int64(2)) is Vector(2)
