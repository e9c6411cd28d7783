"""Filters and values made of Python's operators, which write the SQL."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn, TypeAlias

import numpy as np
import pyarrow as pa

from lancelike.errors import QueryError, shorten
from lancelike.query.keywords import FUNCTIONS, KEYWORDS
from lancelike.query.predicates import quote_identifier, value_to_sql

__all__ = ["Expr", "ExprLike", "col", "func", "lit"]

ExprLike: TypeAlias = Any
"""An `Expr`, or a Python value as `lit` takes it."""

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")

_TYPE_ALIASES = {"boolean": "bool", "str": "string", "date": "date32", "float16": "halffloat"}
"""Names of types that Arrow doesn't know, and its own for the same."""
_SQL_TYPES = {
    "bool": "Boolean",
    **{f"{sign}int{bits}": f"{'U' if sign else ''}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "halffloat": "Float16",
    "float": "Float32",
    "double": "Float64",
    "string": "Utf8",
    "large_string": "LargeUtf8",
    "binary": "Binary",
    "large_binary": "LargeBinary",
    "date32[day]": "Date32",
    "date64[ms]": "Date64",
}
_SQL_UNITS = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}


class Expr:
    """An expression over a row's columns: a condition, or a value. Made with `col`, `lit` and `func`.

    Nulls are SQL's: a comparison with a null is null, and a filter keeps the rows where it is true. Wherever a filter
    or SQL text is taken, an `Expr` is too.

    Example:
        >>> (col("price") < 10) & ~col("name").contains("spam")
        Expr(((price < 10) AND NOT contains(`name`, 'spam')))
    """

    __slots__ = ("_is_column", "_is_operand", "_joined_by", "_sql")
    __hash__ = None  # type: ignore[assignment]  # == makes an expression, which no dict could look up by
    __array_ufunc__ = None  # so that numpy's scalars leave operators to this class

    def __init__(self, sql: str, *, is_operand: bool = True, is_column: bool = False, joined_by: str = "") -> None:
        self._sql, self._is_operand, self._is_column, self._joined_by = sql, is_operand, is_column, joined_by

    def to_sql(self) -> str:
        """The expression as SQL text."""
        return self._sql

    def __repr__(self) -> str:
        return f"Expr({self._sql})"

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is true or false only for a row; write & for and, | for or, ~ for not, with each comparison in "
            "parentheses, and between(a, b) for a < x < b"
        )

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self!r} can't be gone through; for a field of a struct write expr['field']")

    def __eq__(self, other: ExprLike) -> Expr:  # type: ignore[override]
        return _infix(self, "=", other)

    def __ne__(self, other: ExprLike) -> Expr:  # type: ignore[override]
        return _infix(self, "<>", other)

    def __lt__(self, other: ExprLike) -> Expr:
        return _infix(self, "<", other)

    def __le__(self, other: ExprLike) -> Expr:
        return _infix(self, "<=", other)

    def __gt__(self, other: ExprLike) -> Expr:
        return _infix(self, ">", other)

    def __ge__(self, other: ExprLike) -> Expr:
        return _infix(self, ">=", other)

    def __and__(self, other: Expr | bool) -> Expr:
        return _both(self, "AND", other)

    def __rand__(self, other: Expr | bool) -> Expr:
        return _both(other, "AND", self)

    def __or__(self, other: Expr | bool) -> Expr:
        return _both(self, "OR", other)

    def __ror__(self, other: Expr | bool) -> Expr:
        return _both(other, "OR", self)

    def __invert__(self) -> Expr:
        return Expr(f"NOT {self._sql}", is_operand=False)

    def __add__(self, other: ExprLike) -> Expr:
        return _infix(self, "+", other)

    def __radd__(self, other: ExprLike) -> Expr:
        return _infix(other, "+", self)

    def __sub__(self, other: ExprLike) -> Expr:
        return _infix(self, "-", other)

    def __rsub__(self, other: ExprLike) -> Expr:
        return _infix(other, "-", self)

    def __mul__(self, other: ExprLike) -> Expr:
        return _infix(self, "*", other)

    def __rmul__(self, other: ExprLike) -> Expr:
        return _infix(other, "*", self)

    def __truediv__(self, other: ExprLike) -> Expr:
        """The quotient; of two integers, SQL's, which leaves out the fraction."""
        return _infix(self, "/", other)

    def __rtruediv__(self, other: ExprLike) -> Expr:
        return _infix(other, "/", self)

    def __mod__(self, other: ExprLike) -> Expr:
        """The remainder, with the sign of the first operand, as in SQL."""
        return _infix(self, "%", other)

    def __rmod__(self, other: ExprLike) -> Expr:
        return _infix(other, "%", self)

    def __neg__(self) -> Expr:
        return Expr(f"(- {_operand(self)})")

    def __getitem__(self, field: str) -> Expr:
        """The field *field* of a struct; null where the struct is."""
        if not isinstance(field, str):
            raise TypeError(f"a field of a struct is named by a text, got {field!r}")
        if self._is_column:
            return Expr(f"{self._sql}.{_identifier(field)}", is_column=True)
        return Expr(f"get_field({self._sql}, {value_to_sql(field)})")

    def eq(self, other: ExprLike) -> Expr:
        """Whether it equals *other*; null if either is null."""
        return _infix(self, "=", other)

    def ne(self, other: ExprLike) -> Expr:
        """Whether it differs from *other*; null if either is null."""
        return _infix(self, "<>", other)

    def lt(self, other: ExprLike) -> Expr:
        """Whether it is less than *other*."""
        return _infix(self, "<", other)

    def lte(self, other: ExprLike) -> Expr:
        """Whether it is at most *other*."""
        return _infix(self, "<=", other)

    def gt(self, other: ExprLike) -> Expr:
        """Whether it is greater than *other*."""
        return _infix(self, ">", other)

    def gte(self, other: ExprLike) -> Expr:
        """Whether it is at least *other*."""
        return _infix(self, ">=", other)

    def and_(self, other: Expr | bool) -> Expr:
        """Whether both hold."""
        return self & other

    def or_(self, other: Expr | bool) -> Expr:
        """Whether one of the two holds."""
        return self | other

    def is_null(self) -> Expr:
        """Whether it is null; never null itself."""
        return Expr(f"({_operand(self)} IS NULL)")

    def is_not_null(self) -> Expr:
        """Whether it is not null; never null itself."""
        return Expr(f"({_operand(self)} IS NOT NULL)")

    def between(self, low: ExprLike, high: ExprLike) -> Expr:
        """Whether it is at least *low* and at most *high*."""
        return Expr(f"({_operand(self)} BETWEEN {_operand(low)} AND {_operand(high)})")

    def isin(self, values: Iterable[ExprLike]) -> Expr:
        """Whether it is one of *values*; false for none of them, null where it is null.

        Raises:
            TypeError: One of *values* is None, which nothing equals; or *values* is a text.
        """
        if isinstance(values, str | bytes):
            raise TypeError(f"isin takes a list of values, got {shorten(values)}")
        listed = ", ".join(_operand(value) for value in values)
        return Expr(f"{_operand(self)} IN ({listed})", is_operand=False) if listed else lit(False)

    def contains(self, substr: ExprLike) -> Expr:
        """Whether a text has *substr* somewhere; no character of it is special."""
        return Expr(f"contains({self._sql}, {_operand(substr)})")

    def lower(self) -> Expr:
        """The text in small letters."""
        return Expr(f"lower({self._sql})")

    def upper(self) -> Expr:
        """The text in capital letters."""
        return Expr(f"upper({self._sql})")

    def cast(self, data_type: str | pa.DataType) -> Expr:
        """The value as *data_type*, an Arrow type or its name (`"int32"`, `"string"`, `"timestamp[us]"`, ...).

        Raises:
            QueryError: There is no such type, or SQL has no name for it. A value that doesn't fit is an error when the
                query runs.
        """
        return Expr(f"arrow_cast({self._sql}, {value_to_sql(_sql_type(data_type))})")


