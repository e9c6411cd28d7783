"""Filters that compare one column with one value: `id = 7`, `name >= 'x'`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]

_COMPARISON = re.compile(
    r"\s*(?:(?P<bare>[A-Za-z_]\w*)|`(?P<quoted>[^`]+)`)\s*(?P<operator>=|!=|<>|<=|>=|<|>)\s*"
    r"(?P<value>-?\d+|'(?:[^']|'')*')\s*",
    re.ASCII,
)
_READ_OTHERWISE = frozenset(
    ["current_date", "current_time", "current_timestamp", "exists", "false", "interval", "null", "trim", "true"]
)
"""Words that Lance's SQL takes for something else than a column of that name; none of its other keywords."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows in which *column* compares so with *value*; null does with nothing."""

    column: str
    operator: Operator
    value: int | str


_QUOTED = re.compile(r"'(?:[^']|'')*'|`[^`]*`|\"[^\"]*\"")
_CALL = re.compile(
    r"\b(?!(?:and|or|not|in|between|like|ilike|is|when|then|else|case)\b)[A-Za-z_]\w*\s*\(", re.IGNORECASE
)
_CLOCK = re.compile(r"\b(?:current_\w+|local_?time\w*|now|today)\b", re.IGNORECASE)


def is_fixed(condition: str) -> bool:
    """Whether *condition*, SQL text, leaves the same rows of a version whenever it is asked: it calls no function."""
    bare = _QUOTED.sub(" x ", condition)
    return _CALL.search(bare) is None and _CLOCK.search(bare) is None


def comparison_of(condition: str) -> Comparison | None:
    """What *condition*, SQL text, asks for if it compares a column with an integer or a text; else None."""
    if condition.startswith("(") and condition.endswith(")"):
        condition = condition[1:-1]
    found = _COMPARISON.fullmatch(condition)
    if found is None or (found["bare"] or "").lower() in _READ_OTHERWISE:
        return None
    literal, operator = found["value"], found["operator"].replace("<>", "!=")
    value = literal[1:-1].replace("''", "'") if literal[0] == "'" else int(literal)
    return Comparison(found["bare"] or found["quoted"], cast("Operator", operator), value)
