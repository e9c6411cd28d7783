"""Calls that somebody may call off, as cancelling an awaited one does, until they commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeAlias

_Stage: TypeAlias = Literal["open", "committing", "committed"]


class CalledOff(BaseException):
    """The call was called off before it committed, and is on its way out."""


class Call:
    """One call of the public face, in whichever threads it runs.

    It is called off from outside. From then on it makes no commit, unless one was under way or made already: then it
    goes on to its end, so that nothing is left half done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage: _Stage = "open"
        self._off = False
        self._told: list[Callable[[], object]] = []

    @property
    def is_off(self) -> bool:
        """Whether it was called off."""
        return self._off

    def call_off(self) -> bool:
        """Have the call end soon; whether it is certain already that it makes no commit."""
        with self._lock:
            self._off = True
            told, self._told = self._told, []
            certain = self._stage == "open"
        for tell in told:
            tell()
        return certain

    def on_call_off(self, tell: Callable[[], object]) -> None:
        """Have *tell* called, in the thread that calls off; at once if that has happened."""
        with self._lock:
            if not self._off:
                self._told.append(tell)
                return
        tell()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Commit in the block; where that takes rows first, they are made `before_commit`.

        Raises:
            CalledOff: Nobody wants it any more.
        """
        with self._lock:
            outermost = self._stage == "open"
            if outermost:
                self._enter("committing")
        try:
            yield
        except BaseException:
            with self._lock:
                if outermost and self._stage == "committing":
                    self._stage = "open"
            raise
        if outermost:
            self._stage = "committed"

    @contextmanager
    def before_commit(self) -> Iterator[None]:
        """Make what is to be committed: the call may be called off until the block ends.

        Raises:
            CalledOff: It was.
        """
        with self._lock:
            was = self._stage
            if was == "committing":
                self._enter("open")
        yield
        with self._lock:
            if was == "committing":
                self._enter("committing")

    def _enter(self, stage: _Stage) -> None:
        if self._off:
            self._stage = "open"
            raise CalledOff
        self._stage = stage


_current: ContextVar[Call | None] = ContextVar("lancelike_call", default=None)


def current_call() -> Call:
    """The call that this code runs for; one that nobody calls off if there is none."""
    return _current.get() or Call()


@contextmanager
def running(call: Call | None) -> Iterator[None]:
    """Run the block for *call*; None: for nobody in particular, so that its commits are made whatever happens."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)
