"""Claims on inputs: what one thread or process is embedding, the others wait for and then read from the ledger.

A claim is a file of keys that its process holds a lock on, in a folder beside the ledger. The operating system gives
the lock up with the process, however that ends: what a dead process had claimed is free at once. What is paid for is
noted in the file until it is in the ledger, so that whoever comes after a dead process finds it there. Databases in
memory have claims for threads only, and no notes, and so have object stores.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import EmbeddingError
from lancelike.ledger.notes import from_note, read_parts, to_note, write_part
from lancelike.storage.key_index import Keys

try:
    import fcntl
except ImportError:  # on Windows processes don't see each other's claims
    fcntl = None  # type: ignore[assignment]  # checked where it is used

logger = logging.getLogger("lancelike.ledger")

MUTEX = "mutex"
FIRST_LOOK_S = 0.005
LONGEST_LOOK_S = 0.1
"""Seconds between looks at what is waited for, at first and at most."""

Halves: TypeAlias = NDArray[np.uint64]
"""The first halves of keys, which do for claims: two that share one only wait for each other."""


class Claims:
    """The claims of this process on the inputs of one function. Safe to use from several threads.

    Args:
        folder: Where processes leave their claims; None for claims that only this process's threads see.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if fcntl is None else folder
        self._lock = threading.Lock()
        self._own: dict[str, Halves] = {}
        self._files: dict[str, int] = {}
        self._unsettled: set[str] = set()
        self._kept: str | None = None

    def take(self, keys: Keys, *, with_first: bool = False) -> Claim:
        """Claim those of *keys* that nobody else has claimed; with *with_first*, none unless the first is free."""
        wanted = keys[:, 0]
        with self._lock, self._alone():
            foreign = (_read_living(path) for path in self.foreign())
            taken = [*self._own.values(), *(halves for halves in foreign if halves is not None)]
            mine = ~np.isin(wanted, np.concatenate(taken)) if taken else np.ones(len(wanted), bool)
            if with_first and not mine[0]:
                mine[:] = False
            name = uuid.uuid4().hex
            if mine.any():
                self._write(name, wanted[mine])
            return Claim(self, mine, name)

    def note(self, name: str, rows: pa.Table) -> bool:
        """Write *rows*, which were paid for under a claim, down in its file; whether that was possible."""
        file = self._files.get(name)
        if file is None:
            return False
        try:
            write_part(file, to_note(rows))
        except OSError as error:
            logger.debug("nothing is noted in %s: %s", self._folder, error)
            return False
        self._unsettled.add(name)
        return True

    def settle(self, name: str) -> None:
        """Forget the notes of a claim: what they hold is in the ledger."""
        self._unsettled.discard(name)

    def release(self, name: str) -> None:
        """Give up a claim; notes of it that are not settled are left for `recover`."""
        with self._lock:
            self._own.pop(name, None)
            file = self._files.pop(name, None)
            if file is not None and self._folder is not None and name not in self._unsettled:
                with suppress(OSError):
                    (self._folder / name).unlink()
            self._unsettled.discard(name)
            if file is not None:
                os.close(file)

    def keep(self, rows: pa.Table) -> bool:
        """Note *rows*, which were paid for, under no claim, until `forget_kept`; whether that was possible."""
        with self._lock:
            if self._kept is None:
                with self._alone():
                    self._kept = uuid.uuid4().hex
                    self._write(self._kept, np.empty(0, np.uint64))
            if self.note(self._kept, rows):
                return True
        self.forget_kept()
        return False

    def forget_kept(self) -> None:
        """Forget what was noted under no claim."""
        name, self._kept = self._kept, None
        if name is not None:
            self.settle(name)
            self.release(name)

    def are_kept_ones_gone(self) -> bool:
        """Whether somebody deleted what was noted under no claim."""
        file = None if self._kept is None else self._files.get(self._kept)
        return file is not None and not os.fstat(file).st_nlink

    def drop_kept_elsewhere(self) -> None:
        """Delete what other processes noted under no claim."""
        for path in self.foreign():
            with suppress(FileNotFoundError), path.open("rb") as file:
                if next(read_parts(file), None) == b"":
                    path.unlink()

    def recover(self, record: Callable[[pa.Table], None]) -> None:
        """Hand what dead processes noted to *record*, and clear their claims away.

        It is over before anybody can claim the inputs concerned anew, so that they are not paid for again.
        """
        if not self.foreign():
            return
        with self._lock, self._alone():
            for path in self.foreign():
                with suppress(FileNotFoundError), path.open("r+b") as file:
                    if _try_lock(file.fileno()):
                        if notes := [from_note(note) for note in list(read_parts(file))[1:]]:
                            record(pa.concat_tables(notes))
                        path.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from looking at claims, and making any."""
        file = None
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                file = _open(self._folder / MUTEX)
                fcntl.lockf(file, fcntl.LOCK_EX)
            except OSError as error:
                self._do_without(error)
        try:
            yield
        finally:
            if file is not None:
                os.close(file)

    def foreign(self) -> list[Path]:
        """The files of claims that this process has not made, or no longer holds."""
        if self._folder is None:
            return []
        try:
            return [self._folder / name for name in set(os.listdir(self._folder)) - {MUTEX} - self._own.keys()]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._do_without(error)
            return []

    def _write(self, name: str, halves: Halves) -> None:
        self._own[name] = halves
        if self._folder is None:
            return
        try:
            file = self._files[name] = _open(self._folder / name)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write_part(file, halves.tobytes())
        except OSError as error:
            self._do_without(error)

    def _do_without(self, error: OSError) -> None:
        logger.debug("no claims in %s, so processes may pay for the same inputs: %s", self._folder, error)
        self._folder = None


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A claim on some keys.

    Attributes:
        mine: Which of the keys that were asked for, shape (n,).
    """

    claims: Claims
    mine: NDArray[np.bool_]
    name: str

    def note(self, rows: pa.Table) -> bool:
        """Write *rows*, which were paid for under it, down where they outlive this process; whether that was possible.

        They stay there until `settle`.
        """
        return self.claims.note(self.name, rows)

    def settle(self) -> None:
        """Say that what was noted is in the ledger."""
        self.claims.settle(self.name)

    def release(self) -> None:
        """Give it up."""
        self.claims.release(self.name)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _read_living(path: Path) -> Halves | None:
    """The keys that are claimed in the file at *path*; None if its process is dead."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        if not _try_lock(file.fileno()):
            return np.frombuffer(next(read_parts(file), b""), np.uint64)
    return None


def _try_lock(file: int) -> bool:
    """Lock *file*, unless another process has."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX lets systems choose between the two
        return False
    return True


