"""A contact sheet: a row of thumbnails for each question, beneath each what it shows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lancelike._optional import require

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 112
GAP = 16
CAPTION_HEIGHT = 34
QUESTION_WIDTH = 190
FONT_SIZE = 12
CHARACTERS = {"question": 24, "caption": 18}
"""Most in a line."""
PAPER, INK, FAINT = "white", (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, the picture it was asked by, if it was, and what was found: pictures and their captions, in order."""

    title: str
    picture: Image | None
    found: Sequence[tuple[Image, str]]


def contact_sheet(answered: Sequence[Answered]) -> Image:
    """Draw all questions, one row each, the nearest answer first."""
    images = require("PIL.Image", extra="images", needed_by="a contact sheet")
    brushes = require("PIL.ImageDraw", extra="images", needed_by="a contact sheet")
    fonts = require("PIL.ImageFont", extra="images", needed_by="a contact sheet")
    columns = max((len(each.found) for each in answered), default=0)
    row_height = THUMBNAIL + CAPTION_HEIGHT + GAP
    width = QUESTION_WIDTH + columns * (THUMBNAIL + GAP) + GAP
    sheet: Image = images.new("RGB", (width, len(answered) * row_height + GAP), PAPER)
    brush, font = brushes.Draw(sheet), fonts.load_default(FONT_SIZE)
    for number, each in enumerate(answered):
        top = GAP + number * row_height
        _put_question(sheet, brush, font, each, top)
        for place, (picture, caption) in enumerate(each.found):
            left = QUESTION_WIDTH + place * (THUMBNAIL + GAP)
            _put(sheet, picture, left, top, THUMBNAIL)
            brush.text((left, top + THUMBNAIL + 3), _wrapped(caption, "caption"), FAINT, font)
    return sheet


def _put_question(sheet: Image, brush: Any, font: Any, answered: Answered, top: int) -> None:
    brush.text((GAP, top), _wrapped(answered.title, "question"), INK, font)
    if answered.picture is not None:
        _put(sheet, answered.picture, GAP, top + CAPTION_HEIGHT + GAP // 2, THUMBNAIL - CAPTION_HEIGHT // 2)


def _put(sheet: Image, picture: Image, left: int, top: int, side: int) -> None:
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    sheet.paste(small, (left, top))


def _wrapped(text: str, kind: str) -> str:
    return textwrap.fill(text, CHARACTERS[kind])