@value_to_sql.register
def _(value: Expr) -> str:
    return value.to_sql()


def col(name: str) -> Expr:
    """The column *name*; with dots, a field within structs, `"meta.author.name"`.

    Raises:
        QueryError: The name is empty or has a backtick.
    """
    if not isinstance(name, str):
        raise QueryError(f"a column is named by a text, got {name!r}")
    return Expr(".".join(_identifier(part) for part in name.split(".")), is_column=True)


def lit(value: Any) -> Expr:
    """*value* itself: text, bytes, a number, bool, None, date, time, Decimal, UUID, or a numpy or Arrow scalar.

    A float has 64 bits, and so is compared with a column of 32: no value of that equals 0.1, but `np.float32(0.1)` may.

    Raises:
        TypeError: It is a list, or of a type that SQL has no literal for.
    """
    if isinstance(value, Expr):
        return value
    if isinstance(value, list | tuple | dict) or value_to_sql.dispatch(type(value)) is value_to_sql.dispatch(object):
        raise TypeError(f"Unsupported literal type: {type(value).__name__}")
    return Expr(_literal(value))


def func(name: str, *args: ExprLike) -> Expr:
    """The SQL function *name* of *args*, which are expressions or values.

    Raises:
        QueryError: Lance has no function of that name.
    """
    if name not in FUNCTIONS:
        close = get_close_matches(name, FUNCTIONS, 3)
        hint = f"; is {' or '.join(map(repr, close))} meant?" if close else ""
        raise QueryError(f"unknown function: {name!r}{hint}")
    return Expr(f"{name}({', '.join(lit(arg).to_sql() for arg in args)})")


