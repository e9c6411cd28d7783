"""Texts longer than their function takes: refused, cut, or embedded in windows whose mean is the vector."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike.embeddings.base import EmbeddingFunction, Role
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

    def error(self, function: EmbeddingFunction) -> InputTooLong:
        """Why it is refused."""
        return InputTooLong(function.label, self.tokens, self.limit)


def long_texts(function: EmbeddingFunction, values: Sequence[Any], role: Role = "source") -> dict[int, LongText]:
    """Those of *values* that are texts over the limit of *function*, by position."""
    limit = function.input_limit()
    places = [] if limit is None else [place for place, value in enumerate(values) if isinstance(value, str)]
    if limit is None or not places:
        return {}
    tokens = function.count_tokens(function.prompted([values[place] for place in places], role))
    found: dict[int, LongText] = {}
    for place, count in zip(places, tokens, strict=True):
        if count > limit:
            found[place] = _fitted(function, values[place], count, limit, role)
    return found


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


def cut(text: str, tokens: int, limit: int, count: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    """*text* in windows of at most *limit* tokens, with the tokens of each.

    Each window takes what fits, and ends with a word unless a single word is over the limit. Nothing comes of a limit
    that not even a character keeps.

    Args:
        text: The text.
        tokens: Its tokens.
        limit: Most tokens of a window.
        count: Counts the tokens of a text.
    """
    characters = max(1, len(text) * limit // max(1, tokens))
    start = 0
    while (word := _WORD.search(text, start)) is not None:
        start = word.start()
        end, weight = _fitting(text, start, start + characters, limit, count)
        if end == start:
            return
        yield text[start:end].rstrip(), weight
        start = end


def _fitting(text: str, start: int, guess: int, limit: int, count: Count) -> tuple[int, int]:
    """Where the longest run of words from *start* on ends that has at most *limit* tokens, and how many it has.

    The guess is mended twice in proportion, which leaves a few words to be tried by halving.
    """
    fits, weight, over = start, 0, len(text) + 1
    for _ in range(3):
        end = max(fits + 1, min(guess, over - 1))
        if end >= over:
            break
        tokens = count(text[start:end])
        if tokens <= limit:
            fits, weight = end, tokens
        else:
            over = end
        if fits == len(text):
            return fits, weight
        guess = start + (end - start) * limit // max(1, tokens)
    ends = [fits + match.end() for match in _WORD.finditer(text[fits : over - 1])]
    at, weight = _last_fitting(text, start, [start, *_word_ends(text, start, over)], limit, count)
    if at == start:
        at, weight = _last_fitting(text, start, range(start, over), limit, count)
    return at, weight
