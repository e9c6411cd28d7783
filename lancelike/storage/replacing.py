"""Rows deleted where they are and written anew elsewhere, as one operation.

With stable row ids each row that is written anew can keep its `_rowid`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from lance import LanceDataset, LanceOperation
from lance.fragment import FragmentMetadata, RowIdSequence
from numpy.typing import NDArray

from lancelike.storage.fitting import ids_within

_OFFSET_BITS = np.uint64(32)


class Places:
    """Rows of one version: their offsets, by the fragment that they are in. A row has 4 bytes."""

    def __init__(self) -> None:
        self._offsets: dict[int, list[NDArray[np.uint32]]] = {}

    @classmethod
    def matching(cls, dataset: LanceDataset, where: str | None) -> Places:
        """The rows of *dataset* that meet *where*; None is all."""
        places = cls()
        for batch in dataset.scanner(columns=[], filter=where, with_row_address=True).to_reader():
            places.add(batch["_rowaddr"].to_numpy())
        return places

    def add(self, addresses: NDArray[np.uint64]) -> None:
        """Take in the rows at *addresses*, none twice."""
        owners, offsets = (addresses >> _OFFSET_BITS).astype(np.uint32), addresses.astype(np.uint32)
        for owner in np.unique(owners).tolist():
            self._offsets.setdefault(owner, []).append(offsets[owners == owner])

    def __len__(self) -> int:
        return sum(len(part) for parts in self._offsets.values() for part in parts)

    @property
    def fragments(self) -> list[int]:
        """The ids of the fragments, ascending."""
        return sorted(self._offsets)

    def within(self, fragment: int) -> NDArray[np.uint32]:
        """The offsets of the rows in *fragment*, ascending."""
        parts = self._offsets[fragment]
        if len(parts) > 1:
            self._offsets[fragment] = parts = [np.concatenate(parts)]
        parts[0].sort()
        return parts[0]

    def same_as(self, other: Places) -> bool:
        """Whether both are the same rows."""
        return self.fragments == other.fragments and all(
            np.array_equal(self.within(each), other.within(each)) for each in self.fragments
        )


def replacement(
    dataset: LanceDataset, gone: Places, written: Sequence[FragmentMetadata], changed: Collection[str]
) -> LanceOperation.Update:
    """The operation that deletes the rows *gone* of *dataset* and adds *written*.

    Args:
        dataset: The version that *gone* is about.
        gone: The rows.
        written: Fragments that are in no version yet.
        changed: Columns in which rows that keep their `_rowid` have other values: the indices on others go on covering
            them.
    """
    updated, removed = [], []
    for owner in gone.fragments:
        fragment, offsets = dataset.get_fragment(owner), gone.within(owner)
        rest = None if len(offsets) == fragment.count_rows() else fragment.delete_rows(offsets.data)
        if rest is None:
            removed.append(owner)
        else:
            updated.append(rest)
    return LanceOperation.Update(
        updated_fragments=updated,
        removed_fragment_ids=removed,
        new_fragments=list(written),
        fields_modified=[],
        fields_for_preserving_frag_bitmap=_field_ids(dataset, changed) if dataset.has_stable_row_ids else [],
        update_mode="rewrite_rows",
    )


def keep_row_ids(written: Sequence[FragmentMetadata], row_ids: NDArray[np.uint64]) -> None:
    """Let the first rows of *written* have *row_ids*; those beyond are given new ones when they are committed."""
    start = 0
    for fragment in written:
        ids = row_ids[start : start + fragment.physical_rows]
        if len(ids):
            fragment.row_id_meta = RowIdSequence(ids.data).to_inline_metadata()
        start += fragment.physical_rows


def _field_ids(dataset: LanceDataset, names: Collection[str]) -> list[int]:
    fields = [each for each in dataset.lance_schema.fields() if each.name() in names]
    return [number for each in fields for number in ids_within(each)]
