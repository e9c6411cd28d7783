"""Texts as tokenizers and models want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf


def valid_text(text: str) -> str:
    """*text* without lone surrogates, which no tokenizer takes: each becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def passes_by_length(lengths: Sequence[int], most: int, room: float = inf) -> Iterator[list[int]]:
    """Positions of *lengths* in passes, the like ones together: a pass is as long as its longest.

    The longest go first, so that the memory they take serves the others.

    Args:
        lengths: Of texts.
        most: Texts of a pass.
        room: Most of a pass's texts times the length of its longest; one text is always let in.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        size = max(1, int(min(most, room / max(1, lengths[order[start]]))))
        yield order[start : start + size]
        start += size
