"""What a notebook shows of images, sounds and rows."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars
import pyarrow as pa
import pytest

from lancelike.media import Audio, Image, show
from lancelike.pydantic import LanceModel
from tests.media.drawing import encoded, picture, sine, sound


class Item(LanceModel):
    name: str
    photo: Image
    clip: Audio | None = None


ROWS = [{"name": "a", "photo": encoded(picture(400)), "clip": sound()}]


@pytest.mark.parametrize(
    "rows",
    [ROWS, pa.Table.from_pylist(ROWS), polars.DataFrame(ROWS), polars.DataFrame(ROWS).to_pandas(), [Item(**ROWS[0])]],
    ids=["dicts", "arrow", "polars", "pandas", "models"],
)
def test_rows_have_thumbnails_and_players(rows: Any) -> None:
    page = show(rows)._repr_html_()
    [png] = re.findall('<img src="data:image/png;base64,([^"]+)"', page)
    assert PIL.Image.open(io.BytesIO(base64.b64decode(png))).size == (160, 160)
    assert page.count('<audio controls src="data:audio/wav;base64,') == 1
    assert "<td>a</td>" in page


def test_what_rows_say_is_escaped() -> None:
    hostile = "<script>alert(1)</script>"
    page = str(show([{hostile: hostile, "n": [hostile], "image": Image(hostile), "sound": Audio(hostile), "no": None}]))
    assert "<script" not in page
    assert page.count("&lt;script") == 5


def test_what_can_not_be_shown_is_said() -> None:
    page = str(show([{"photo": encoded(picture())[:100], "vector": [0.5] * 1000, "note": "x" * 1000}]))
    assert "broken or cut short" in page
    assert len(page) < 1500


def test_rows_beyond_the_limit_are_counted() -> None:
    assert "and 7 more" in str(show([{"n": n} for n in range(10)], limit=3))


def test_a_notebook_shows_pictures_and_sounds(tmp_path: Path) -> None:
    png = Image(np.asarray(picture(400)))._repr_png_()
    assert png is not None
    assert PIL.Image.open(io.BytesIO(png)).size == (160, 160)
    assert Audio(sine(), 8_000)._repr_html_().startswith("<audio controls")
    assert Image(tmp_path / "absent.png")._repr_png_() is None  # nothing is opened for it
    assert Image(encoded(picture())[:100])._repr_png_() is None
    assert "absent.png" in str(Image(tmp_path / "absent.png")._repr_html_())
    assert "absent.wav" in Audio(tmp_path / "absent.wav")._repr_html_()
