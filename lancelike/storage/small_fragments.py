"""Small fragments merged, so that a table which grows row by row stays quick to write and to read.

Each commit writes a manifest of all fragments (2.4 µs for each), and what looks for rows opens each of them (25 µs).
Merging goes in tiers, so that a row is written again three times at most, however many commits follow. Only fragments
that no index covers are merged: their rows are in no index that had to follow.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from lance import LanceDataset

from lancelike.schema.blobs import has_blobs
from lancelike.storage.dataset import Dataset

MANY = 24
"""Fragments of a tier that are merged."""
TIERS = (1, 32, 1_024, 32_768)
"""Rows from which on a fragment is of the next tier; of the last one, it is left alone."""
MOST_BYTES = 64 << 20
"""What is merged at most, since a write waits for it: 32 rows of 384 dimensions take 10 ms, 60 MB 85."""


@dataclass(frozen=True, slots=True)
class _Fragment:
    number: int
    rows: int
    bytes: int


def merge_small_fragments(dataset: Dataset, *, all_tiers: bool = False) -> bool:
    """Merge the fragments of a tier, and those of the tiers below, if there are many; whether that was done.

    Nothing is done while the table is being changed otherwise than by adding rows, without stable row ids, since rows
    would get others, and with blobs, which may be of any size.

    Args:
        dataset: The table.
        all_tiers: Merge all that are small, if there are two.

    Raises:
        CommitConflictError: Another program changed them meanwhile.
    """
    with dataset.errors():
        shown = dataset.lance
        if not shown.has_stable_row_ids or has_blobs(shown.schema, shown.schema.names):
            return False
        if _rows_wanted(_uncovered(shown), all_tiers) is None:
            return False
    with dataset.undisturbed() as is_undisturbed:
        if is_undisturbed:
            dataset.change(lambda latest: _merge(latest, all_tiers), attempts=1, mend=False)
    return is_undisturbed


def _merge(latest: LanceDataset, all_tiers: bool) -> None:
    there = _uncovered(latest)
    if (rows := _rows_wanted(there, all_tiers)) is None:
        return
    kept = {each.fragment_id for each in latest.get_fragments()} - {each.number for each in there}
    latest.optimize.compact_files(
        target_rows_per_fragment=rows, materialize_deletions=False, excluded_fragment_ids=sorted(kept)
    )


def _uncovered(shown: LanceDataset) -> list[_Fragment]:
    """The small fragments that no index covers."""
    covered = {
        number for index in shown.describe_indices() for segment in index.segments for number in segment.fragment_ids
    }
    fragments = (each.metadata for each in shown.get_fragments() if each.fragment_id not in covered)
    return [
        _Fragment(each.id, each.physical_rows, sum(file.file_size_bytes or 0 for file in each.files))
        for each in fragments
        if each.physical_rows < TIERS[-1]
    ]


def _rows_wanted(fragments: Collection[_Fragment], all_tiers: bool) -> int | None:
    """Fragments with fewer rows are to be merged into ones of as many; None: none are."""
    for first, end in reversed(list(pairwise(TIERS))):
        many = 2 if all_tiers else MANY
        there = sum((0 if all_tiers else first) <= each.rows < end for each in fragments)
        if there >= many and sum(each.bytes for each in fragments if each.rows < end) <= MOST_BYTES:
            return end
    return None
