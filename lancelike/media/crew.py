"""Loading many sources at once, in bounded memory: those that keep waiting for an answer hold up no others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Generic, TypeVar

from lancelike.exiting import waited_for

T = TypeVar("T")

MOST_BYTES = 256 << 20
"""Bytes of all sources of a crew that are being read, or were and wait to be taken."""
_MOST_WAITING = 8
"""Sources under way at most, for each that is meant to be: the rest of them have been waiting for long."""


@dataclass(eq=False, slots=True)
class _Task:
    number: int
    load: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    began: float = inf
    held: int = 0
    lacks_room: bool = False
    is_wanted: bool = False
    crew: Crew[Any] | None = None


class _Current(threading.local):
    task: _Task | None = None


_current = _Current()


def hold(count: int) -> float:
    """Note that the source which this thread loads takes *count* more bytes; wait until there is room for them.

    Returns:
        Seconds waited, which are no fault of the source's.
    """
    task = _current.task
    return 0.0 if task is None or task.crew is None else task.crew._hold(task, count)


class Crew(Generic[T]):
    """Threads that load sources in their order, *at_once* of them under way.

    One that has been under way for *patience_s* is not counted any more, and another is begun beside it, so that many
    that hang take the time of one. Nor is one that waits for room: what is begun then is an answer that is waited for.

    Args:
        at_once: Sources under way, not counting those that keep waiting; with these, at most eight times as many.
        patience_s: Seconds until a source counts as waiting.
        most_bytes: Bytes of all sources at most, as `hold` notes them; those whose answer is waited for always go on.
        keeps: Whether what a source took is held until its answer is taken, as where that is its bytes.
    """

    def __init__(
        self, at_once: int, *, patience_s: float = inf, most_bytes: int = MOST_BYTES, keeps: bool = False
    ) -> None:
        self._at_once, self._patience_s, self._most_bytes, self._keeps = at_once, patience_s, most_bytes, keeps
        self._waiting: deque[_Task] = deque()
        self._running: dict[int, _Task] = {}
        self._untaken: dict[Future[Any], _Task] = {}
        self._wanted: dict[int, _Task] = {}
        self._held = self._count = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def submit(self, load: Callable[[], T]) -> Future[T]:
        """Have *load* run; its answer is to be had from `take`."""
        with self._changed:
            task = _Task(self._count, load, crew=self)
            self._count += 1
            self._waiting.append(task)
            self._untaken[task.future] = task
            self._hire()
        return task.future

    def take(self, future: Future[T]) -> T:
        """The answer of *future*, waited for; what it took no longer counts.

        Raises:
            Exception: What its source raised; CancelledError if the crew was closed before it was begun.
        """
        while not future.done():
            with self._changed:
                self._want(self._untaken[future])
                self._hire()
                is_all_begun = not self._waiting
            wait([future], None if is_all_begun or self._patience_s == inf else self._patience_s)
        with self._changed:
            self._let_go(self._untaken.pop(future))
            self._hire()
        return future.result()

    def close(self) -> None:
        """Begin no more: what wasn't begun is cancelled."""
        with self._changed:
            self._is_closed = True
            for task in self._waiting:
                task.future.cancel()
                task.future.set_running_or_notify_cancel()
            self._waiting.clear()
            self._wanted.clear()
            self._changed.notify_all()

    def _hire(self) -> None:
        while (task := self._next()) is not None:
            threading.Thread(target=self._work, args=(task,), name="lancelike-load", daemon=True).start()

    def _next(self) -> _Task | None:
        """The next source, if one is to be begun now."""
        now = time.monotonic()
        running = self._running.values()
        lack_room = sum(task.lacks_room for task in running)
        at_work = sum(not task.lacks_room and now - task.began < self._patience_s for task in running)
        if not self._waiting or at_work >= self._at_once:
            return None
        if self._wanted:
            task = next(iter(self._wanted.values()))
            self._waiting.remove(task)
        elif self._held < self._most_bytes and not lack_room and len(running) < self._at_once * _MOST_WAITING:
            task = self._waiting.popleft()
        else:
            return None
        self._wanted.pop(task.number, None)
        task.began, self._running[task.number] = now, task
        return task

    def _work(self, task: _Task | None) -> None:
        while task is not None:
            _current.task = task
            with waited_for():
                _settle(task)
            with self._changed:
                del self._running[task.number]
                if not self._keeps:
                    self._let_go(task)
                task = self._next()
                self._changed.notify_all()

    def _hold(self, task: _Task, count: int) -> float:
        started = time.monotonic()
        with self._changed:
            if not self._has_room(task, count):
                task.lacks_room = True
                self._hire()
                self._changed.wait_for(lambda: self._has_room(task, count))
                task.lacks_room = False
            task.held += count
            self._held += count
        return time.monotonic() - started

    def _has_room(self, task: _Task, count: int) -> bool:
        return self._is_closed or self._held + count <= self._most_bytes or task.is_wanted

    def _want(self, task: _Task) -> None:
        """Have *task* go on whatever it takes: its answer is waited for."""
        if not task.is_wanted:
            task.is_wanted = True
            if task.began == inf:
                self._wanted[task.number] = task
            self._changed.notify_all()

    def _let_go(self, task: _Task) -> None:
        self._held -= task.held
        task.held = 0
        self._changed.notify_all()


def _settle(task: _Task) -> None:
    try:
        task.future.set_result(task.load())
    except BaseException as error:  # noqa: BLE001 - raised where the answer is taken
        task.future.set_exception(error)


def load_all(load: Callable[[Any], T], values: Sequence[Any], at_once: int, patience_s: float = inf) -> list[T]:
    """What *load* makes of each of *values*, in their order, *at_once* under way; see `Crew`.

    Raises:
        Exception: What *load* raised for the first of them that it did for; no more are begun.
    """
    if at_once <= 1 and patience_s == inf:
        return [load(value) for value in values]
    with closing(Crew[T](at_once, patience_s=patience_s)) as crew:
        return [crew.take(future) for future in [crew.submit(partial(load, value)) for value in values]]
