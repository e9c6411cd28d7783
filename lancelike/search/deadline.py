"""Waiting no longer than was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

from lancelike.errors import QueryTimeoutError

Result = TypeVar("Result")


class Deadline:
    """The moment by which a query must have answered.

    Lance can't be interrupted, so a call that takes longer is left to end in its thread, and its result is dropped.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def remaining_s(self) -> float | None:
        """Seconds that are left; None without a deadline.

        Raises:
            QueryTimeoutError: None are.
        """
        if self._end is None or self.timeout_s is None:
            return None
        remaining = self._end - time.monotonic()
        if remaining <= 0:
            raise QueryTimeoutError(self.timeout_s)
        return remaining

    def run(self, call: Callable[[], Result]) -> Result:
        """What *call* returns or raises, if it does so in time.

        Raises:
            QueryTimeoutError: It does not.
        """
        remaining = self.remaining_s()
        if remaining is None or self.timeout_s is None:
            return call()
        outcome: Future[Result] = Future()
        context = copy_context()
        Thread(target=context.run, args=(_fulfil, outcome, call), name="lancelike-search", daemon=True).start()
        if not wait([outcome], remaining).done:
            raise QueryTimeoutError(self.timeout_s)
        return outcome.result()


def _fulfil(outcome: Future[Result], call: Callable[[], Result]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001  # raised again where the outcome is awaited
        outcome.set_exception(error)
