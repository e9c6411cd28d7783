"""What the tiny CLIP knows, of pictures it was not trained on, through open_clip alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.cli.drawings import COLOURS, SHAPES, Drawing, draw, every_drawing

FOLDER = Path(__file__).parent / "tiny-clip"
KINDS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
HELD_OUT = 12345
"""Seed; the one of the training is another."""


class Collection(NamedTuple):
    drawings: list[Drawing]
    vectors: NDArray[np.float32]


class TinyClip(NamedTuple):
    model: Any
    preprocess: Any
    tokenizer: Any

    def images(self, images: list[Any]) -> NDArray[np.float32]:
        torch = require("torch", extra="open-clip", needed_by="the test")
        with torch.no_grad():
            pixels = torch.stack([self.preprocess(image) for image in images])
            return np.asarray(self.model.encode_image(pixels, normalize=True))

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        torch = require("torch", extra="open-clip", needed_by="the test")
        with torch.no_grad():
            return np.asarray(self.model.encode_text(self.tokenizer(texts), normalize=True))


@pytest.fixture(scope="module")
def clip() -> TinyClip:
    open_clip = require("open_clip", extra="open-clip", needed_by="the test")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    return TinyClip(model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{FOLDER}"))


@pytest.fixture(scope="module")
def collection(clip: TinyClip) -> Collection:
    """Two pictures of everything, as large as those that people have."""
    rng = random.Random(HELD_OUT)
    drawings = [each for each in every_drawing() for _ in range(2)]
    return Collection(drawings, clip.images([draw(each, rng, side=96) for each in drawings]))


def test_a_text_finds_a_picture_of_it(clip: TinyClip, collection: Collection) -> None:
    found = (clip.texts([f"a picture of a {kind}" for kind in KINDS]) @ collection.vectors.T).argmax(1)
    right = [collection.drawings[i].kind == kind for i, kind in zip(found, KINDS, strict=True)]
    assert np.mean(right) >= 0.95


def test_a_text_ranks_all_pictures_of_it_first(clip: TinyClip, collection: Collection) -> None:
    similar = clip.texts([f"a {kind}" for kind in KINDS]) @ collection.vectors.T
    first = np.argsort(-similar, axis=1)[:, :10]
    right = [[collection.drawings[i].kind == kind for i in row] for row, kind in zip(first, KINDS, strict=True)]
    assert np.mean(right) >= 0.9


def test_a_picture_finds_its_words(clip: TinyClip, collection: Collection) -> None:
    found = (collection.vectors @ clip.texts([f"a {kind}" for kind in KINDS]).T).argmax(1)
    right = [KINDS[i] == drawing.kind for i, drawing in zip(found, collection.drawings, strict=True)]
    assert np.mean(right) >= 0.9


def test_a_picture_finds_others_of_the_same(collection: Collection) -> None:
    similar = collection.vectors @ collection.vectors.T
    np.fill_diagonal(similar, -1)
    right = [a.kind == collection.drawings[i].kind for a, i in zip(collection.drawings, similar.argmax(1), strict=True)]
    assert np.mean(right) >= 0.9


def test_a_caption_tells_places_apart(clip: TinyClip, collection: Collection) -> None:
    captions = sorted({each.caption for each in collection.drawings})
    found = (clip.texts(captions) @ collection.vectors.T).argmax(1)
    right = [collection.drawings[i].caption == caption for i, caption in zip(found, captions, strict=True)]
    assert np.mean(right) >= 0.9


def test_words_never_learned_tell_nothing(clip: TinyClip, collection: Collection) -> None:
    found = (clip.texts([f"find me the {kind} please" for kind in KINDS]) @ collection.vectors.T).argmax(1)
    right = [collection.drawings[i].kind == kind for i, kind in zip(found, KINDS, strict=True)]
    assert np.mean(right) >= 0.9


def test_its_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
