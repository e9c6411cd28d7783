"""Rows as a page for a notebook: images as thumbnails, sounds with players."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from lancelike.errors import MediaError, shorten
from lancelike.media.audio import Audio
from lancelike.media.image import Image
from lancelike.media.values import as_media

_MOST_ROWS = 50
_LONGEST_TEXT = 200
_THUMBNAIL_PIXELS = 160


class Shown:
    """Rows that a notebook shows as a table; `str` of it is the HTML."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], left_out: int) -> None:
        self._rows, self._left_out = rows, left_out

    def __str__(self) -> str:
        return self._repr_html_()

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in names)
        body = "".join(_line(row.get(name) for name in names) for row in self._rows)
        more = f"<p>and {self._left_out} more</p>" if self._left_out else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def show(rows: Any, *, limit: int = _MOST_ROWS) -> Shown:
    """*rows* as a notebook shows them best: images as thumbnails, sounds with players, long values cut.

    Args:
        rows: What a search gives: a list of dicts or of models, an Arrow table, a pandas or polars frame.
        limit: Most rows shown.

    Returns:
        An object with `_repr_html_`. What the rows say is escaped, and no path or URL in them is opened.
    """
    listed = _listed(rows)
    return Shown(listed[:limit], max(0, len(listed) - limit))


def _listed(rows: Any) -> list[Mapping[str, Any]]:
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return list(rows.to_pylist())
    if hasattr(rows, "to_dicts"):  # polars
        return list(rows.to_dicts())
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # pandas
        return list(rows.to_dict("records"))
    return [_row(row) for row in rows] if isinstance(rows, Iterable) else [_row(rows)]


def _row(row: Any) -> Mapping[str, Any]:
    if isinstance(row, BaseModel):
        return {name: getattr(row, name) for name in type(row).model_fields}
    return row if isinstance(row, Mapping) else {"value": row}


def _line(values: Iterable[Any]) -> str:
    return f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in values)}</tr>"


def _cell(value: Any) -> str:
    media = None if isinstance(value, str) else as_media(value)
    try:
        if isinstance(media, Image) and media.uri is None:
            png = base64.b64encode(media.thumbnail(_THUMBNAIL_PIXELS)).decode()
            return f'<img src="data:image/png;base64,{png}">'
        if isinstance(media, Audio):
            return media._repr_html_()
    except MediaError as error:
        return f"<code>{html.escape(shorten(str(error), _LONGEST_TEXT))}</code>"
    text = value if isinstance(value, str) else shorten(value, _LONGEST_TEXT)
    return html.escape(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…")
