"""Annotations for vector columns: `Vector(n)` and `MultiVector(n)`."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, SupportsIndex

import pyarrow as pa
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from lancelike.errors import SchemaError

_FLOAT32 = pa.float32()


class FixedSizeListMixin(ABC):
    """What every vector annotation answers about its column."""

    @staticmethod
    @abstractmethod
    def dim() -> int:
        """Numbers in one vector."""

    @staticmethod
    @abstractmethod
    def value_arrow_type() -> pa.DataType:
        """Arrow type of one number."""

    @classmethod
    def nullable(cls) -> bool:
        """Whether a row may have no vector."""
        return True

    @classmethod
    def arrow_type(cls) -> pa.DataType:
        """Arrow type of the column."""
        return pa.list_(cls.value_arrow_type(), cls.dim())


def as_plain_list(value: Any) -> Any:
    """*value* as a list if it is an array (anything with `tolist`), else *value*; also for arrays in a list."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple) and value and hasattr(value[0], "tolist"):
        return [as_plain_list(item) for item in value]
    return value


class _VectorValues(list[Any], FixedSizeListMixin):
    """The validated value of a vector field: a list whose repr stays short."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim()})"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:  # the class is made by a call, so pickle can't name it
        return list, (list(self),)


def _numbers_schema(dim: int, value_type: pa.DataType) -> CoreSchema:
    number = core_schema.int_schema() if pa.types.is_integer(value_type) else core_schema.float_schema()
    return core_schema.list_schema(number, min_length=dim, max_length=dim)


@cache
def _vector_class(dim: int, value_type: pa.DataType, nullable: bool, multi: bool) -> type[FixedSizeListMixin]:
    vector_type = pa.list_(value_type, dim)

    class VectorList(_VectorValues):
        @staticmethod
        def dim() -> int:
            return dim

        @staticmethod
        def value_arrow_type() -> pa.DataType:
            return value_type

        @classmethod
        def nullable(cls) -> bool:
            return nullable

        @classmethod
        def arrow_type(cls) -> pa.DataType:
            return pa.list_(vector_type) if multi else vector_type

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
            numbers = _numbers_schema(dim, value_type)
            values = core_schema.no_info_after_validator_function(
                cls, core_schema.list_schema(numbers) if multi else numbers
            )
            schema = core_schema.no_info_before_validator_function(as_plain_list, values)
            return core_schema.nullable_schema(schema) if nullable else schema

    VectorList.__name__ = VectorList.__qualname__ = "MultiVector" if multi else "Vector"
    return VectorList


class _VectorFactory:
    """Makes vector annotations; by itself it is none, and says so."""

    def __init__(self, name: str, *, multi: bool) -> None:
        self.__name__ = self.__qualname__ = name
        self._multi = multi
        self.__doc__ = f"Annotation of a {'column of several vectors a row' if multi else 'vector column'}."

    def __call__(
        self, dim: SupportsIndex, value_type: pa.DataType = _FLOAT32, nullable: bool = True
    ) -> type[FixedSizeListMixin]:
        """The annotation of a column of vectors.

        Args:
            dim: Numbers in one vector.
            value_type: Arrow type of one number.
            nullable: Whether a row may have no vector; None is then a valid value of the field.

        Returns:
            A class to annotate a pydantic field with. Its values are lists of `dim` numbers (for a multivector,
            lists of such lists); NumPy arrays are accepted.

        Raises:
            SchemaError: *dim* is not a positive integer, or *value_type* is no number type.
        """
        if not (pa.types.is_floating(value_type) or pa.types.is_integer(value_type)):
            raise SchemaError(f"a vector holds numbers, so its value_type can't be {value_type}; use pa.float32()")
        return _vector_class(_positive(dim), value_type, nullable, self._multi)

    def __repr__(self) -> str:
        return self.__name__

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        name = self.__name__
        raise TypeError(f"{name} must be parameterized with a dimension, e.g. {name}(128).")


def _positive(dim: SupportsIndex) -> int:
    try:
        number = operator.index(dim)
    except TypeError:
        number = 0
    if number < 1:
        raise SchemaError(f"a vector's dimension is a positive integer, not {dim!r}; write for example Vector(128)")
    return number


Vector = _VectorFactory("Vector", multi=False)
MultiVector = _VectorFactory("MultiVector", multi=True)


def vector(dimension: int, value_type: pa.DataType | None = None) -> pa.DataType:
    """The Arrow type of vectors of that length, for an Arrow schema; None is float32."""
    return pa.list_(value_type or pa.float32(), dimension)