def _literal(value: Any) -> str:
    sql = value_to_sql(value)
    if isinstance(value, float | np.floating) and math.isfinite(value):
        return f"CAST({sql} AS DOUBLE)"  # a bare number would have to be of the type of the column beside it
    if isinstance(value, bytes | bytearray | memoryview):
        return f"X{sql[1:].upper()}"
    return sql.lower() if sql in ("TRUE", "FALSE") else sql


def _identifier(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) and name not in KEYWORDS else quote_identifier(name)


def _operand(value: ExprLike) -> str:
    expression = lit(value)
    if expression.to_sql() == "NULL":
        raise TypeError("nothing equals, exceeds or adds to NULL in SQL; ask with is_null() or is_not_null()")
    return expression.to_sql() if expression._is_operand else f"({expression.to_sql()})"


def _infix(left: ExprLike, operator: str, right: ExprLike) -> Expr:
    return Expr(f"({_operand(left)} {operator} {_operand(right)})")


def _both(left: Expr | bool, operator: str, right: Expr | bool) -> Expr:
    conditions = f" {operator} ".join(_condition(each, operator) for each in (left, right))
    return Expr(f"({conditions})", joined_by=operator)


def _condition(value: Expr | bool, operator: str) -> str:
    if not isinstance(value, Expr | bool):
        raise TypeError(
            f"& and | join conditions, and {shorten(value)} is none; put each comparison in parentheses, as in "
            "(col('a') > 1) & (col('b') > 2)"
        )
    condition = lit(value)
    # Lance's parser goes 50 parentheses deep
    return condition._sql[1:-1] if condition._joined_by == operator else condition._sql


def _sql_type(data_type: str | pa.DataType) -> str:
    """The name that `arrow_cast` has for *data_type*."""
    try:
        given = pa.type_for_alias(_TYPE_ALIASES.get(data_type, data_type)) if isinstance(data_type, str) else data_type
    except ValueError:
        raise QueryError(
            f"unsupported data type: {data_type!r}. Supported: {', '.join([*_SQL_TYPES, *_TYPE_ALIASES])}, "
            "timestamp[us], ..., or an Arrow type"
        ) from None
    if str(given) in _SQL_TYPES:
        return _SQL_TYPES[str(given)]
    if pa.types.is_decimal128(given):
        return f"Decimal128({given.precision}, {given.scale})"
    if pa.types.is_timestamp(given):
        zone = f'Some("{given.tz}")' if given.tz else "None"
        return f"Timestamp({_SQL_UNITS[given.unit]}, {zone})"
    for is_kind, kind in (
        (pa.types.is_time32, "Time32"),
        (pa.types.is_time64, "Time64"),
        (pa.types.is_duration, "Duration"),
    ):
        if is_kind(given):
            return f"{kind}({_SQL_UNITS[given.unit]})"
    raise QueryError(f"unsupported data type: {given}; SQL has no name for it")
