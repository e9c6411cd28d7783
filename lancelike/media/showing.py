"""Rows as a page for a notebook: images as thumbnails, sounds with players."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import SEEK_END, IOBase
from numbers import Number
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from lancelike.errors import MediaError
from lancelike.media import html
from lancelike.media.audio import Audio
from lancelike.media.html import SHOWN, THUMBNAIL_PIXELS
from lancelike.media.image import Image
from lancelike.media.sources import looks_like_source
from lancelike.media.values import Media, as_media, read_media

MOST_ROWS = 50
MOST_PAGE_BYTES = 16 << 20
"""Of the pictures and sounds in one page; those beyond it are named."""
_FETCHED_AT_ONCE = 16
_FIRST_NUMBERS = 4
_LONGEST_NUMBERS = 8
_MOST_WITHIN = 20
"""Items of a list with images or sounds that are shown in one cell."""
_BLOB_KEYS = frozenset({"blob_id", "size"})
"""Of a dict in which Lance says where it keeps a blob."""


class Shown:
    """Rows that a notebook shows as a table; `str` of it is the HTML."""

    def __init__(self, rows: Sequence[Mapping[Any, Any]], left_out: int, pixels: int, fetch: bool) -> None:
        self._rows, self._left_out, self._pixels, self._fetch = rows, left_out, pixels, fetch

    def __str__(self) -> str:
        return self._repr_html_()

    def _repr_html_(self) -> str:
        return html.safely(self._page)

    def _page(self) -> str:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        cells = _Cells(self._pixels, _fetched(self._rows) if self._fetch else {})
        more = f"<p>and {self._left_out} more</p>" if self._left_out else ""
        return html.table(map(str, names), ([cells.of(row.get(name)) for name in names] for row in self._rows)) + more


class ShownRow(Shown):
    """One row that a notebook shows as a table with a line for each of its columns."""

    def _page(self) -> str:
        cells = _Cells(self._pixels, _fetched(self._rows) if self._fetch else {})
        return html.table((), ([html.plain(str(name)), cells.of(v)] for row in self._rows for name, v in row.items()))


def show(rows: Any, *, limit: int = MOST_ROWS, pixels: int = THUMBNAIL_PIXELS, fetch: bool = False) -> Shown:
    """*rows* as a notebook shows them best: images as thumbnails, sounds with players, long values cut.

    Args:
        rows: What a search gives: a list of dicts or of models, an Arrow table, a pandas or polars frame; or one row.
        limit: Most rows shown.
        pixels: Width and height of a thumbnail at most.
        fetch: Whether what paths and URLs lead to is shown, read when the page is made, a few seconds each, from
            anywhere but this machine's network; otherwise none is opened.

    Returns:
        An object with `_repr_html_`. What the rows say is escaped; what can't be shown says why. Pictures and sounds of
        more than 16 MB in all are named only.
    """
    if isinstance(rows, Mapping | BaseModel):
        return ShownRow([_row(rows)], 0, pixels, fetch)
    listed, count = _listed(rows, limit)
    return Shown(listed, max(0, count - limit), pixels, fetch)


def _listed(rows: Any, limit: int) -> tuple[list[Mapping[Any, Any]], int]:
    """The first *limit* of *rows*, and how many there are."""
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return list(rows.slice(0, limit).to_pylist()), rows.num_rows
    if hasattr(rows, "to_dicts"):  # polars
        return list(rows.head(limit).to_dicts()), len(rows)
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # pandas
        return list(rows.head(limit).to_dict("records")), len(rows)
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        return [_row(rows)], 1
    given = rows if isinstance(rows, Sequence) else list(rows)
    return [_row(row) for row in given[:limit]], len(given)


def _row(row: Any) -> Mapping[Any, Any]:
    if isinstance(row, BaseModel):
        return {name: getattr(row, name) for name in type(row).model_fields} | (row.__pydantic_extra__ or {})
    return row if isinstance(row, Mapping) else {"value": row}


class _Cells:
    """Cells of one page, and how much more it takes."""

    def __init__(self, pixels: int, fetched: Mapping[str, Media | MediaError]) -> None:
        self._pixels, self._fetched = pixels, fetched
        self._left = MOST_PAGE_BYTES

    def of(self, value: Any) -> str:
        """*value* as HTML."""
        return html.safely(lambda: self._of(value))

    def _of(self, value: Any) -> str:
        media = self._media(value)
        if isinstance(media, MediaError):
            raise media
        if media is None:
            return self._without_media(value)
        if self._left <= 0:
            return html.code(repr(media))
        shown = media.to_html(self._pixels) if isinstance(media, Image) else media.to_html()
        self._left -= len(shown)
        return shown

    def _without_media(self, value: Any) -> str:
        """*value*, which is no image or sound, but may have some within."""
        if isinstance(value, Mapping) and _is_stored(value):
            return html.code(f"{value['size']:,} bytes, stored as a blob")
        if _has_media(value):
            return "<br>".join(f"{html.plain(name)}{self.of(each)}" for name, each in _within(value))
        numbers = _numbers(value)
        return html.plain(value) if numbers is None else html.unbroken(numbers)

    def _media(self, value: Any) -> Media | MediaError | None:
        fetched = self._fetched.get(_where(value) or "")
        return as_media(_content(value)) if fetched is None else fetched


def _within(value: Any) -> list[tuple[str, Any]]:
    """What is in a dict, model or list, the first of it, with what goes before each."""
    if isinstance(value, Mapping | BaseModel):
        return [(f"{name}: ", each) for name, each in _row(value).items()]
    return [("", each) for each in value[:_MOST_WITHIN]] if isinstance(value, list | tuple) else []


def _has_media(value: Any) -> bool:
    """Whether there are images, sounds or blobs in a dict, model or list."""
    return any(_is_stored(each) or as_media(each) is not None or _has_media(each) for _, each in _within(value))


def _is_stored(value: Any) -> bool:
    """Whether *value* is a blob as frames and tables have it: a file, or where it is kept."""
    return isinstance(value, IOBase) or (isinstance(value, Mapping) and value.keys() >= _BLOB_KEYS)


def _content(value: Any) -> Any:
    """What is in *value*, if that is a file that is not too large to be shown; it is left where it stands."""
    if not isinstance(value, IOBase) or value.closed or not value.seekable():
        return value
    stands = value.tell()
    try:
        if value.seek(0, SEEK_END) > SHOWN.max_bytes:
            return value
        value.seek(0)
        return value.read()
    finally:
        value.seek(stands)


def _numbers(value: Any) -> str | None:
    """A number in few digits, and a vector by its first; None of anything else, and of what is short."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, list | tuple | np.ndarray) or len(value) <= _LONGEST_NUMBERS:
        return None
    first = value[:_FIRST_NUMBERS]
    if not all(isinstance(number, Number) for number in first):
        return None
    return f"[{', '.join(f'{number:.4g}' for number in first)}, … {len(value)} numbers]"


def _where(value: Any) -> str | None:
    """The path or URL that *value* is, by its type or its form."""
    if isinstance(value, Image | Audio):
        return value.uri
    return value if isinstance(value, str) and looks_like_source(value) else None


def _fetched(rows: Iterable[Mapping[Any, Any]]) -> dict[str, Media | MediaError]:
    """What the paths and URLs in *rows* lead to, or why that can't be had."""

    def read(where: str) -> Media | MediaError:
        try:
            return read_media(where, SHOWN)
        except MediaError as error:
            return error

    sources = list(dict.fromkeys(where for row in rows for value in row.values() if (where := _where(value))))
    if not sources:
        return {}
    with ThreadPoolExecutor(_FETCHED_AT_ONCE, thread_name_prefix="lancelike-load") as pool:
        return dict(zip(sources, pool.map(read, sources), strict=True))