def claims_at(folder: Path | None) -> Claims:
    """The claims in *folder*, one object for the whole process, as closing a file ends all its locks on it."""
    return Claims(None) if folder is None else _claims_at(str(folder.resolve()), os.getpid())


@cache
def _claims_at(folder: str, _process: int) -> Claims:
    return Claims(Path(folder))


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
        claim: The claim on them, or None.
    """

    known: dict[int, NDArray[Any]]
    unpaid: list[int]
    claim: Claim | None = None


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
        if time.monotonic() - moved > patience_s:
            yield Turn({}, left.tolist())
            return
        claim = ledger.claims.take(keys[left], with_first=look_s > 0)  # a look at one is enough while waiting
        try:
            vectors = ledger.recall(keys[left])
            known = {int(place): vector for place, vector in zip(left, vectors, strict=True) if vector is not None}
            unpaid = [int(place) for place in left[claim.mine] if int(place) not in known]
            if known or unpaid:
                yield Turn(known, unpaid, claim)
        finally:
            claim.release()
        done = claim.mine | np.isin(left, list(known))
        left = left[~done]
        if done.any():
            look_s, moved = 0.0, time.monotonic()
        else:
            look_s = min(2 * look_s, LONGEST_LOOK_S) or FIRST_LOOK_S
            if cancelled.wait(look_s):
                raise EmbeddingError("the call was interrupted")
