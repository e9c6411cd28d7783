"""Claims on inputs: what one thread or process is embedding, the others wait for and then read from the ledger.

A claim of a process is a lock on one byte of an empty file beside the ledger, the byte that the input's key names. The
operating system gives it up with the process, however that ends, so nothing is ever left claimed by the dead.
Databases in memory have claims for threads only; object stores have none between processes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lancelike.errors import EmbeddingError
from lancelike.ledger.keys import Keys

try:
    import fcntl
except ImportError:  # on Windows processes don't see each other's claims
    fcntl = None  # type: ignore[assignment]  # checked where it is used

logger = logging.getLogger("lancelike.ledger")

FIRST_LOOK_S = 0.005
LONGEST_LOOK_S = 0.1
"""Seconds between looks at what is waited for, at first and at most."""


class Claims:
    """The claims of this process on the inputs of one function. Safe to use from several threads.

    Args:
        path: The file whose bytes stand for keys; None for claims that only this process's threads see.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = None if fcntl is None else path
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._file: int | None = None

    def take(self, keys: Keys) -> NDArray[np.bool_]:
        """Claim those of *keys* that nobody else holds; which these are, shape (len(keys),)."""
        with self._lock:
            return np.array([self._take(byte) for byte in _bytes_of(keys)], bool)

    def release(self, keys: Keys) -> None:
        """Give up the claims on *keys*, which are this caller's."""
        with self._lock:
            bytes_ = _bytes_of(keys)
            self._held.difference_update(bytes_)
            if self._file is None:
                return
            if self._held:
                for byte in bytes_:
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)
            else:  # with no file open, the file may be deleted, and a forked child has nothing of ours
                os.close(self._file)
                self._file = None

    def _take(self, byte: int) -> bool:
        """Claim a byte, for this process first: a process can't be kept out by its own lock."""
        if byte in self._held or not self._lock_file(byte):
            return False
        self._held.add(byte)
        return True

    def _lock_file(self, byte: int) -> bool:
        if self._path is None:
            return True
        try:
            if self._file is None:
                self._file = _open(self._path)
            return _try_lock(self._file, byte)
        except OSError as error:
            logger.debug("there are no locks on %s, so processes may pay for the same inputs: %s", self._path, error)
            self._path = None
            return True


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _try_lock(file: int, byte: int) -> bool:
    """Lock a byte, unless another process has."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except (BlockingIOError, PermissionError):  # POSIX lets systems choose between the two
        return False
    return True


def _bytes_of(keys: Keys) -> list[int]:
    """A byte for each of *keys*, below 2^62, which every system can lock."""
    return [int(half) for half in keys[:, 0] >> np.uint64(2)]


def claims_at(path: Path | None) -> Claims:
    """The claims at *path*, one object for the whole process, as closing one file ends all its locks on it."""
    return Claims(None) if path is None else _claims_at(str(path.resolve()), os.getpid())


@cache
def _claims_at(path: str, _process: int) -> Claims:
    return Claims(Path(path))


class Claimed(Protocol):
    """A ledger whose inputs can be claimed."""

    claims: Claims

    def recall(self, keys: Keys) -> list[NDArray[Any] | None]:
        """The vector of each of *keys*, None where there is none."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done with some of a number of inputs, by position.

    Attributes:
        known: Those whose vectors someone else has paid for.
        unpaid: Those to be paid for now; they are claimed until the next turn.
    """

    known: dict[int, NDArray[Any]]
    unpaid: list[int]


def turns(
    ledger: Claimed | None, keys: Keys, cancelled: threading.Event, patience_s: float
) -> Generator[Turn, None, None]:
    """Turns in which each of *keys* comes once; between them, what others have claimed is waited for.

    Nothing is claimed while something is waited for, so that no two wait for each other.

    Args:
        ledger: Where vectors are kept; None for one turn with all of *keys*.
        keys: Keys of the inputs, distinct.
        cancelled: When set, waiting ends with an error.
        patience_s: Seconds without a new vector after which those who have claimed the rest are not waited for any
            more, and it is paid for once again.

    Raises:
        EmbeddingError: *cancelled* was set.
    """
    if ledger is None:
        yield Turn({}, list(range(len(keys))))
        return
    left = np.arange(len(keys))
    look_s, moved = 0.0, time.monotonic()
    while len(left):
        impatient = time.monotonic() - moved > patience_s
        mine = np.ones(len(left), bool) if impatient else _take(ledger.claims, keys[left], is_waiting=look_s > 0)
        try:
            vectors = ledger.recall(keys[left])
            known = {int(place): vector for place, vector in zip(left, vectors, strict=True) if vector is not None}
            unpaid = [int(place) for place in left[mine] if int(place) not in known]
            if known or unpaid:
                yield Turn(known, unpaid)
        finally:
            if mine.any() and not impatient:
                ledger.claims.release(keys[left[mine]])
        done = mine | np.isin(left, list(known))
        left = left[~done]
        if done.any():
            look_s, moved = 0.0, time.monotonic()
        else:
            look_s = min(2 * look_s, LONGEST_LOOK_S) or FIRST_LOOK_S
            if cancelled.wait(look_s):
                raise EmbeddingError("the call was interrupted")


def _take(claims: Claims, keys: Keys, *, is_waiting: bool) -> NDArray[np.bool_]:
    """Claim what nobody else holds of *keys*; while waiting, only once the first is free: a look at one is enough."""
    first = claims.take(keys[:1])
    if is_waiting and not first[0]:
        return np.zeros(len(keys), bool)
    return np.concatenate([first, claims.take(keys[1:])])
