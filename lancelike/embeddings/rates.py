"""Limits on requests and tokens a minute, which all threads of all processes on a machine keep together."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.retrying import CallStats
from lancelike.errors import EmbeddingError

try:
    import fcntl
except ImportError:  # on Windows each process keeps its own count
    fcntl = None  # type: ignore[assignment]  # checked where it is used

T = TypeVar("T")

WINDOW_S = 60.0
STARTS_FOLDER = "lancelike-rates"

Starts = NDArray[np.float64]
"""Requests begun, oldest first: the time and the tokens of each, shape (n, 2)."""


class StartLog(Protocol):
    """The requests that were begun lately under one limit."""

    def opened(self) -> AbstractContextManager[OpenLog]:
        """The log, for nobody else to read or write meanwhile."""


class OpenLog(Protocol):
    """A log that one caller has to itself."""

    def read(self) -> Starts:
        """What it holds."""

    def write(self, starts: Starts) -> None:
        """Make it hold *starts*."""


class Limiter:
    """Lets requests begin so that no more of them, and no more tokens, begin within any minute than are allowed.

    A request of more tokens than a minute allows begins when no other has for a minute.

    Args:
        log: Where starts are noted.
        requests: Most requests in a window; None for no bound.
        tokens: Most tokens in a window; None for no bound.
        window_s: Length of the window.
        clock: Seconds, the same in all processes that share the log, and never going back.
        sleep: Waits; the event that it is given ends it early.
    """

    def __init__(
        self,
        log: StartLog,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float, threading.Event], object] = lambda seconds, cancelled: cancelled.wait(seconds),
    ) -> None:
        self._log, self._requests, self._tokens = log, requests, tokens
        self._window_s, self._clock, self._sleep = window_s, clock, sleep

    def acquire(self, tokens: int = 0, cancelled: threading.Event | None = None) -> float | None:
        """Wait until a request of *tokens* may begin, and note that it does.

        Returns:
            Seconds waited, 0 if it may at once; None if *cancelled* was set before it could begin.
        """
        cancelled = threading.Event() if cancelled is None else cancelled
        waited_s = 0.0
        while not cancelled.is_set():
            with self._log.opened() as log:
                now = self._clock()
                starts = _lately(log.read(), now, self._window_s)
                begins = self._free_at(starts, tokens, now)
                if begins <= now:
                    log.write(np.vstack([starts, [[now, tokens]]]))
                    return waited_s
            self._sleep(begins - now, cancelled)
            waited_s += self._clock() - now
        return None

    def _free_at(self, starts: Starts, tokens: int, now: float) -> float:
        """When a request of *tokens* may begin if none other does before."""
        must_be_over = 0
        if self._requests is not None:
            must_be_over = max(must_be_over, len(starts) - self._requests + 1)
        if self._tokens is not None and len(starts):
            still_there = starts[:, 1].sum() - np.concatenate([[0.0], np.cumsum(starts[:, 1])])
            fits = np.flatnonzero(still_there + tokens <= self._tokens)
            must_be_over = max(must_be_over, int(fits[0]) if len(fits) else len(starts))
        return float(starts[must_be_over - 1, 0]) + self._window_s if must_be_over else now


def _lately(starts: Starts, now: float, window_s: float) -> Starts:
    """Those of *starts* that count; one from the future is from before the machine was started anew."""
    times = starts[:, 0]
    return starts[(times > now - window_s) & (times <= now)]


class MemoryLog:
    """A log for the threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: Starts = np.empty((0, 2))

    @contextmanager
    def opened(self) -> Iterator[MemoryLog]:
        """The log, for nobody else to read or write meanwhile."""
        with self._lock:
            yield self

    def read(self) -> Starts:
        """What it holds."""
        return self._starts

    def write(self, starts: Starts) -> None:
        """Make it hold *starts*."""
        self._starts = starts


class FileLog:
    """A log for all processes of this machine: a file of the last minute's starts, 16 bytes each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def opened(self) -> Iterator[OpenLog]:
        """The log, for nobody else to read or write meanwhile."""
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed, whatever becomes of the process
            yield _OpenFile(file.fileno())


class _OpenFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> Starts:
        size = os.fstat(self._descriptor).st_size
        whole = os.pread(self._descriptor, size - size % 16, 0)
        return np.frombuffer(whole, np.float64).reshape(-1, 2)

    def write(self, starts: Starts) -> None:
        os.ftruncate(self._descriptor, os.pwrite(self._descriptor, starts.tobytes(), 0))


def limiter_of(function: EmbeddingFunction) -> Limiter | None:
    """What keeps the limits of *function*; None if it has none."""
    if function.requests_per_minute is None and function.tokens_per_minute is None:
        return None
    return Limiter(
        _log_of(_account(function), os.getpid()),
        requests=function.requests_per_minute,
        tokens=function.tokens_per_minute,
    )


def paced(
    call: Callable[[], T],
    function: EmbeddingFunction,
    values: Sequence[Any],
    stats: CallStats | None = None,
    cancelled: threading.Event | None = None,
) -> Callable[[], T]:
    """*call*, which sends *values* to *function*, each try of it begun when the function's limits allow.

    The first try's turn is waited for here, so that the wait is no part of the time that the tries may take.

    Raises:
        EmbeddingError: *cancelled* was set meanwhile; so from the calls.
    """
    limiter = limiter_of(function)
    if limiter is None:
        return call
    tokens = 0 if function.tokens_per_minute is None else sum(function.count_tokens(values))

    def wait() -> None:
        waited_s = limiter.acquire(tokens, cancelled)
        if waited_s is None:
            raise EmbeddingError("the call was interrupted", function=function.label)
        if stats is not None:
            stats.slept_s += waited_s

    wait()
    earlier_tries = count()

    def paced_call() -> T:
        if next(earlier_tries):
            wait()
        return call()

    return paced_call


def _account(function: EmbeddingFunction) -> str:
    """A name for whatever the service counts together, from what is known of it without its secrets."""
    facts = json.dumps(function.rate_account(), sort_keys=True, default=repr)
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@cache
def _log_of(account: str, _process: int) -> StartLog:
    folder = _own_folder()
    return MemoryLog() if folder is None else FileLog(folder / account)


def _own_folder() -> Path | None:
    """A folder on this machine that this user alone writes to; None if that can't be had."""
    if fcntl is None:
        return None
    folder = Path(tempfile.gettempdir()) / f"{STARTS_FOLDER}-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if folder.is_dir() and not folder.is_symlink() and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return folder
    return None
