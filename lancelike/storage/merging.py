"""Merges that don't insert a key twice, whoever else is merging.

Lance lets two merges that only insert pass each other, so each would insert the keys that both bring. A merge here
also names one fragment that every other merge names, the oldest, as changed, so that of two that meet one is refused
and replayed on what the other left; on a table without fragments both replace the fragment list, with the same effect.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from lance import LanceDataset, LanceOperation

from lancelike.calls import current_call
from lancelike.storage.joining import MergeClauses, NewRows, join
from lancelike.storage.transactions import commit
from lancelike.types import StorageOptions


def merge(
    dataset: LanceDataset,
    clauses: MergeClauses,
    rows: NewRows,
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
    with current_call().before_commit():
        operation, counts = join(dataset, clauses, rows, storage_options) or _joined_by_lance(dataset, clauses, rows)
        operation = _exclusive(dataset, operation)
    with committing():
        committed = commit(dataset, operation, storage_options)
    dataset._ds = committed._ds
    return counts


def _joined_by_lance(dataset: LanceDataset, clauses: MergeClauses, rows: NewRows) -> tuple[Any, dict[str, int]]:
    builder = dataset.merge_insert(list(clauses.on)).use_index(clauses.use_index)
    if clauses.when_matched_update_all:
        builder.when_matched_update_all(clauses.when_matched_where)
    if clauses.when_not_matched_insert_all:
        builder.when_not_matched_insert_all()
    if clauses.when_not_matched_by_source_delete:
        builder.when_not_matched_by_source_delete(clauses.by_source_condition)
    transaction, counts = builder.execute_uncommitted(rows.read())
    return transaction.operation, dict(counts)


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
