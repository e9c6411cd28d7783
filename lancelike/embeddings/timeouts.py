"""Giving up waiting for a call that can't be interrupted."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from lancelike.errors import EmbeddingTimeoutError

T = TypeVar("T")


def within(timeout_s: float | None, call: Callable[[], T], function: str, cancelled: threading.Event) -> T:
    """What *call* returns, if it does within *timeout_s* seconds; None waits for as long as it takes.

    Args:
        timeout_s: Seconds.
        call: Runs in a thread of its own when there is a timeout, and goes on there, unheard, after it.
        function: The embedding function's name, for the message.
        cancelled: Set when time is up, for *call* to stop at its next chance.

    Raises:
        EmbeddingTimeoutError: Time is up.
    """
    if timeout_s is None:
        return call()
    future: Future[T] = Future()
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=_settle, args=(future, lambda: context.run(call)), name=f"lancelike-{function}", daemon=True
    )
    thread.start()
    try:
        wait([future], timeout_s)
        if future.done():
            return future.result()
    finally:
        cancelled.set()
    raise EmbeddingTimeoutError(
        f"{function} did not answer within {timeout_s:g} s",
        function=function,
        timeout_s=timeout_s,
        hint="raise the timeout, or try again when the service is well",
    )


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again where the result is waited for
        future.set_exception(error)
