"""Sounds and texts through a small CLAP that was trained on made sounds."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import lancelike
from lancelike.embeddings import get_registry
from lancelike.embeddings.providers.clap import ClapEmbeddings
from lancelike.errors import EmbeddingError, EmbeddingFunctionUnavailable
from lancelike.media import Audio
from lancelike.pydantic import LanceModel, Vector
from lancelike.testing import EmbeddingFunctionContract
from tests.embeddings.local.tiny_towers import embed
from tests.models.sounds import SAMPLING_RATE, every_sound, synthesize

FOLDER = Path(__file__).parents[2] / "models" / "tiny-clap"
SOUNDS = list(every_sound())
OF_EACH = 3
SEED = 2026


def tiny(**settings: Any) -> ClapEmbeddings:
    return ClapEmbeddings.create(**{"name": str(FOLDER), **settings})


def encoded(samples: Any, kind: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLING_RATE, format=kind)
    return file.getvalue()


def vector(function: ClapEmbeddings, value: Any) -> Any:
    (made,) = embed(function, [value])
    return made


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> lancelike.Table:
    """Sounds as FLAC, embedded, none of which the model has heard; and their captions, embedded as texts."""
    clap = get_registry().get("clap").create(name=str(FOLDER))

    class Recording(LanceModel):
        caption: str = clap.SourceField()
        sound: bytes = clap.SourceField()
        sound_vector: Vector(32) = clap.VectorField(source="sound")  # type: ignore[valid-type]  # made by a call
        caption_vector: Vector(32) = clap.VectorField(source="caption")  # type: ignore[valid-type]

    rng = random.Random(SEED)
    rows = [
        {"caption": sound.caption, "sound": encoded(synthesize(sound, rng))} for sound in SOUNDS for _ in range(OF_EACH)
    ]
    table = lancelike.connect(tmp_path_factory.mktemp("sounds")).create_table("recordings", schema=Recording)
    table.add(rows)
    return table


def first(table: lancelike.Table, query: Any, column: str = "sound_vector") -> str:
    return str(table.search(query, vector_column_name=column).limit(1).to_list()[0]["caption"])


def test_a_text_finds_a_sound(recordings: lancelike.Table) -> None:
    right = [first(recordings, sound.caption) == sound.caption for sound in SOUNDS]
    assert np.mean(right) >= 0.9


def test_a_sound_finds_words(recordings: lancelike.Table) -> None:
    rng = random.Random(SEED + 1)
    right = [first(recordings, encoded(synthesize(s, rng), "WAV"), "caption_vector") == s.caption for s in SOUNDS]
    assert np.mean(right) >= 0.9


def test_a_sound_finds_others_of_the_same(recordings: lancelike.Table) -> None:
    rng = random.Random(SEED + 2)
    right = [first(recordings, Audio((synthesize(s, rng), SAMPLING_RATE))) == s.caption for s in SOUNDS]
    assert np.mean(right) >= 0.9


def test_another_sampling_rate_is_the_same_sound(recordings: lancelike.Table) -> None:
    rng = random.Random(SEED + 3)
    halved = [(synthesize(sound, rng)[::2], SAMPLING_RATE // 2) for sound in SOUNDS if sound.wave == "sine"]
    captions = [sound.caption for sound in SOUNDS if sound.wave == "sine"]
    assert np.mean([first(recordings, Audio(s)) == c for s, c in zip(halved, captions, strict=True)]) >= 0.9


def test_a_long_sound_is_refused() -> None:
    """The tiny model hears one second at once."""
    with pytest.raises(EmbeddingError, match=r"a sound of 2\.5 s, and .* hears 1 s at once"):
        vector(tiny(), Audio((long_sound(), SAMPLING_RATE)))


def test_a_long_sound_is_cut() -> None:
    long = long_sound()
    cut = vector(tiny(on_long="truncate"), Audio((long, SAMPLING_RATE)))
    np.testing.assert_allclose(cut, vector(tiny(), Audio((long[:SAMPLING_RATE], SAMPLING_RATE))), atol=1e-5)


def test_a_long_sound_is_averaged() -> None:
    """Of its windows each counts by its length; beside another, each keeps its own."""
    long, rate = long_sound(), SAMPLING_RATE
    windows = [vector(tiny(), Audio((long[start : start + rate], rate))) for start in range(0, len(long), rate)]
    mean = np.average(windows, axis=0, weights=[1, 1, 0.5])
    short = Audio((long[:rate], rate))
    made = embed(tiny(on_long="mean", batch_size=2), [short, Audio((long, rate)), short])
    np.testing.assert_allclose(made[1], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(made[0], windows[0], atol=1e-5)
    np.testing.assert_allclose(made[2], windows[0], atol=1e-5)


def test_another_rate_than_the_models_is_refused() -> None:
    with pytest.raises(lancelike.LancelikeError, match="takes 48000 samples a second"):
        vector(tiny(sampling_rate=16_000), Audio((long_sound()[:SAMPLING_RATE], SAMPLING_RATE)))


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(EmbeddingFunctionUnavailable, match="'laion/clap-htsat-unfused' can't be loaded"):
        ClapEmbeddings.create().ndims()


def long_sound() -> Any:
    return synthesize(SOUNDS[0], random.Random(5), seconds=2.5)


class TestContract(EmbeddingFunctionContract):
    texts = tuple(sound.caption for sound in SOUNDS[:3])
    long_text = "one word after another " * 500

    def make_function(self) -> ClapEmbeddings:
        return tiny(on_long="mean")
