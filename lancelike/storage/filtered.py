"""Rows that filters leave, remembered for those who filter by the same again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from lancelike.storage.held import HeldVectors
from lancelike.storage.vectors import Positions

FilterName: TypeAlias = tuple[str, str, str, tuple[int, int], str]
"""Database, table, column, version, and the condition."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """The rows of some vectors held that a filter leaves.

    Attributes:
        held: The vectors.
        positions: Of the rows in them, ascending.
        copies: The vectors of these rows alone, in that order, once they were copied.
    """

    held: HeldVectors
    positions: Positions
    copies: HeldVectors | None = None

    @cached_property
    def nbytes(self) -> int:
        """Bytes that this takes beside the vectors held."""
        copies = self.copies.arrays if self.copies is not None else ()
        return int(self.positions.nbytes) + sum(int(array.nbytes) for array in copies)


class KeptFilters:
    """What several filters leave; the one least recently asked for goes first. Whoever has it locks it."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._kept: OrderedDict[FilterName, Filtered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: FilterName) -> Filtered | None:
        """What is kept of a filter."""
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
        return found

    def keep(self, name: FilterName, filtered: Filtered, most_bytes: int) -> None:
        """Keep *filtered*, in place of what was kept of that filter, and of others no more than *most_bytes* in all."""
        self._drop(name)
        self._kept[name] = filtered
        self.nbytes += filtered.nbytes
        while self.nbytes > most_bytes:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Let go of the one least recently asked for."""
        self._drop(next(iter(self._kept)))

    def drop_where(self, is_gone: Callable[[FilterName], bool]) -> None:
        """Let go of those that are of no use any more."""
        for name in [name for name in self._kept if is_gone(name)]:
            self._drop(name)

    def _drop(self, name: FilterName) -> None:
        if (found := self._kept.pop(name, None)) is not None:
            self.nbytes -= found.nbytes
