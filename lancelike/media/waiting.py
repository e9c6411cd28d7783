"""Waiting no longer than that for a call that can't be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def at_most(timeout_s: float, call: Callable[[], T]) -> T:
    """What *call* returns; it runs in a thread of its own, and goes on there, unheard, once time is up.

    Raises:
        TimeoutError: Time is up.
    """
    future: Future[T] = Future()

    def settle() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is waited for
            future.set_exception(error)

    threading.Thread(target=settle, name="lancelike-wait", daemon=True).start()
    return future.result(timeout_s)
