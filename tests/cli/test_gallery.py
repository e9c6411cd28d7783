"""The demo of pictures, with the model of the checkout."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

import lancelike
from lancelike.cli import gallery, main
from lancelike.cli.sheet import Answered, contact_sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert main(["demo-images", "--dir", str(folder)]) == 0
    return folder


@pytest.fixture
def table(folder: Path) -> lancelike.Table:
    return lancelike.connect(folder / "database").open_table(gallery.TABLE)


def test_every_picture_is_a_row(table: lancelike.Table, folder: Path) -> None:
    assert len(table) >= len(list((folder / "pictures").iterdir())) == 240
    assert table.count_rows("vector IS NULL") == 0


@pytest.mark.parametrize("text", gallery.TEXTS)
def test_the_first_answer_is_right(table: lancelike.Table, text: str) -> None:
    """What the text says of colour, shape and place, the picture shows."""
    (caption,) = (row["caption"] for row in table.search(text).limit(1).to_list())
    telling = set(text.split()) - {"a", "photo", "picture", "of"}
    assert telling <= set(caption.split())


def test_a_picture_finds_others_of_the_same(table: lancelike.Table) -> None:
    for example, asked in zip(gallery.EXAMPLES, gallery.asked_by_picture(table), strict=True):
        assert example.kind in asked.found[0][1]


def test_the_sheet_has_a_row_for_each_question(folder: Path) -> None:
    with PIL.Image.open(folder / gallery.SHEET) as sheet:
        assert sheet.format == "PNG"
        width, height = sheet.size
    questions = len(gallery.TEXTS) + len(gallery.EXAMPLES)
    assert height // questions > 100
    assert width // gallery.ANSWERS > 100


def test_a_thumbnail_is_the_picture() -> None:
    picture = PIL.Image.new("RGB", (300, 200), (200, 10, 10))
    sheet = contact_sheet([Answered("reds", None, [(picture, "a red field")])])
    assert (200, 10, 10) in {colour for _, colour in sheet.getcolors(1 << 20) or ()}


def test_without_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gallery, "TINY_MODEL", tmp_path / "none")
    with pytest.raises(SystemExit, match="give --model"):
        gallery.load_model(None)


def test_a_second_run_begins_anew(folder: Path) -> None:
    before = len(lancelike.connect(folder / "database").open_table(gallery.TABLE))
    assert main(["demo-images", "--dir", str(folder)]) == 0
    assert len(lancelike.connect(folder / "database").open_table(gallery.TABLE)) == before
