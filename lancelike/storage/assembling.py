"""One version of a column in memory: assembled of parts that are held, and of parts that are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from lance import LanceDataset
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.plan import VectorColumn
from lancelike.storage.gathering import Room
from lancelike.storage.held import HeldVectors, Partitions, RowsNeeded
from lancelike.storage.ivf import IvfIndex, ivf_index
from lancelike.storage.loading import read_fragments, read_segment
from lancelike.storage.mapped import mapped_vectors, may_be_mapped
from lancelike.storage.parts import FragmentKey, Part, bytes_of, keyed, still_true
from lancelike.storage.vectors import Positions, Vectors, joined

PartName: TypeAlias = str | FragmentKey
"""UUID of an index's segment, or a fragment."""

MOST_LOOSE_ROWS, MOST_LOOSE_SHARE = 10_000, 0.05
"""Rows that fragments may bring to an index's segment before it is read again to place them in its partitions."""


class Assembly:
    """What it takes to hold one version of a column.

    Attributes:
        there: The version's fragments.
        found: Parts that are held already, as they are in this version.
    """

    def __init__(self, shown: LanceDataset, column: VectorColumn, held: Mapping[PartName, Part]) -> None:
        self._shown, self._column = shown, column
        self.there = keyed(shown, column)
        self._index = ivf_index(shown, column.name) if _takes_partitions(column) else None
        wanted = {name: part for name, part in held.items() if self._is_wanted(name)}
        found = still_true(shown, self.there, wanted)
        self._segments: dict[str, dict[FragmentKey, LanceFragment]] = {}
        self._covered: set[FragmentKey] = set()
        placed: set[FragmentKey] = set()
        for uuid, ids in self._index.segments.items() if self._index else ():
            covered = {key: each for key, each in self.there.items() if key[0] in ids}
            self._covered |= covered.keys()
            if uuid in found and _is_whole(found[uuid], covered):
                placed |= found[uuid].sources.keys()
            elif covered:
                found.pop(uuid, None)
                self._segments[uuid] = covered
                placed |= covered.keys()
        self.found = {name: part for name, part in found.items() if isinstance(name, str) or name not in placed}
        self._fragments = {key: each for key, each in self.there.items() if key not in placed and key not in self.found}

    @property
    def num_rows_to_read(self) -> int:
        """Rows that are not held yet."""
        return num_rows(self._fragments.values()) + sum(num_rows(each.values()) for each in self._segments.values())

    @cached_property
    def mapped(self) -> dict[FragmentKey, Vectors]:
        """Of the fragments that are not held yet, those whose vectors stay in their files."""
        if not may_be_mapped(self._shown, self._column):
            return {}
        fragments = {**self._fragments, **{key: each for its in self._segments.values() for key, each in its.items()}}
        found = {key: mapped_vectors(self._shown, each, self._column) for key, each in fragments.items()}
        return {key: vectors for key, vectors in found.items() if vectors is not None}

    @property
    def needed_bytes(self) -> int:
        """What the rows that are not held yet will take, at least."""
        mapped = num_rows(self.there[key] for key in self.mapped)
        copied = self.num_rows_to_read - mapped
        return bytes_of(copied, self._column) + bytes_of(mapped, self._column, mapped=True)

    def run(self, room: Room) -> dict[PartName, Part]:
        """All parts, those of an index first; reads those that are not held.

        Raises:
            UnsuitedError: A vector is not for this.
            TooLargeError: There is no *room* for all.
        """
        parts = dict(self.found)
        if self._index is not None:
            for uuid, fragments in self._segments.items():
                parts[uuid] = read_segment(
                    self._shown, fragments, self._column, self._index, self._mapped_of(fragments), room
                )
        mapped = self._mapped_of(self._fragments)
        parts.update(read_fragments(self._shown, self._fragments, self._column, mapped, room))
        in_order: list[PartName] = [*(self._index.segments if self._index else ()), *self.there]
        return {name: parts[name] for name in in_order if name in parts}

    def joined(self, parts: Mapping[PartName, Part]) -> HeldVectors:
        """The rows of *parts*, one after the other."""
        filled = {name: part for name, part in parts.items() if len(part.codes)}
        held = _joined(list(filled.values()), self._column)
        if self._index is None or not filled:
            return held
        return replace(held, partitions=self._partitions(self._index, filled, held.starts))

    def _mapped_of(self, fragments: Collection[FragmentKey]) -> dict[FragmentKey, Vectors]:
        return {key: vectors for key, vectors in self.mapped.items() if key in fragments}

    def _is_wanted(self, name: PartName) -> bool:
        return name in self.there or (self._index is not None and name in self._index.segments)

    def _partitions(self, index: IvfIndex, parts: Mapping[PartName, Part], starts: Positions) -> Partitions | None:
        offsets: list[Positions] = []
        needed: list[tuple[RowsNeeded | None, int]] = []
        rest: list[tuple[int, int]] = []
        tail: list[tuple[int, int]] = []
        for (name, part), start, stop in zip(parts.items(), starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            if part.offsets is not None:
                offsets.append(part.offsets + start)
                needed.append((part.needed, int(part.offsets[-1])))
                rest.append((start + int(part.offsets[-1]), stop))
            else:
                (rest if isinstance(name, str) or name in self._covered else tail).append((start, stop))
        if not offsets:
            return None
        return Partitions(
            index=index.name,
            metric=index.metric,
            centroids=index.centroids,
            half_squared_norms=index.half_squared_norms,
            offsets=np.stack(offsets),
            rest=_runs(rest),
            tail=_runs(tail),
            needed=RowsNeeded.together(needed),
        )


def _takes_partitions(column: VectorColumn) -> bool:
    """Whether an index's partitions are of use: distances between bytes or many vectors are not those of centroids."""
    return not column.multivector and not column.is_of_bytes


def _is_whole(part: Part, covered: Mapping[FragmentKey, LanceFragment]) -> bool:
    """Whether a segment's *part* has nearly all the rows that the segment covers; the others are held by themselves."""
    loose = num_rows(each for key, each in covered.items() if key not in part.sources)
    return loose <= max(MOST_LOOSE_ROWS, MOST_LOOSE_SHARE * len(part.codes))


def num_rows(fragments: Iterable[LanceFragment]) -> int:
    """Rows of *fragments*, deleted ones left out."""
    return sum(int(each.metadata.num_rows) for each in fragments)


def _runs(runs: Sequence[tuple[int, int]]) -> Positions:
    filled = [run for run in runs if run[1] > run[0]]
    return np.array(filled, np.intp).reshape(-1, 2)


def _joined(parts: Sequence[Part], column: VectorColumn) -> HeldVectors:
    if not parts:
        return _nothing(column)
    addresses = _concatenated([each.addresses for each in parts])
    stable = parts[0].row_ids is not parts[0].addresses
    starts = np.cumsum([0, *(len(each.codes) for each in parts)], dtype=np.intp)
    firsts = np.flatnonzero(np.concatenate([[True], addresses[1:] != addresses[:-1]])) if column.multivector else None
    return HeldVectors(
        values=joined([each.vectors for each in parts]),
        codes=tuple(each.codes for each in parts),
        starts=starts,
        scales=_concatenated([each.scales for each in parts]),
        squared_norms=_concatenated([each.squared_norms for each in parts]),
        row_ids=_concatenated([each.row_ids for each in parts]) if stable else addresses,
        addresses=addresses,
        by_address=None if bool((addresses[1:] >= addresses[:-1]).all()) else np.argsort(addresses, kind="stable"),
        dead=np.concatenate([each.dead + start for each, start in zip(parts, starts[:-1], strict=True)]),
        firsts=firsts,
    )


def _nothing(column: VectorColumn) -> HeldVectors:
    ids, numbers, positions = np.empty(0, np.uint64), np.empty(0, np.float32), np.empty(0, np.intp)
    vectors = np.empty((0, column.ndims), column.dtype)
    return HeldVectors(
        values=Vectors((vectors,)),
        codes=(vectors.astype(np.uint8 if column.is_of_bytes else np.int8),),
        starts=np.zeros(2, np.intp),
        scales=numbers,
        squared_norms=numbers,
        row_ids=ids,
        addresses=ids,
        by_address=None,
        dead=positions,
        firsts=positions if column.multivector else None,
    )


def _concatenated(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
