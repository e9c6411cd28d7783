"""What takes a ledger's place where none is kept: the vectors of one call, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lancelike.ledger.keys import Keys

CALL_MEMORY_BYTES = 256 << 20


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
        max_bytes: What is beyond it is not remembered.
    """

    def __init__(self, max_bytes: int = CALL_MEMORY_BYTES) -> None:
        self._room = max_bytes
        self._vectors: dict[bytes, NDArray[Any]] = {}

    def knows(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of *keys* have a vector, shape (len(keys),)."""
        return np.array([key.tobytes() in self._vectors for key in keys], bool)

    def recall(self, keys: Keys) -> list[NDArray[Any] | None]:
        """The vector of each of *keys*, None where there is none."""
        return [self._vectors.get(key.tobytes()) for key in keys]

    def record(self, keys: Keys, vectors: Sequence[NDArray[Any]]) -> None:
        """Remember *vectors* under *keys*, while there is room."""
        for key, vector in zip(keys, vectors, strict=True):
            if self._room < vector.nbytes:
                return
            self._room -= vector.nbytes
            self._vectors[key.tobytes()] = vector.copy()  # not a view of a whole request's answer
