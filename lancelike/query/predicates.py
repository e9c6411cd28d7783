"""SQL text for filters and updates: literals, quoted names, and filters joined.

Literals carry their type where Lance's planner would not guess it: it compares a date column with `DATE '…'` but not
with a bare string, and knows times, durations and zoned timestamps only through `arrow_cast`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import singledispatch
from math import isfinite
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa

from lancelike.errors import QueryError, shorten
from lancelike.media import Audio, Image

INT64_MIN = -(2**63)
UINT64_MAX = 2**64 - 1
_QUOTED_OR_COMMENT = re.compile(
    r"""(?P<quoted>'[^']*'|"(?P<name>(?:[^"]|"")*)"|`[^`]*`)|--[^\n]*|/\*.*?\*/""", re.DOTALL
)


class SqlExpression(Protocol):
    """Anything that can say itself in SQL, as `Expr` does."""

    def to_sql(self) -> str:
        """The expression as SQL text."""


Expression: TypeAlias = str | SqlExpression


def sql_of(expression: Expression) -> str:
    """*expression* as Lance's SQL: a name in double quotes, which Lance takes for a text, is in backticks.

    Raises:
        QueryError: It is neither text nor an expression.
    """
    if isinstance(expression, str):
        return _QUOTED_OR_COMMENT.sub(_with_backticks, expression) if '"' in expression else expression
    if not hasattr(expression, "to_sql"):
        raise QueryError(f"{expression!r} is no SQL text and has no to_sql()")
    return expression.to_sql()


def _with_backticks(match: re.Match[str]) -> str:
    if match["name"] is None:
        return match[0]
    if not match["name"]:
        raise QueryError("\"\" names no column; an empty text is ''")
    return quote_identifier(match["name"].replace('""', '"'))


def filter_of(expression: Expression | None) -> str | None:
    """*expression* as SQL text; None, no filter, stays None."""
    return None if expression is None else sql_of(expression)


def all_of(filters: Iterable[str | None]) -> str | None:
    """One filter that holds where each of *filters* does; None when all of them are None."""
    given = [text for text in filters if text is not None]
    if len(given) < 2:
        return given[0] if given else None
    return " AND ".join(f"({text})" for text in given)


def check_sql(text: str) -> str:
    """*text*, if it is one expression: Lance would leave out, unread, what comes after a semicolon.

    Raises:
        QueryError: It goes on after one.
    """
    if ";" in text:
        bare = _QUOTED_OR_COMMENT.sub(lambda match: "''" if match["quoted"] else " ", text)
        if bare.partition(";")[2].strip("; \t\r\n"):
            raise QueryError(f"a filter or value is one SQL expression; {shorten(text)} goes on after ';'")
    return text


def check_filter(text: str | None) -> str | None:
    """*text*, checked as `check_sql` does; None, no filter, passes."""
    return None if text is None else check_sql(text)


def quote_identifier(name: str) -> str:
    """*name* as SQL takes it for one whole column name, whatever characters it has.

    Raises:
        QueryError: The name has a backtick or is empty; Lance's SQL can't say it.
    """
    if not name or "`" in name:
        raise QueryError(f"{name!r} can't be named in SQL; rename the column with alter_columns")
    return f"`{name}`"


@singledispatch
def value_to_sql(value: Any) -> str:
    """The SQL literal of *value*, as `where`, `update` and `merge_insert` conditions take it.

    Takes str, bytes, numbers, bool, None, dates and times, UUID (as text), Decimal, Enum (its value), lists and
    dicts of these (arrays and structs), numpy scalars and arrays, Arrow scalars, and images and sounds (their bytes).

    Raises:
        QueryError: There is no literal for a value of this type.
    """
    raise QueryError(f"{shorten(value)} of type {type(value).__name__} has no SQL literal; write it as SQL text")


@value_to_sql.register
def _(value: Image | Audio) -> str:
    return value_to_sql(value.data())


