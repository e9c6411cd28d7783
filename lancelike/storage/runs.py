"""Sorted runs of keys, merged as they grow: the short ones in memory, the long ones in files that are mapped.

A run's file has no name, and so is gone with the process, however that ends. It is written once and then only read: its
pages are the system's to drop and to read again, so that the memory that runs take does not grow with them.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.scratch import unnamed_file

logger = logging.getLogger("lancelike.storage")

MOST_IN_MEMORY = 1 << 16
"""Keys of a run that is kept in memory; also of a part of one that is merged at once."""
_GROWTH = 4
"""Each run is at least this many times as long as the next, so that there are few to look through."""

Run: TypeAlias = NDArray[np.uint64]
"""Shape (columns, n): the first halves of keys, ascending, none twice; and in further rows what belongs to each."""


class SortedRuns:
    """Runs of keys, of which the latest counts where a key is in several.

    Args:
        folder: Where long ones go if it is on a disk of this machine; else, or if None, where temporary files do. Those
            that no file can be made for, as on a full disk, stay in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._runs: list[Run] = []

    def __len__(self) -> int:
        return sum(run.shape[1] for run in self._runs)

    def __iter__(self) -> Iterator[Run]:
        """The runs, latest first."""
        return reversed(self._runs)

    def add(self, run: Run) -> None:
        """Take in *run*, and merge it with those that are not much longer."""
        if not run.shape[1]:
            return
        while self._runs and self._runs[-1].shape[1] < _GROWTH * run.shape[1]:
            run = self._merged(self._runs.pop(), run)
        self._runs.append(run)

    def merge_all(self) -> None:
        """Leave one run at most."""
        while len(self._runs) > 1:
            newer = self._runs.pop()
            self._runs.append(self._merged(self._runs.pop(), newer))

    def _merged(self, older: Run, newer: Run) -> Run:
        most = older.shape[1] + newer.shape[1]
        if most > MOST_IN_MEMORY:
            try:
                return _written(_merged_parts(older, newer), len(older), most, self._folder)
            except OSError as error:
                logger.debug("%d keys stay in memory: %s", most, error)
        return np.concatenate(list(_merged_parts(older, newer)), axis=1)


def locate(run: Run, halves: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each of *halves*, which are best ascending, is in *run*, or would be, and whether it is there."""
    places = np.searchsorted(run[0], halves)
    return places, run[0, np.minimum(places, run.shape[1] - 1)] == halves


def _merged_parts(older: Run, newer: Run) -> Iterator[Run]:
    starts = np.arange(0, older.shape[1], MOST_IN_MEMORY)
    cuts = [0, *np.searchsorted(newer[0], older[0, starts[1:]]).tolist(), newer.shape[1]]
    for start, (first, end) in zip(starts.tolist(), pairwise(cuts), strict=True):
        yield _merge(older[:, start : start + MOST_IN_MEMORY], newer[:, first:end])


def _merge(older: Run, newer: Run) -> Run:
    if not newer.shape[1]:
        return older
    places, is_there = locate(older, newer[0])
    new = ~is_there
    at = places[new] + np.arange(int(new.sum()))
    from_older = np.ones(older.shape[1] + len(at), bool)
    from_older[at] = False
    merged = np.empty((len(older), len(from_older)), np.uint64)
    for column, old, added in zip(merged, older, newer, strict=True):
        column[from_older] = old
        column[at] = added[new]
    if is_there.any():
        merged[:, np.searchsorted(merged[0], newer[0, is_there])] = newer[:, is_there]
    return merged


def _written(parts: Iterator[Run], columns: int, most: int, folder: Path | None) -> Run:
    """*parts*, of at most *most* keys in all, as a run in a file."""
    length = 0
    with unnamed_file(folder) as file:
        file.truncate(columns * most * 8)
        for part in parts:
            for column, values in enumerate(part):
                file.seek((column * most + length) * 8)
                file.write(np.ascontiguousarray(values).data)
            length += part.shape[1]
        file.flush()
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, np.uint64).reshape(columns, most)[:, :length]
