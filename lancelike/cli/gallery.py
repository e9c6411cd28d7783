"""The demo of pictures: draw some, put them into a table that embeds them, and search it by text and by picture.

It is also an example of the whole job: a column of files, an `open-clip` function, a text or a picture to search by.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lancelike
from lancelike.cli.drawings import Drawing, draw, every_drawing
from lancelike.cli.sheet import Answered, contact_sheet
from lancelike.cli.steps import step
from lancelike.embeddings import EmbeddingFunction, get_registry
from lancelike.media import Image
from lancelike.pydantic import LanceModel, Vector

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

TABLE = "pictures"
SHEET = "contact-sheet.png"
TINY_MODEL = Path(lancelike.__file__).parents[1] / "tests" / "models" / "tiny-clip"
"""Of a checkout: no part of an installed package."""
SIDE = 160
ANSWERS = 6
SEED = 7
PACKAGED_PICTURES = {"sklearn": "datasets/images", "skimage": "data", "matplotlib": "mpl-data/sample_data"}
"""Packages that bring photographs, and where in them they are."""
TEXTS = (
    "a red star",
    "a photo of a blue ring",
    "a yellow triangle on the left",
    "a white cross at the top",
    "purple",
    "a picture of a circle",
)
EXAMPLES = (
    Drawing("green", "square", "middle"),
    Drawing("orange", "star", "bottom"),
    Drawing("black", "ring", "right"),
)
"""What pictures to search by show; they are drawn for that, and none of them is in the table."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture's file and what it shows."""

    file: Path
    caption: str


def demonstrate(directory: str, model: str | None = None) -> None:
    """Make the pictures and the table in *directory*, search it, and write the contact sheet there."""
    print("Searching pictures by text and by picture\n")
    folder = Path(directory)
    with step("load the model") as say:
        clip = load_model(model)
        say(f"{clip.ndims()} dimensions")
    with step("draw pictures") as say:
        pictures = [*draw_all(folder / "pictures"), *packaged_pictures()]
        say(f"{len(pictures)}, with {sum(each.caption.startswith('from ') for each in pictures)} of installed packages")
    with step("embed them") as say:
        table = fill(folder, clip, pictures)
        say(f"{len(table)} rows")
    with step("search") as say:
        answered = [*(ask(table, text, text) for text in TEXTS), *asked_by_picture(table)]
        say(f"{len(TEXTS)} texts, {len(EXAMPLES)} pictures")
    contact_sheet(answered).save(folder / SHEET)
    for each in answered:
        print(f"\n{each.title}\n  {', '.join(caption for _, caption in each.found)}")
    print(f"\nLook at them:  {folder / SHEET}")


def load_model(name: str | None) -> EmbeddingFunction:
    """Return the `open-clip` function of a folder or a model's name; None for the checkout's own.

    Raises:
        SystemExit: This is no checkout.
    """
    if name is None and not TINY_MODEL.is_dir():
        raise SystemExit("lancelike: this is no checkout, which has a small model for the demo; give --model")
    return get_registry().get("open-clip").create(name=name or str(TINY_MODEL))


def draw_all(folder: Path) -> Iterator[Shown]:
    """Draw a picture of everything into a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    for i, drawing in enumerate(every_drawing()):
        file = folder / f"{i:03}-{drawing.colour}-{drawing.shape}-{drawing.place}.jpg"
        draw(drawing, rng, SIDE).save(file, quality=90)
        yield Shown(file, drawing.caption)


def packaged_pictures() -> Iterator[Shown]:
    """Find the photographs that installed packages bring."""
    for package, place in PACKAGED_PICTURES.items():
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted((Path(folder) / place).glob("*.jpg")):
                yield Shown(file, f"from {package}: {file.stem}")


def fill(folder: Path, clip: EmbeddingFunction, pictures: list[Shown]) -> lancelike.Table:
    """Make the table anew and add a row for each picture; adding reads the files and embeds."""

    class Picture(LanceModel):
        """One picture; its vector is made from what is in the file."""

        file: str = clip.SourceField()
        caption: str
        vector: Vector(clip.ndims()) = clip.VectorField()  # type: ignore[valid-type]  # made by a call

    table = lancelike.connect(folder / "database").create_table(TABLE, schema=Picture, mode="overwrite")
    table.add([{"file": str(each.file.resolve()), "caption": each.caption} for each in pictures])
    return table


def asked_by_picture(table: lancelike.Table) -> Iterator[Answered]:
    """Draw each of the examples and search by it."""
    rng = random.Random(SEED + 1)
    for example in EXAMPLES:
        picture = draw(example, rng, SIDE)
        yield ask(table, picture, f"like this {example.kind}", picture)


def ask(table: lancelike.Table, query: Any, title: str, picture: PILImage | None = None) -> Answered:
    """Search by a text or a picture."""
    rows = table.search(query).limit(ANSWERS).to_list()
    return Answered(title, picture, [(Image(row["file"]).pil(), row["caption"]) for row in rows])
