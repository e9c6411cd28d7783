"""What the tiny CLAP knows, of sounds it was not trained on, through transformers alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from lancelike._optional import require
from tests.models.sounds import SAMPLING_RATE, every_sound, synthesize

FOLDER = Path(__file__).parent / "tiny-clap"
SOUNDS = list(every_sound())
OF_EACH = 6
HELD_OUT = 99
"""Seed; the one of the training is another."""


class Heard(NamedTuple):
    texts: NDArray[np.float32]
    sounds: NDArray[np.float32]


@pytest.fixture(scope="module")
def heard() -> Heard:
    """The vectors of each caption, and of `OF_EACH` sounds for each, in their order."""
    transformers = require("transformers", extra="clap", needed_by="the test")
    torch = require("torch", extra="clap", needed_by="the test")
    model = transformers.ClapModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    processor = transformers.ClapProcessor.from_pretrained(FOLDER)
    rng = random.Random(HELD_OUT)
    sounds = [synthesize(sound, rng) for sound in SOUNDS for _ in range(OF_EACH)]
    with torch.no_grad():
        tokens = processor.tokenizer([sound.caption for sound in SOUNDS], return_tensors="pt", padding=True)
        texts = model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        audio = model.get_audio_features(
            **processor.feature_extractor(sounds, sampling_rate=SAMPLING_RATE, return_tensors="pt")
        )
    return Heard(unit(texts), unit(audio))


def unit(features: Any) -> NDArray[np.float32]:
    vectors = np.asarray(getattr(features, "pooler_output", features))
    of_length_one: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return of_length_one


def test_a_text_finds_a_sound_of_it(heard: Heard) -> None:
    found = (heard.texts @ heard.sounds.T).argmax(1) // OF_EACH
    assert np.mean(found == np.arange(len(SOUNDS))) >= 0.9


def test_a_sound_finds_its_words(heard: Heard) -> None:
    found = (heard.sounds @ heard.texts.T).argmax(1)
    assert np.mean(found == np.arange(len(heard.sounds)) // OF_EACH) >= 0.9


def test_a_sound_finds_others_of_the_same(heard: Heard) -> None:
    similar = heard.sounds @ heard.sounds.T
    np.fill_diagonal(similar, -1)
    assert np.mean(similar.argmax(1) // OF_EACH == np.arange(len(heard.sounds)) // OF_EACH) >= 0.9


def test_its_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 600_000
