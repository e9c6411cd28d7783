"""How much a run measures."""

from __future__ import annotations

import shutil
import tempfile
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
    stream_passes: int
    texts: int
    text_passes: int
    documented: int
    lifecycle_rows: int
    unchanged_rows: int


def full(folder: Path) -> Scale:
    return Scale(folder, (10_000, 100_000), 100, 5, 100_000, 15, (100_000, 400_000), 3, 2_000, 3, 400, 20_000, 100_000)


def quick(folder: Path) -> Scale:
    return Scale(folder, (10_000,), 50, 3, 20_000, 5, (100_000, 200_000), 1, 100, 2, 60, 2_000, 20_000)


def fresh_folder(parent: Path) -> Path:
    """A folder in *parent* never used before; those made there earlier are deleted."""
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(parents=True)
    return Path(tempfile.mkdtemp(dir=parent))
