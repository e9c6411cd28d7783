"""A write that is done in time, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from lancelike.errors import MergeTimeoutError

T = TypeVar("T")


class MergeDeadline:
    """The moment by which a merge must be committed.

    Neither an embedding function nor Lance can be interrupted, so a merge that takes longer is left to end in its
    thread, where it comes to no commit.

    Args:
        timeout_s: Seconds from now; None bounds nothing.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._deciding = threading.Lock()
        self._given_up = self._committed = False

    def run(self, merge: Callable[[], T]) -> T:
        """What *merge* returns or raises, if it commits in time.

        Raises:
            MergeTimeoutError: It does not, and never will.
        """
        if self._end is None:
            return merge()
        self.check()
        outcome: Future[T] = Future()
        target = partial(copy_context().run, _fulfil, outcome, merge)
        threading.Thread(target=target, name="lancelike-merge", daemon=True).start()
        try:
            wait([outcome], min(self._end - time.monotonic(), threading.TIMEOUT_MAX))
        finally:
            with self._deciding:  # a commit under way is waited for
                self._given_up = not (self._committed or outcome.done())
        if self._given_up:
            raise self._error()
        return outcome.result()

    def check(self) -> None:
        """Go on only while there is time.

        Raises:
            MergeTimeoutError: There is none left.
        """
        if self._given_up or (self._end is not None and time.monotonic() >= self._end):
            raise self._error()

    def checked(self, items: Iterable[T]) -> Iterator[T]:
        """*items*, each while there is time."""
        for item in items:
            self.check()
            yield item

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Commit in the block, and nothing else: whoever waits for the merge can't give up meanwhile.

        Raises:
            MergeTimeoutError: There is no time left; nothing is to be committed any more.
        """
        with self._deciding:
            self.check()
            yield
            self._committed = True

    def _error(self) -> MergeTimeoutError:
        return MergeTimeoutError(self.timeout_s or 0.0)


def _fulfil(outcome: Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again where the outcome is awaited
        outcome.set_exception(error)
