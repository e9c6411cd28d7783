"""Commits that say they are ours, so that the others can be told from them."""

from __future__ import annotations

from collections.abc import Mapping

from lance import LanceDataset, LanceOperation, Transaction

from lancelike.types import StorageOptions

PROPERTY = "lancelike"
"""Transaction property of the commits made here; its value is what the commit was."""
OURS: Mapping[str, str] = {PROPERTY: "write"}
_RETRIES = 20


def commit(
    dataset: LanceDataset,
    operation: LanceOperation.BaseOperation,
    storage_options: StorageOptions | None,
    *,
    read_version: int | None = None,
    properties: Mapping[str, str] = OURS,
    detached: bool = False,
    max_retries: int = _RETRIES,
) -> LanceDataset:
    """*dataset* with *operation* done to it, marked as ours.

    Args:
        dataset: The version that the operation was made on, unless *read_version* names another.
        operation: What changes.
        storage_options: Of the database.
        read_version: The version that the operation was made on.
        properties: What the transaction says of itself.
        detached: Make a version that is no successor: readers and writers don't see it.
        max_retries: How often Lance tries again after a commit that came between and leaves this one possible. An
            overwrite replaces whatever that did; with 0 it is a CommitConflictError.
    """
    transaction = Transaction(
        dataset.version if read_version is None else read_version, operation, transaction_properties=dict(properties)
    )
    return LanceDataset.commit(
        dataset, transaction, storage_options=storage_options, detached=detached, max_retries=max_retries
    )
