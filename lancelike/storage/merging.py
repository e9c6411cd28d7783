"""Merges that don't insert a key twice, whoever else is merging.

Lance lets two merges that only insert pass each other, so each would insert the keys that both bring. A merge here
also names one fragment that every other merge names, the oldest, as changed, so that of two that meet one is refused
and replayed on what the other left; on a table without fragments both replace the fragment list, with the same effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from lance import LanceDataset, LanceOperation

from lancelike.calls import current_call
from lancelike.storage.transactions import commit
from lancelike.types import StorageOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeClauses:
    """What a merge does; `Dataset.merge` says what each means."""

    on: Sequence[str]
    when_matched_update_all: bool
    when_matched_where: str | None
    when_not_matched_insert_all: bool
    when_not_matched_by_source_delete: bool
    by_source_condition: str | None
    use_index: bool


def merge(
    dataset: LanceDataset,
    clauses: MergeClauses,
    rows: pa.Table | pa.RecordBatchReader,
    storage_options: StorageOptions | None,
    committing: Callable[[], AbstractContextManager[None]],
) -> dict[str, int]:
    """Merge *rows* into *dataset*, the latest version, and move it to the version that makes; Lance's counts.

    Args:
        dataset: The latest version.
        clauses: What to do.
        rows: The new rows.
        storage_options: Of the database.
        committing: Entered around the commit; what it raises is raised, and nothing is committed.

    Raises:
        lance.commit.CommitConflictError: Another writer got in the way; to be run again on a newer version.
    """
    builder = dataset.merge_insert(list(clauses.on)).use_index(clauses.use_index)
    if clauses.when_matched_update_all:
        builder.when_matched_update_all(clauses.when_matched_where)
    if clauses.when_not_matched_insert_all:
        builder.when_not_matched_insert_all()
    if clauses.when_not_matched_by_source_delete:
        builder.when_not_matched_by_source_delete(clauses.by_source_condition)
    with current_call().before_commit():
        transaction, counts = builder.execute_uncommitted(rows)
        operation = _exclusive(dataset, transaction.operation)
    with committing():
        committed = commit(dataset, operation, storage_options, read_version=transaction.read_version)
    dataset._ds = committed._ds
    return dict(counts)


def _exclusive(dataset: LanceDataset, update: Any) -> LanceOperation.BaseOperation:
    """*update*, so that it conflicts with every other merge that inserts."""
    if not update.new_fragments:
        return update
    fragments = dataset.get_fragments()
    if not fragments:
        for fragment in update.new_fragments:
            fragment.row_id_meta = None  # assigned when this kind of operation is committed
        return LanceOperation.Merge(update.new_fragments, dataset.lance_schema)
    oldest = min(fragments, key=lambda each: each.fragment_id).metadata
    touched = {each.id for each in update.updated_fragments} | set(update.removed_fragment_ids)
    if oldest.id not in touched:
        update.updated_fragments = [*update.updated_fragments, oldest]
    return update
