"""Finding keys again by a few binary searches, in memory that does not grow with their number."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.runs import Run, SortedRuns, locate

Keys: TypeAlias = NDArray[np.uint64]
"""Keys, shape (n, 2): each key's 128 bits as two numbers."""

INDEX_BYTES = 16
"""Bytes that a `KeyIndex` takes for each key, on disk where there are many; a `KeySet` takes half."""

_NUMBER_BITS = np.uint64(40)
_LARGEST_NUMBER = np.uint64((1 << 40) - 1)


class KeySet:
    """Keys that were met.

    It tells them apart by their first 64 bits: among 10^7, one is taken for another with a probability of 3 x 10^-6.

    Args:
        folder: As for `SortedRuns`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._runs = SortedRuns(folder)

    def meet(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of *keys*, which are distinct, were not met before, shape (len(keys),); from now on they were."""
        order = np.argsort(keys[:, 0])
        halves = keys[order, 0]
        is_new = np.ones(len(keys), bool)
        for run in self._runs:
            is_new &= ~locate(run, halves)[1]
        self._runs.add(halves[np.newaxis, is_new])
        new = np.empty(len(keys), bool)
        new[order] = is_new
        return new


class KeyIndex:
    """Finds the number last stored with a key.

    It tells keys apart by 88 of their bits: among 10^9, one is taken for another with a probability of 2 x 10^-9.

    Args:
        folder: As for `SortedRuns`. A run has in its second row 24 bits of each key's second half, and its number in
            the other 40.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._runs = SortedRuns(folder)

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, keys: Keys, numbers: NDArray[np.int64]) -> None:
        """Store *numbers*, shape (n,), from 0 to 2^40 - 1, for *keys*; of equal keys the later counts."""
        self._runs.add(_sorted_run(keys, numbers))

    def count_distinct(self) -> int:
        """How many keys there are, those that share the first half counted once."""
        self._runs.merge_all()
        return len(self._runs)

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """The number of each of *keys*, -1 where there is none, shape (len(keys),)."""
        found = np.full(len(keys), -1, np.int64)
        left = np.argsort(keys[:, 0])
        for run in self._runs:
            places, is_there = locate(run, keys[left, 0])
            entries = run[1, places[is_there]]
            of = left[is_there]
            equal = entries >> _NUMBER_BITS == _tags(keys[of])
            found[of[equal]] = entries[equal] & _LARGEST_NUMBER
            left = left[found[left] < 0]
        return found


def _sorted_run(keys: Keys, numbers: NDArray[np.int64]) -> Run:
    """The last of those that share the first half alone is kept: an earlier one is then asked for once more."""
    order = np.argsort(keys[:, 0], kind="stable")
    halves = keys[order, 0]
    last = np.append(halves[1:] != halves[:-1], True) if len(halves) else np.empty(0, bool)
    kept = order[last]
    return np.stack([halves[last], _tags(keys[kept]) << _NUMBER_BITS | numbers[kept].astype(np.uint64)])


def _tags(keys: Keys) -> NDArray[np.uint64]:
    return keys[:, 1] >> _NUMBER_BITS
