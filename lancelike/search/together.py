"""Questions of several threads that are answered together.

Threads that make many short numpy calls at once take longer than one that makes them all: each call lets go of the
interpreter lock, and waits to get it back. So one thread at a time answers; who asks meanwhile waits, and one of those
that wait then answers all of them at once. Who comes first after several were answered waits for the others, but not
longer than it takes them to ask again.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

ASKED_AGAIN_S = 0.0005
"""After several were answered, the time in which they ask again, if they do so at once: of four threads, one query was
answered alone before the other three were, and there were 1160 a second; all four together, 1650."""


class _Asker(Generic[Question, Answer]):
    """One who asks, and may have to wait.

    Attributes:
        question: What it asks.
        answers: The answer, once somebody had it.
        leads: Whether it is its turn to answer all who wait.
        expects: How many it waits for to be there, itself counted, before it answers them; 0: it doesn't.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answers: list[Answer] = []
        self.leads, self.expects = False, 0
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self, most_s: float) -> None:
        """Wait until another thread says `go_on`, *most_s* at most; -1 is for ever."""
        self._gate.acquire(timeout=most_s)

    def go_on(self) -> None:
        self._gate.release()


class Together(Generic[Question, Answer]):
    """Answers questions of several threads, those with the same key together. Safe to use from several threads."""

    def __init__(self) -> None:
        self._start()
        _all.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, list[_Asker[Question, Answer]]] = {}  # by the keys that somebody answers
        self._last = 0, 0, 0.0  # hash of the key and number of those answered last, and when

    def ask(
        self, key: Hashable, question: Question, answer: Callable[[Sequence[Question]], Sequence[Answer]]
    ) -> Answer:
        """The answer to *question*, by this thread or another.

        Args:
            key: Questions with the same one are answered at once.
            question: What is asked.
            answer: Answers several questions, as it does each by itself. If it raises for several, each is answered by
                the thread that asks it, so that only those fail that can't be answered.
        """
        asker: _Asker[Question, Answer] | None = None
        with self._lock:
            waiting = self._waiting.get(key)
            expects = self._expected(key) if waiting is None else 0
            if waiting is not None or expects:
                asker = self._line_up(key, question, waiting, expects)
            else:
                self._waiting[key] = []
        if asker is None:  # nobody else is there
            try:
                return answer([question])[0]
            finally:
                self._hand_over(key, 1)
        if not asker.leads:
            self._wait(key, asker, -1)
        elif asker.expects:
            self._wait(key, asker, ASKED_AGAIN_S)
        if asker.leads:
            self._lead(key, asker, answer)
        return asker.answers[0] if asker.answers else answer([question])[0]

    def _line_up(
        self, key: Hashable, question: Question, waiting: list[_Asker[Question, Answer]] | None, expects: int
    ) -> _Asker[Question, Answer]:
        """Who asks *question*, last of those *waiting*, or the first, if there are none; the lock is held."""
        asker: _Asker[Question, Answer] = _Asker(question)
        if waiting is None:
            asker.leads, asker.expects = True, expects
            self._waiting[key] = [asker]
            return asker
        waiting.append(asker)
        if waiting[0].expects == len(waiting):
            waiting[0].expects = 0
            waiting[0].go_on()
        return asker

    def _expected(self, key: Hashable) -> int:
        """How many are likely to ask in a moment; 0: no more than one."""
        last, number, ended = self._last
        is_now = last == hash(key) and time.monotonic() - ended < ASKED_AGAIN_S
        return number if is_now and number > 1 else 0

    def _wait(self, key: Hashable, asker: _Asker[Question, Answer], most_s: float) -> None:
        try:
            asker.wait(most_s)
        except BaseException:  # Ctrl-C
            with self._lock:
                if asker in self._waiting.get(key, []):
                    self._waiting[key].remove(asker)
            if asker.leads:
                self._hand_over(key, 0)
            raise

    def _lead(
        self,
        key: Hashable,
        asker: _Asker[Question, Answer],
        answer: Callable[[Sequence[Question]], Sequence[Answer]],
    ) -> None:
        """Answer all who wait, among them *asker*."""
        with self._lock:
            led, self._waiting[key] = self._waiting[key], []
            asker.expects = 0
        try:
            answers = answer([each.question for each in led])
            for each, its in zip(led, answers, strict=True):
                each.answers.append(its)
        except Exception:
            if len(led) == 1:
                raise
        finally:
            for each in led:
                if each is not asker:
                    each.go_on()
            self._hand_over(key, len(led))

    def _hand_over(self, key: Hashable, number: int) -> None:
        """Make it the turn of the first who waits; of whoever asks next, if there is none."""
        with self._lock:
            self._last = hash(key), number, time.monotonic()
            if not self._waiting[key]:
                del self._waiting[key]
                return
            [first, *_] = self._waiting[key]
            first.leads = True
        first.go_on()


_all: weakref.WeakSet[Together[Any, Any]] = weakref.WeakSet()


def _start_in_child() -> None:
    """Begin with nothing after a fork: another thread may have held the parent's lock, or been about to answer."""
    for each in _all:
        each._start()


os.register_at_fork(after_in_child=_start_in_child)
