"""Blocking calls awaited: run in threads of lancelike's own, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import cache
from threading import Thread
from typing import Generic, TypeVar

from lancelike.calls import Call, running
from lancelike.embeddings.awaiting import CallersLoop, awaiting_in

T = TypeVar("T")

MOST_THREADS = 32
"""Calls under way at once, of reads and of writes each; more wait for their turn, in order."""
WIND_UP_S = 1.0
"""How long a write that is cancelled is waited for, so that most have ended when their caller goes on. Whatever goes on
after that, in a request that can't be interrupted, comes to no commit."""

_is_inside: ContextVar[bool] = ContextVar("lancelike_inside", default=False)


async def read(call: Callable[[], T]) -> T:
    """What *call* returns or raises, from a thread. Cancelled, it is left to end there, and its result is dropped."""
    started = _Started("read", call)
    try:
        return await asyncio.wrap_future(started.future)
    finally:
        started.call.call_off()
        started.callers.close()


async def in_own_thread(call: Callable[[], T]) -> T:
    """What *call*, which does nothing but wait, returns or raises; it takes no turn of those that work."""
    return await asyncio.wrap_future(_in_new_thread(call))


async def write(call: Callable[[], T]) -> T:
    """What *call*, which commits, returns or raises, from a thread.

    Cancelled, it is called off: it stops asking embedding functions, what they answered already is kept, and this
    raises CancelledError when it is certain that no commit follows. A commit that is under way then is waited for.
    """
    started = _Started("write", call)
    ending = asyncio.wrap_future(started.future)
    try:
        return await asyncio.shield(ending)
    except asyncio.CancelledError:
        if not started.future.cancel():
            await _wind_up(started, ending)
        raise
    finally:
        started.callers.close()


class _Started(Generic[T]):
    """A call on its way in a thread, in a copy of its caller's context.

    Attributes:
        call: Calls it off.
        callers: Runs its coroutines.
        future: Its outcome.
    """

    def __init__(self, kind: str, function: Callable[[], T]) -> None:
        self.call, self.callers = Call(), CallersLoop(asyncio.get_running_loop())
        context = copy_context()

        def run() -> T:
            _is_inside.set(True)
            with running(self.call), awaiting_in(self.callers):
                return function()

        self.future: Future[T]
        if _is_inside.get():  # a function that a call waits for awaits this one: there need not be a thread left for it
            self.future = _in_new_thread(lambda: context.run(run))
        else:
            self.future = _pool(kind, os.getpid()).submit(context.run, run)


async def _wind_up(started: _Started[T], ending: asyncio.Future[T]) -> None:
    """Wait until the call is sure to commit nothing more."""
    is_certain = started.call.call_off()
    try:
        await asyncio.wait([ending], timeout=WIND_UP_S)
    finally:
        started.callers.close()
        while not is_certain and not ending.done():
            with suppress(asyncio.CancelledError):  # to be cancelled once more is no reason to leave a commit
                await asyncio.wait([ending])
        if not ending.cancel() and not ending.cancelled():
            ending.exception()  # nobody is left to be told


@cache
def _pool(kind: str, _process: int) -> ThreadPoolExecutor:
    """Writes, which may embed for minutes, don't keep reads waiting: each kind has its threads, in this process."""
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix=f"lancelike-{kind}")


def _in_new_thread(call: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    Thread(target=_fulfil, args=(future, call), name="lancelike-waits", daemon=True).start()
    return future


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
        future.set_exception(error)
