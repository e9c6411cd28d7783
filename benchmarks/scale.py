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
    streamed_texts: tuple[int, int]
    shape_rows: int
    pictures: tuple[int, int]
    picture_passes: int
    sounds: int
    growth_rows: tuple[int, ...]
    single_adds: int
    goal_rows: int
    goal_pq_rows: int
    goal_sentences: int
    goal_texts: int


def full(folder: Path) -> Scale:
    return Scale(
        folder,
        search_rows=(10_000, 100_000),
        queries=100,
        passes=5,
        add_rows=100_000,
        add_passes=15,
        stream_rows=(100_000, 400_000),
        stream_passes=3,
        texts=2_000,
        text_passes=3,
        documented=400,
        lifecycle_rows=20_000,
        unchanged_rows=100_000,
        streamed_texts=(500_000, 2_000_000),
        shape_rows=100_000,
        pictures=(10_000, 10_000),
        picture_passes=2,
        sounds=500,
        growth_rows=(10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000),
        single_adds=2_000,
        goal_rows=200_000,
        goal_pq_rows=200_000,
        goal_sentences=30_000,
        goal_texts=500,
    )


def quick(folder: Path) -> Scale:
    return Scale(
        folder,
        search_rows=(10_000,),
        queries=30,
        passes=3,
        add_rows=20_000,
        add_passes=5,
        stream_rows=(100_000, 200_000),
        stream_passes=1,
        texts=100,
        text_passes=2,
        documented=60,
        lifecycle_rows=2_000,
        unchanged_rows=20_000,
        streamed_texts=(50_000, 100_000),
        shape_rows=10_000,
        pictures=(1_000, 320),
        picture_passes=2,
        sounds=64,
        growth_rows=(2_000, 5_000, 10_000),
        single_adds=200,
        goal_rows=50_000,
        goal_pq_rows=20_000,
        goal_sentences=1_000,
        goal_texts=64,
    )


def fresh_folder(parent: Path) -> Path:
    """A folder in *parent* never used before; those made there earlier are deleted."""
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(parents=True)
    return Path(tempfile.mkdtemp(dir=parent))
