"""Texts as tokenizers and models want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def valid_text(text: str) -> str:
    """*text* without lone surrogates, which no tokenizer takes: each becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def passes_by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Positions of *lengths* in passes of at most *most*, the like ones together: a pass is as long as its longest."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for start in range(0, len(order), most):
        yield order[start : start + most]
