"""Texts longer than their function takes: refused, cut, or embedded in windows whose mean is the vector."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike.embeddings.base import EmbeddingFunction, Role
from lancelike.embeddings.retrying import call_with_retry
from lancelike.errors import InputTooLong

Count: TypeAlias = Callable[[str], int]

_WORD = re.compile(r"\S+")
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class LongText:
    """A text that is over its function's limit.

    Attributes:
        tokens: Its tokens, prompt included.
        limit: The limit.
        windows: What is embedded in its place, in order; nothing if it is refused.
        weights: Tokens of each window.
    """

    tokens: int
    limit: int
    windows: list[str]
    weights: list[int]

    def refusal(self, function: EmbeddingFunction, row: int | None = None) -> InputTooLong:
        """The error of a text that is refused."""
        return InputTooLong(function.label, self.tokens, self.limit, row=row)


def long_texts(function: EmbeddingFunction, values: Sequence[Any], role: Role = "source") -> dict[int, LongText]:
    """Those of *values* that are texts over the limit of *function*, by position."""
    limit = limit_of(function)
    if limit is None:
        return {}
    found = over_limit(function, values, limit, role)
    return {place: _fitted(function, values[place], tokens, limit, role) for place, tokens in found.items()}


def over_limit(function: EmbeddingFunction, values: Sequence[Any], limit: int, role: Role = "source") -> dict[int, int]:
    """The tokens of those of *values* that are texts of more than *limit* tokens, prompt included, by position."""
    places = [place for place, value in enumerate(values) if isinstance(value, str)]
    if not places:
        return {}
    prompted = function.prompted([values[place] for place in places], role)
    tokens = call_with_retry(lambda: function.count_tokens(prompted), function=function)
    return {place: count for place, count in zip(places, tokens, strict=True) if count > limit}


def limit_of(function: EmbeddingFunction) -> int | None:
    """Most tokens of one text that *function* takes; None if that isn't known. May load the model.

    Raises:
        EmbeddingFunctionUnavailable: The model can't be loaded.
    """
    return call_with_retry(function.input_limit, function=function)


def _fitted(function: EmbeddingFunction, text: str, tokens: int, limit: int, role: Role) -> LongText:
    policy = function.long_policy()
    fitted = LongText(tokens, limit, [], [])
    if policy == "error" or (policy == "mean" and function.vector_dtype().kind != "f"):
        return fitted

    def count(part: str) -> int:
        return function.count_tokens(function.prompted([part], role))[0]

    for window, weight in cut(text, tokens, limit, count):
        fitted.windows.append(window)
        fitted.weights.append(weight)
        if policy == "truncate":
            break
    return fitted


def cut(text: str, tokens: int, limit: int, count: Count) -> Iterator[tuple[str, int]]:
    """*text* in windows of at most *limit* tokens, with the tokens of each.

    Each window takes as many whole words as fit; a word that is over the limit alone is cut. Nothing comes of a limit
    that not even a character keeps.

    Args:
        text: The text.
        tokens: Its tokens.
        limit: Most tokens of a window.
        count: Counts the tokens of a text.
    """
    expected = max(1, len(text) * limit // max(1, tokens))
    word = _WORD.search(text)
    while word is not None:
        window, weight = _longest_fitting(text, word.start(), 2 * expected, limit, count)
        if not window:
            return
        yield window, weight
        word = _WORD.search(text, word.start() + len(window))


def _longest_fitting(text: str, start: int, reach: int, limit: int, count: Count) -> tuple[str, int]:
    """The longest run of words from *start* on that has at most *limit* tokens, and how many it has.

    Found by halving among the words that end within *reach* characters, and among more if all of these fit.
    """
    counted = cache(lambda end: count(text[start:end]))
    for ends_within in (_word_ends, _character_ends):
        stop = start + reach
        while (ends := ends_within(text, start, stop)) and counted(ends[0]) <= limit:
            fitting = bisect_right(ends, limit, lo=1, key=counted)
            if fitting < len(ends) or stop >= len(text):
                end = ends[fitting - 1]
                return text[start:end], counted(end)
            stop += reach
    return "", 0


def _word_ends(text: str, start: int, stop: int) -> Sequence[int]:
    """Where the words end that are whole within *start* and *stop*."""
    ends = [word.end() for word in _WORD.finditer(text, start, stop)]
    is_split = ends and ends[-1] == stop < len(text) and not text[stop].isspace()
    return ends[:-1] if is_split else ends


def _character_ends(text: str, start: int, stop: int) -> Sequence[int]:
    return range(start + 1, min(stop, len(text)) + 1)


def joined(vectors: Sequence[NDArray[Any]], weights: Sequence[int]) -> NDArray[Any]:
    """One vector for a long text, from those of its windows.

    Their mean, each counting by its tokens, of unit length if they are; multivectors are put one after the other.

    Args:
        vectors: Of the windows, shape (ndims,), or (m, ndims) each from a function of multivectors.
        weights: Tokens of each window.
    """
    if len(vectors) == 1:
        return vectors[0]
    if vectors[0].ndim == 2:
        return np.concatenate(vectors)
    windows = np.stack(vectors)
    mean = np.average(windows, axis=0, weights=weights)
    length = np.linalg.norm(mean)
    if length and np.allclose(np.linalg.norm(windows, axis=1), 1, atol=_UNIT_TOLERANCE):
        mean = mean / length
    return np.ascontiguousarray(mean, dtype=windows.dtype)


def embed_in_parts(
    function: EmbeddingFunction,
    values: Sequence[Any],
    role: Role,
    embed: Callable[[list[Any], list[int]], Sequence[NDArray[Any]]],
) -> list[NDArray[Any]]:
    """A vector for each of *values*, long texts treated as the function's `on_long` says.

    Args:
        function: What embeds them.
        values: The inputs, none of them None.
        role: What they are embedded as.
        embed: Makes the vectors of inputs that are not too long; it is also given the row that each is of.

    Raises:
        InputTooLong: A long text is refused; `row` is its position.
    """
    long = long_texts(function, values, role)
    for row, text in long.items():
        if not text.windows:
            raise text.refusal(function, row)
    parts = [long[row].windows if row in long else [value] for row, value in enumerate(values)]
    rows = [row for row, windows in enumerate(parts) for _ in windows]
    vectors = iter(embed([part for windows in parts for part in windows], rows))
    return [
        joined([next(vectors) for _ in windows], long[row].weights) if row in long else next(vectors)
        for row, windows in enumerate(parts)
    ]
