"""Making what is paid for durable as it comes, by many small steps, and recording it by one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from lancelike.ledger.claims import Claim
from lancelike.ledger.memory import Kept
from lancelike.ledger.rows import to_rows
from lancelike.storage.key_index import Keys


class Journal:
    """Vectors on their way into the ledger: noted in the claim's file as they come, recorded together at the end.

    Where nothing can be noted they are recorded as they come.

    Args:
        kept: Where they are recorded.
        claim: On their inputs; None if there is none.
        within_s: Seconds that a vector may wait to be durable.
    """

    def __init__(self, kept: Kept, claim: Claim | None, within_s: float) -> None:
        self._kept, self._claim, self._within_s = kept, claim, within_s
        self._waiting: list[tuple[Keys, list[Any]]] = []
        self._noted = 0
        self._durable_at = time.monotonic()

    def add(self, keys: Keys, vectors: list[Any]) -> None:
        """Take in *vectors* under *keys*, and make durable what has waited long enough."""
        if vectors:
            self._waiting.append((keys, vectors))
        if time.monotonic() - self._durable_at >= self._within_s:
            if not self._note():
                self.record()
            self._durable_at = time.monotonic()

    def record(self) -> None:
        """Record all that was taken in."""
        if self._waiting:
            self._kept.record(*_joined(self._waiting))
        self._waiting, self._noted = [], 0
        if self._claim is not None:
            self._claim.settle()

    def _note(self) -> bool:
        """Note what is not noted yet; whether that was possible."""
        new = self._waiting[self._noted :]
        if not new:
            return True
        if self._claim is None or not self._claim.note(to_rows(*_joined(new))):
            return False
        self._noted = len(self._waiting)
        return True


def _joined(parts: list[tuple[Keys, list[Any]]]) -> tuple[Keys, list[Any]]:
    return np.concatenate([keys for keys, _ in parts]), [vector for _, vectors in parts for vector in vectors]