@value_to_sql.register
def _(value: None) -> str:
    return "NULL"


@value_to_sql.register
def _(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


@value_to_sql.register(bytes)
@value_to_sql.register(bytearray)
@value_to_sql.register(memoryview)
def _(value: bytes) -> str:
    return f"X'{value.hex()}'"


@value_to_sql.register(bool)
@value_to_sql.register(np.bool_)
def _(value: bool) -> str:
    return "TRUE" if value else "FALSE"


@value_to_sql.register(int)
@value_to_sql.register(np.integer)
def _(value: int) -> str:
    if not INT64_MIN <= value <= UINT64_MAX:
        raise QueryError(f"{value} does not fit in 64 bits")
    # the sign is parsed apart from the digits, which alone don't fit
    return f"CAST('{value}' AS BIGINT)" if value == INT64_MIN else str(int(value))


@value_to_sql.register(float)
@value_to_sql.register(np.floating)
def _(value: float) -> str:
    number = float(value)
    return repr(number) if isfinite(number) else f"CAST('{number}' AS DOUBLE)"


@value_to_sql.register
def _(value: Decimal) -> str:
    if not value.is_finite():
        raise QueryError(f"{value} has no SQL literal; a decimal must be finite")
    _, digits, exponent = value.as_tuple()
    scale = max(0, -int(exponent))
    precision = max(len(digits) + max(0, int(exponent)), scale, 1)
    if precision > 38:
        raise QueryError(f"{value} has {precision} digits; decimals here have at most 38")
    return f"CAST('{value:f}' AS DECIMAL({precision},{scale}))"


@value_to_sql.register
def _(value: date) -> str:
    return f"DATE '{value.isoformat()}'"


@value_to_sql.register
def _(value: datetime) -> str:
    if value.tzinfo is None:
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    return _arrow_cast(value.astimezone(UTC).isoformat(), 'Timestamp(Microsecond, Some("UTC"))')


@value_to_sql.register
def _(value: time) -> str:
    return _arrow_cast(value.isoformat(), "Time64(Microsecond)")


@value_to_sql.register
def _(value: timedelta) -> str:
    return f"arrow_cast({value // timedelta(microseconds=1)}, 'Duration(Microsecond)')"


@value_to_sql.register
def _(value: UUID) -> str:
    return f"'{value}'"


@value_to_sql.register
def _(value: Enum) -> str:
    return value_to_sql(value.value)


@value_to_sql.register(list)
@value_to_sql.register(tuple)
def _(value: list[Any]) -> str:
    literals = ", ".join(value_to_sql(element) for element in value)
    # brackets take nothing but bare literals, all of one type
    return f"[{literals}]" if value and all(map(_is_bare, value)) else f"make_array({literals})"


def _is_bare(value: object) -> bool:
    """Whether the literal of *value* is a token and no call."""
    return (isinstance(value, str | int) and value != INT64_MIN) or (isinstance(value, float) and isfinite(value))


@value_to_sql.register
def _(value: Mapping) -> str:  # type: ignore[type-arg]  # singledispatch takes no parametrized type
    fields = ", ".join(f"{value_to_sql(str(name))}, {value_to_sql(field)}" for name, field in value.items())
    return f"named_struct({fields})"


@value_to_sql.register
def _(value: np.ndarray) -> str:
    return value_to_sql(value.tolist())


@value_to_sql.register
def _(value: np.datetime64) -> str:
    return value_to_sql(value.astype("datetime64[us]").item())


@value_to_sql.register
def _(value: np.timedelta64) -> str:
    return value_to_sql(value.astype("timedelta64[us]").item())


@value_to_sql.register
def _(value: pa.Scalar) -> str:
    return value_to_sql(value.as_py())


def _arrow_cast(text: str, arrow_type: str) -> str:
    return f"arrow_cast('{text}', '{arrow_type}')"
