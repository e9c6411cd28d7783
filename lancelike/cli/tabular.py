"""Rows as aligned plain text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GAP = "  "


def terminal_width() -> int:
    """Return the columns of the terminal; where there is none, as in a pipe, so many that nothing is cut."""
    if not sys.stdout.isatty():
        return sys.maxsize
    return shutil.get_terminal_size((120, 24)).columns


def aligned(rows: Sequence[Mapping[str, Any]], width: int, indent: str = "") -> Iterator[str]:
    """Yield a line of headings and one line per row, none longer than *width* where that leaves a column 8 characters.

    The first row says which columns there are. What is too long is cut, the widest columns first.
    """
    if not rows:
        return
    names = list(rows[0])
    table = [names, *([one_line(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    limit = widest_that_fits(widths, width - len(indent) - len(GAP) * (len(widths) - 1))
    for line in table:
        cells = (cut(cell, limit).ljust(min(wide, limit)) for cell, wide in zip(line, widths, strict=True))
        yield f"{indent}{GAP.join(cells)}".rstrip()


def one_line(value: object) -> str:
    """Return *value* as text: floats with four decimals, None as nothing, all whitespace as single spaces."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())


def widest_that_fits(widths: Sequence[int], total: int) -> int:
    """Return the greatest limit on each width, at least 8, under which they sum to at most *total*."""
    limits = range(max(widths), 8, -1)
    return next((limit for limit in limits if sum(min(wide, limit) for wide in widths) <= total), 8)


def cut(text: str, width: int) -> str:
    """Return *text*, its end replaced by … where it is longer than *width*."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"
