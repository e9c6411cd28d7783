"""Waiting for what `async def` functions answer, from the threads that embedding runs in."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Awaitable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, TypeVar

from lancelike.calls import CalledOff
from lancelike.errors import EmbeddingError

T = TypeVar("T")

_starting = threading.Lock()


class CallersLoop:
    """The event loop of whoever awaits a call; the coroutines of embedding functions run in it meanwhile.

    So a client that was made in that loop, and is bound to it, works in them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        self._closed = False

    def wait_for(self, answer: Awaitable[T]) -> T:
        """What *answer* comes to.

        Raises:
            CalledOff: Nobody awaits the call any more, or the loop is closed.
            EmbeddingError: *answer* was cancelled by someone else.
        """
        coroutine = _awaited(answer)
        context = copy_context()
        context.run(_callers_loop.set, None)  # for blocking calls in the coroutine, which would wait for themselves
        with self._lock:
            if self._closed or self._loop.is_closed():
                coroutine.close()
                raise CalledOff
            future = context.run(asyncio.run_coroutine_threadsafe, coroutine, self._loop)
            self._under_way.add(future)
        try:
            return future.result()
        except CancelledError as error:
            if self._closed:
                raise CalledOff from error
            raise EmbeddingError("the function's coroutine was cancelled") from error
        finally:
            self._under_way.discard(future)

    def close(self) -> None:
        """Cancel the coroutines that are under way still; nobody awaits the call any more."""
        with self._lock:
            self._closed = True
            left = list(self._under_way)
        for future in left:
            future.cancel()


_callers_loop: ContextVar[CallersLoop | None] = ContextVar("lancelike_callers_loop", default=None)


@contextmanager
def awaiting_in(callers: CallersLoop) -> Iterator[None]:
    """Have `settled` await in the callers' loop: in the block, which another thread than the loop's runs."""
    token = _callers_loop.set(callers)
    try:
        yield
    finally:
        _callers_loop.reset(token)


def settled(answer: Any) -> Any:
    """*answer*, awaited if it is to be.

    In the loop of whoever awaits the call; for blocking calls in a loop of lancelike's own, always the same one, so
    that a client made in it goes on working.
    """
    if not inspect.isawaitable(answer):
        return answer
    callers = _callers_loop.get()
    if callers is not None:
        return callers.wait_for(answer)
    with _starting:
        loop = _own_loop(os.getpid())
    future = asyncio.run_coroutine_threadsafe(_awaited(answer), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


@cache
def _own_loop(_process: int) -> asyncio.AbstractEventLoop:
    """The loop for blocking calls, in a thread of its own: one for this process, not for its parent."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="lancelike-callables", daemon=True).start()
    return loop
