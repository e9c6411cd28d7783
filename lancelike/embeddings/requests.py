"""Embedding many inputs in many requests: several at once, and halved when one input spoils its batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, TypeAlias

from numpy.typing import NDArray

from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import Answer, pack, placing_errors, request_sources
from lancelike.embeddings.lengths import embed_in_parts
from lancelike.embeddings.loading import reading_ahead
from lancelike.embeddings.retrying import CallStats
from lancelike.errors import BadEmbeddingError, BadInputError, EmbeddingError, EmbeddingFunctionUnavailable

Paid: TypeAlias = Callable[[Sequence[int], Sequence[Answer]], None]
"""Told of inputs, by position, as soon as their answers are there."""

SYSTEMIC_FAILURES = 8
"""Inputs that may fail alone, with no other embedded, before the function itself is taken to be broken."""


def embed_distinct(
    function: EmbeddingFunction,
    values: Sequence[Any],
    *,
    paid: Paid | None = None,
    before: Callable[[Sequence[Any]], None] | None = None,
    stats: CallStats | None = None,
    cancelled: threading.Event | None = None,
    stop_at_failure: bool = True,
    all_may_fail: bool = False,
    example: Any = None,
) -> list[Answer]:
    """Embed *values*, none of them None, in as many requests as the function's limits ask for.

    A request that the service refuses for what is in it is halved until the input at fault is alone, which takes about
    2 log2(n) more requests; the other inputs are embedded. A failure that has nothing to do with the inputs (a wrong
    key, a service that stays down, a bug in the function) is raised at once. Where the first inputs that were tried
    alone all fail, others are tried before the function is taken to be broken. An input for which the function answers
    an exception in the place of a vector fails alone, and nothing is sent again.

    Args:
        function: What embeds them, `max_concurrency` requests at a time.
        values: The inputs.
        paid: Called in this thread with positions and answers, before more is asked for.
        before: Called in this thread with the inputs of each request before it is sent; what it raises ends the call
            once the requests under way are answered.
        stats: Requests, retries and waits are added to it.
        cancelled: When set, no more is sent, and waits between tries end; set when the call fails.
        stop_at_failure: Raise at the first input that fails alone, in place of going on.
        all_may_fail: Never take inputs that fail for a sign that the function is broken.
        example: An input that the function has embedded before, sent once more to tell bad inputs from a broken
            function; None if none is known.

    Returns:
        A vector or an error for each of *values*, in their order.

    Raises:
        EmbeddingError: As said; `row` is a position in *values*.
    """
    run = _Run(
        function,
        values,
        paid=paid,
        before=before,
        stats=stats or CallStats(),
        cancelled=cancelled or threading.Event(),
        stop_at_failure=stop_at_failure,
        all_may_fail=all_may_fail,
        example=example,
    )
    return run.finish()


def embed_sources(
    function: EmbeddingFunction, values: Sequence[Any], *, stats: CallStats | None = None
) -> list[NDArray[Any] | None]:
    """Embed *values*, which are to be stored.

    Args:
        function: What embeds them.
        values: Texts, bytes, or whatever the function takes; None is not sent.
        stats: Requests and retries are added to it.

    Returns:
        One vector per value in their order, shape (ndims,), or (m, ndims) from a function of multivectors;
        C-contiguous, of the function's dtype, float32 as a rule. None for None.

    Raises:
        InputTooLong: A text is longer than the function takes, and its `on_long` refuses it.
        EmbeddingError: A value could not be embedded; `row` is its position, or that of the first value of the request.
    """
    vectors: list[NDArray[Any] | None] = [None] * len(values)
    places = [place for place, value in enumerate(values) if value is not None]
    if not places:
        return vectors
    function = function.ready()

    def embed(parts: list[Any], rows: list[int]) -> list[NDArray[Any]]:
        with placing_errors(rows):
            answers = embed_distinct(function, parts, stats=stats)
        return [answer for answer in answers if not isinstance(answer, EmbeddingError)]  # it stops at the first failure

    with placing_errors(places):
        made = embed_in_parts(function, [values[place] for place in places], "source", embed)
    for place, vector in zip(places, made, strict=True):
        vectors[place] = vector
    return vectors


class _Run:
    def __init__(
        self,
        function: EmbeddingFunction,
        values: Sequence[Any],
        *,
        paid: Paid | None,
        before: Callable[[Sequence[Any]], None] | None,
        stats: CallStats,
        cancelled: threading.Event,
        stop_at_failure: bool,
        all_may_fail: bool,
        example: Any,
    ) -> None:
        self._function, self._values, self._stats, self._cancelled = function, values, stats, cancelled
        self._paid, self._before, self._stop_at_failure = paid, before, stop_at_failure
        self._works, self._example = all_may_fail, example
        self._answers: list[Answer | None] = [None] * len(values)
        self._failed_alone = 0
        self._tries_others = False
        self._waiting = deque(pack(function, values))

    def finish(self) -> list[Answer]:
        count = min(self._function.max_concurrency, max(1, len(self._waiting)))
        in_turn = (self._values[place] for request in tuple(self._waiting) for place in request)
        with reading_ahead(self._function, in_turn), _workers(count) as submit:
            under_way: dict[Future[Sequence[Answer]], list[int]] = {}
            try:
                while self._waiting or under_way:
                    self._send(submit, under_way)
                    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    self._settle([(under_way.pop(future), future) for future in done])
            except BaseException:
                self._wind_up(under_way)
                raise
        return [answer for answer in self._answers if answer is not None]

    def _send(self, submit: _Submit, under_way: dict[Future[Sequence[Answer]], list[int]]) -> None:
        while self._waiting and len(under_way) < self._function.max_concurrency:
            self._stop_if_cancelled()
            places = self._waiting.popleft()
            inputs = [self._values[place] for place in places]
            if self._before:
                self._before(inputs)
            under_way[submit(partial(self._request, inputs))] = places

    def _request(self, inputs: list[Any]) -> Sequence[Answer]:
        return request_sources(self._function, inputs, self._stats, self._cancelled)

    def _settle(self, done: Sequence[tuple[list[int], Future[Sequence[Answer]]]]) -> None:
        """Hand over what was paid for, all of it, before anything is raised."""
        places: list[int] = []
        answers: list[Answer] = []
        refused: list[tuple[list[int], EmbeddingError]] = []
        for asked, future in done:
            try:
                got = future.result()
            except EmbeddingError as refusal:
                refused.append((asked, refusal))
            else:
                places += asked
                answers += got
        self._keep(places, answers)
        for asked, error in refused:
            self._refuse(asked, error)
        self._stop_if_broken()

    def _keep(self, places: Sequence[int], answers: Sequence[Answer]) -> None:
        errors: list[EmbeddingError] = []
        for place, answer in zip(places, answers, strict=True):
            self._answers[place] = answer
            if isinstance(answer, EmbeddingError):
                answer.row = place
                errors.append(answer)
        self._failed_alone += sum(not isinstance(error, BadInputError) for error in errors)  # one that says so works
        self._works = self._works or len(errors) < len(answers)
        if self._paid and places:
            self._paid(places, answers)
        if self._stop_at_failure and errors:
            raise errors[0]

    def _refuse(self, places: list[int], error: EmbeddingError) -> None:
        if not self._is_spoiled(error):
            error.row = places[0]
            raise error
        if len(places) == 1:
            self._keep(places, [error])
            return
        middle = len(places) // 2
        self._waiting.extendleft([places[middle:], places[:middle]])

    def _is_spoiled(self, error: EmbeddingError) -> bool:
        """Whether an input of the request is at fault, as also an error of our tree says that the function raised."""
        if isinstance(error, BadEmbeddingError):
            return True
        if isinstance(error, EmbeddingFunctionUnavailable | TimeoutError):
            return False
        cause = error.__cause__
        return not isinstance(cause, Exception) or self._function.classify_error(cause) == "bisect"

    def _stop_if_broken(self) -> None:
        """Raise if nothing but failures came back, and other inputs fail as well."""
        if self._works or self._failed_alone < SYSTEMIC_FAILURES:
            return
        if self._example is not None:
            self._works = self._embeds_example()
        elif not self._tries_others:
            self._try_others()
        is_open = any(answer is None for answer in self._answers) and self._failed_alone < 2 * SYSTEMIC_FAILURES
        if not self._works and not (self._tries_others and is_open):
            raise next(answer for answer in self._answers if isinstance(answer, EmbeddingError))

    def _embeds_example(self) -> bool:
        try:
            [answer] = self._request([self._example])
        except EmbeddingError:
            return False
        return not isinstance(answer, EmbeddingError)

    def _try_others(self) -> None:
        """Let some inputs from all over those waiting go next, each alone: neighbours often share what is wrong."""
        self._tries_others = True
        waiting = [place for request in self._waiting for place in request]
        count = min(len(waiting), SYSTEMIC_FAILURES)
        others = dict.fromkeys(waiting[i * (len(waiting) - 1) // max(1, count - 1)] for i in range(count))
        rest = ([place for place in request if place not in others] for request in self._waiting)
        self._waiting = deque([*([place] for place in others), *filter(None, rest)])

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise EmbeddingError("the call was interrupted", function=self._function.label)

    def _wind_up(self, under_way: dict[Future[Sequence[Answer]], list[int]]) -> None:
        """Keep what the requests under way bring; none of them waits or tries again."""
        self._cancelled.set()
        wait(under_way)
        for future, places in under_way.items():
            if not future.cancelled() and future.exception() is None and self._paid:
                self._paid(places, future.result())


_Submit: TypeAlias = Callable[[Callable[[], Sequence[Answer]]], Future[Sequence[Answer]]]


@contextmanager
def _workers(count: int) -> Iterator[_Submit]:
    """Something that runs calls in *count* threads; in this one if that is enough."""
    if count == 1:
        yield _run_here
        return
    with ThreadPoolExecutor(count, thread_name_prefix="lancelike-embed") as pool:
        yield lambda call: pool.submit(copy_context().run, call)


def _run_here(call: Callable[[], Sequence[Answer]]) -> Future[Sequence[Answer]]:
    future: Future[Sequence[Answer]] = Future()
    try:
        future.set_result(call())
    except EmbeddingError as error:
        future.set_exception(error)
    return future
