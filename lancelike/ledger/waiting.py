"""Vectors of small calls, noted one by one and recorded together.

A call for a row would have the ledger make a commit for one vector, which takes longer than the row's own. So a few
vectors are appended to a file that this process keeps among its claims, and wait there to be recorded by one commit.
They are as durable as a note of a claim: whoever comes after a dead process records them, and the living read them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.ledger.claims import Claims, claims_at
from lancelike.ledger.keys import from_arrow
from lancelike.ledger.notes import from_note, read_after
from lancelike.ledger.rows import to_rows, to_vectors
from lancelike.storage.key_index import Keys

MOST = 256
"""Vectors that wait at most."""
FEW = 16
"""Vectors of one call that may wait; more are worth a commit."""


@dataclass(slots=True)
class _Notes:
    """What another process has noted in one file, as far as it was read."""

    offset: int = 0
    vectors: dict[bytes, NDArray[Any]] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            if os.stat(path).st_size == self.offset:
                return
        is_new = not self.offset
        parts, self.offset = read_after(path, self.offset)
        for rows in map(from_note, parts[1:] if is_new else parts):
            self.vectors.update(zip(_bytes(from_arrow(rows["key"])), to_vectors(rows["vector"]), strict=True))


class Waiting:
    """What waits in this process to be recorded in one function's ledger, and what others have noted.

    Args:
        claims: On the function's inputs, beside which vectors wait; where there is no folder for them, none do.

    Attributes:
        lock: To be held from `take` to `settled`.
    """

    def __init__(self, claims: Claims) -> None:
        self.lock = threading.RLock()
        self._claims = claims
        self._vectors: dict[bytes, NDArray[Any]] = {}
        self._others: dict[Path, _Notes] = {}

    def add(self, keys: Keys, vectors: Sequence[NDArray[Any]]) -> bool:
        """Have *vectors* wait under *keys*, durably; False if there are too many, or that isn't possible."""
        with self.lock:
            self._forget_gone()
            are_few = len(keys) <= FEW and len(self._vectors) + len(keys) <= MOST
            if not are_few or not self._claims.keep(to_rows(keys, vectors)):
                return False
            self._vectors.update(zip(_bytes(keys), map(np.copy, vectors), strict=True))
            return True

    def recall(self, keys: Keys) -> list[NDArray[Any] | None]:
        """The vector of each of *keys* that waits here, or that another process noted; None for the others."""
        with self.lock:
            self._look_around()
            known = [notes.vectors for notes in self._others.values() if notes.vectors]
            if self._vectors:
                known.append(self._vectors)
            if not known:
                return [None] * len(keys)
            return [next((each[key] for each in known if key in each), None) for key in _bytes(keys)]

    def take(self) -> tuple[Keys, list[NDArray[Any]]]:
        """What waits here, to be recorded; it goes on waiting until it is `settled`."""
        keys = np.frombuffer(b"".join(self._vectors), np.uint64).reshape(-1, 2)
        return keys, list(self._vectors.values())

    def settled(self) -> None:
        """Forget what waits here: it is recorded."""
        self._vectors.clear()
        self._claims.forget_kept()

    def drop(self) -> None:
        """Forget what waits anywhere: it is not to be used any more."""
        with self.lock:
            self.settled()
            self._claims.drop_kept_elsewhere()
            self._others.clear()

    def _forget_gone(self) -> None:
        if self._claims.are_kept_ones_gone():
            self.settled()

    def _look_around(self) -> None:
        self._forget_gone()
        self._others = {path: self._others.get(path) or _Notes() for path in self._claims.foreign()}
        for path, notes in self._others.items():
            notes.read(path)


def waiting_at(folder: Path | None) -> Waiting:
    """What waits beside the claims in *folder*, one object for the whole process, as those are."""
    return Waiting(claims_at(None)) if folder is None else _waiting_at(str(folder.resolve()), os.getpid())


@cache
def _waiting_at(folder: str, _process: int) -> Waiting:
    return Waiting(claims_at(Path(folder)))


def _bytes(keys: Keys) -> list[bytes]:
    return [key.tobytes() for key in keys]
