"""How much a run measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes and repetitions of one run, and the folder for what it writes."""

    folder: Path
    search_rows: tuple[int, ...]
    queries: int
    passes: int
    add_rows: int
    add_passes: int
    stream_rows: tuple[int, int]
    texts: int
    text_passes: int


def full(folder: Path) -> Scale:
    return Scale(folder, (10_000, 100_000), 100, 5, 100_000, 9, (100_000, 400_000), 2_000, 3)


def quick(folder: Path) -> Scale:
    return Scale(folder, (10_000,), 50, 3, 20_000, 5, (20_000, 80_000), 200, 2)
