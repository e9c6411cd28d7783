"""Rows that are in memory, in parts that are written side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from lancelike.ingest.batch import Batch
from lancelike.ingest.read import Source
from lancelike.processors import usable_processors

PART_BYTES = 32 << 20
"""The least that a part holds, unless more parts are asked for: each is a fragment of the table."""
MOST_PARTS = 4
"""And the most parts there are then: each is in memory once more, a few batches of it at a time."""


def in_parts(source: Source, most: int | None, are_independent: Callable[[], bool] = lambda: True) -> list[Source]:
    """*source* as parts that follow each other, each about as long; rows that aren't in memory are one part.

    Args:
        source: The rows, none of them read yet.
        most: How many parts there may be; None: by what the rows take, one for each processor.
        are_independent: Tells, if asked, whether there may be several.
    """
    if source.num_rows is None or source.num_bytes is None:
        return [source]
    count = _count(source.num_bytes) if most is None else min(most, source.num_rows)
    if count <= 1 or not are_independent():
        return [source]
    batches = list(source.batches)
    cuts = [source.num_rows * number // count for number in range(count + 1)]
    return [
        replace(source, batches=_between(batches, start, end), num_rows=end - start) for start, end in pairwise(cuts)
    ]


def _count(num_bytes: int) -> int:
    return min(num_bytes // PART_BYTES, MOST_PARTS, usable_processors())


def _between(batches: Sequence[Batch], start: int, end: int) -> Iterator[Batch]:
    """The rows of *batches*, which are consecutive, from position *start* to before *end*."""
    for batch in batches:
        first = batch.row(0)
        low, high = max(start, first), min(end, first + len(batch))
        if low < high:
            yield batch.slice(low - first, high - low)
