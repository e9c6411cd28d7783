"""What takes a ledger's place where none is kept: the vectors of one call, in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.key_index import INDEX_BYTES, KeyIndex, Keys

CALL_MEMORY_BYTES = 256 << 20

_Block: TypeAlias = Sequence[NDArray[Any]] | NDArray[Any]
"""Vectors one after the other."""


class Kept(Protocol):
    """Vectors of one function, by key."""

    def knows(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of *keys* have a vector, shape (len(keys),)."""

    def recall(self, keys: Keys) -> list[NDArray[Any] | None]:
        """The vector of each of *keys*, None where there is none."""

    def record(self, keys: Keys, vectors: Sequence[NDArray[Any]]) -> None:
        """Keep *vectors* under *keys*."""


class CallMemory:
    """Vectors that one call made, so that an input it brings again is not paid for again.

    Args:
        max_bytes: Bound on the vectors and their index; what is beyond it is not remembered.
    """

    def __init__(self, max_bytes: int = CALL_MEMORY_BYTES) -> None:
        self._room = max_bytes
        self._index = KeyIndex()
        self._blocks: list[_Block] = []
        self._starts = [0]

    def knows(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of *keys* have a vector, shape (len(keys),)."""
        return self._index.find(keys) >= 0

    def recall(self, keys: Keys) -> list[NDArray[Any] | None]:
        """The vector of each of *keys*, None where there is none."""
        return [None if number < 0 else self._vector(number) for number in self._index.find(keys).tolist()]

    def record(self, keys: Keys, vectors: Sequence[NDArray[Any]]) -> None:
        """Remember *vectors* under *keys*, while there is room."""
        ends = np.cumsum([vector.nbytes + INDEX_BYTES for vector in vectors])
        fitting = int(np.searchsorted(ends, self._room, side="right"))
        if not fitting:
            return
        self._room -= int(ends[fitting - 1])
        start = self._starts[-1]
        self._index.add(keys[:fitting], np.arange(start, start + fitting))
        self._blocks.append(_copied(vectors[:fitting]))  # views would keep all of a request's answer
        self._starts.append(start + fitting)

    def _vector(self, number: int) -> NDArray[Any]:
        block = bisect_right(self._starts, number) - 1
        return self._blocks[block][number - self._starts[block]]


def _copied(vectors: Sequence[NDArray[Any]]) -> _Block:
    if all(vector.shape == vectors[0].shape for vector in vectors):
        return np.stack(vectors)
    return [vector.copy() for vector in vectors]
