"""Fragments added to a table whose columns others may change at that moment.

Lance rebases an `Append` over any change of columns. An `Update` conflicts with those that give columns other numbers,
and does beside all else what an `Append` does; but Lance looks up each row of it, which takes 60 ns. So many rows are
appended, and looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from lance import LanceDataset, LanceOperation
from lance.fragment import FragmentMetadata

from lancelike.storage.transactions import commit
from lancelike.types import StorageOptions

MOST_LOOKED_UP = 10_000
"""Rows whose commit conflicts with changes of columns."""


def conflicts(fragments: Sequence[FragmentMetadata]) -> bool:
    """Whether a commit of *fragments* conflicts with a change of columns."""
    rows: int = sum(each.physical_rows for each in fragments)
    return rows <= MOST_LOOKED_UP


def add_fragments(
    dataset: LanceDataset, fragments: Sequence[FragmentMetadata], storage_options: StorageOptions | None
) -> bool:
    """Add *fragments*, which are in no version yet, and move *dataset* to the version that makes.

    Returns:
        Whether it is certain that they follow the version that *dataset* was; else columns may have changed in between.
    """
    are_few, before = conflicts(fragments), int(dataset.version)
    operation = (
        LanceOperation.Update(new_fragments=list(fragments)) if are_few else LanceOperation.Append(list(fragments))
    )
    dataset._ds = commit(dataset, operation, storage_options)._ds
    return are_few or int(dataset.version) == before + 1


def ids_of(fragments: Sequence[FragmentMetadata], dataset: LanceDataset) -> list[int]:
    """The numbers that *fragments* have in *dataset*."""
    paths = {file.path for each in fragments for file in each.files}
    return [each.fragment_id for each in dataset.get_fragments() if paths & {file.path for file in each.data_files()}]
