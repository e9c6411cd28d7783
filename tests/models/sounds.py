"""Sounds made on the spot, and the words for them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE = 48_000
WAVES = ("sine", "noise", "buzz")
PITCHES = {"low": (300, 450), "high": (1800, 2800)}
PATTERNS = ("steady", "pulsing", "rising", "falling")


@dataclass(frozen=True, slots=True)
class Sound:
    """What is heard."""

    wave: str
    pitch: str
    pattern: str

    @property
    def caption(self) -> str:
        """As in "a low pulsing buzz sound"."""
        return f"a {self.pitch} {self.pattern} {self.wave} sound"


def every_sound() -> Iterator[Sound]:
    """Each once; noise has no height that could rise or fall."""
    every = (Sound(wave, pitch, pattern) for wave in WAVES for pitch in PITCHES for pattern in PATTERNS)
    return (each for each in every if each.wave != "noise" or each.pattern in ("steady", "pulsing"))


def synthesize(sound: Sound, rng: random.Random, seconds: float = 1.0) -> NDArray[np.float32]:
    """Mono samples in -1..1; height, loudness and pulse are chosen by *rng*, and there is some noise."""
    n = int(SAMPLING_RATE * seconds)
    height = rng.uniform(*PITCHES[sound.pitch])
    glide = {"rising": (0.5, 2.0), "falling": (2.0, 0.5)}.get(sound.pattern, (1.0, 1.0))
    phase = 2 * np.pi * np.cumsum(height * np.linspace(*glide, n)) / SAMPLING_RATE
    samples = _wave(sound.wave, phase, height, rng)
    if sound.pattern == "pulsing":
        seconds_in = np.arange(n) / SAMPLING_RATE
        samples = samples * (np.sin(2 * np.pi * rng.uniform(4, 7) * seconds_in + rng.uniform(0, 6)) > 0)
    hiss = np.random.default_rng(rng.getrandbits(32)).normal(0, 0.003, n)
    return (samples * rng.uniform(0.25, 0.8) + hiss).astype(np.float32)


def _wave(wave: str, phase: NDArray[np.float64], height: float, rng: random.Random) -> NDArray[np.float64]:
    if wave == "sine":
        return np.sin(phase)
    if wave == "buzz":
        tones = [np.sin(overtone * phase) / overtone**0.5 for overtone in range(1, 9)]
        buzz: NDArray[np.float64] = np.sum(tones, axis=0) * 0.4
        return buzz
    spectrum = np.fft.rfft(np.random.default_rng(rng.getrandbits(32)).normal(size=len(phase)))
    frequency = np.fft.rfftfreq(len(phase), 1 / SAMPLING_RATE)
    spectrum[(frequency < height / 2) | (frequency > height * 2)] = 0
    noise = np.fft.irfft(spectrum, len(phase))
    loudest: NDArray[np.float64] = noise / np.abs(noise).max()
    return loudest
