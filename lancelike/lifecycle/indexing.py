"""Indices that follow the rows: after a write that leaves an index behind, the new rows are added to it.

After some writes, what those before left in small fragments is merged, so that no table is slow for having grown by
single rows.

That happens in the tail of the write, in the caller's thread, once the rows are committed: for 10 000 rows of 384
dimensions it takes 0.1 s (IVF_FLAT) to 0.7 s (IVF_HNSW_SQ) on two cores, and no thread has to be started, waited for
or stopped. An index of vectors that the table has outgrown is trained again only while the table is small, which takes
seconds; `optimize()` does it for larger ones. What goes wrong is logged: the rows are written, and found by scanning.
"""

from __future__ import annotations

import logging

from lancelike.errors import CommitConflictError
from lancelike.storage import Dataset
from lancelike.storage import index as indices
from lancelike.storage.outgrown import outgrown_indices, train_again
from lancelike.storage.small_fragments import merge_small_fragments
from lancelike.types import IndexPolicy

MOST_UNINDEXED = 10_000
"""Rows that an index may leave to be scanned, which adds about 5 ms to a search in 384 dimensions."""

_MERGED_ROWS = 10 * MOST_UNINDEXED
_MERGED_SHARE = 0.25
"""Segments are merged up to this many rows, or this share of the table: what a write may have to wait for."""

_TRAINED_ROWS = 100_000
"""Rows up to which a write may wait for an index to be trained again, which takes 3 s in 384 dimensions."""

_MERGED_EVERY = 32
"""Versions: every so often a write looks whether there are small fragments to merge."""

logger = logging.getLogger("lancelike.lifecycle")


def checked_policy(policy: IndexPolicy) -> IndexPolicy:
    """*policy*, if it is one."""
    if policy not in ("auto", "manual"):
        raise ValueError(f"index_policy is 'auto' or 'manual', not {policy!r}")
    return policy


class IndexUpkeep:
    """Keeps the indices of one table up to date.

    Args:
        policy: `"auto"` does after a write that leaves more than 10 000 rows out of an index; `"manual"` never does.
    """

    def __init__(self, policy: IndexPolicy = "auto") -> None:
        self.policy = checked_policy(policy)
        self._put_off: dict[str, int] = {}

    def after_write(self, dataset: Dataset) -> None:
        """Add the new rows to each index that leaves too many out, and merge small fragments.

        Never fails the write it follows.
        """
        if self.policy == "manual" or not dataset.indexing.acquire(blocking=False):
            return
        try:
            behind = self._behind(dataset)
            if behind or dataset.version % _MERGED_EVERY == 0:
                _merge_fragments(dataset, all_tiers=bool(behind))
            for index in indices.coverage(dataset) if behind else ():
                if index.name in behind:
                    self._catch_up(dataset, index)
        except Exception as error:  # noqa: BLE001 - the write is committed
            _warn(dataset, "the indices", error)
        finally:
            dataset.indexing.release()

    def _behind(self, dataset: Dataset) -> set[str]:
        """The indices that leave too many rows out."""
        if dataset.count_rows() <= MOST_UNINDEXED:
            return set()
        unindexed = indices.unindexed_rows(dataset)
        return {name for name, rows in unindexed.items() if rows > self._put_off.get(name, MOST_UNINDEXED)}

    def _catch_up(self, dataset: Dataset, index: indices.Coverage) -> None:
        """One that fails, or trains in vain because the vectors are null, waits until there are twice as many rows."""
        self._put_off[index.name] = 2 * index.unindexed
        try:
            if index.is_of_vectors and _train_again_if_quick(dataset, index.name):
                del self._put_off[index.name]
                return
            merged = None if index.is_full_text else segments_to_merge(index)
            indices.cover_new_rows(dataset, index.name, merged)
        except CommitConflictError:
            logger.debug("index %r of table %r is being changed by someone else", index.name, dataset.name)
            del self._put_off[index.name]
        except Exception as error:  # noqa: BLE001 - the write is committed, and other indices are well
            _warn(dataset, f"index {index.name!r}", error)
        else:
            covered = {each.name: sum(each.segments) for each in indices.coverage(dataset)}
            if covered.get(index.name, 0) > sum(index.segments):
                del self._put_off[index.name]


def _merge_fragments(dataset: Dataset, *, all_tiers: bool) -> None:
    try:
        merge_small_fragments(dataset, all_tiers=all_tiers)
    except CommitConflictError:
        logger.debug("fragments of table %r are being changed by someone else", dataset.name)


def _train_again_if_quick(dataset: Dataset, name: str) -> bool:
    """Train the index *name* again if the table has outgrown it and is small; whether that was done."""
    for index in outgrown_indices(dataset):
        if index.name == name and index.rows <= _TRAINED_ROWS and not index.is_tuned:
            train_again(dataset, index)
            return True
    return False


def segments_to_merge(index: indices.Coverage) -> int:
    """How many of the newest segments the new rows are merged with, where a write waits for it."""
    most = max(_MERGED_ROWS, _MERGED_SHARE * (index.unindexed + sum(index.segments)))
    return indices.segments_to_merge(index, most)


def _warn(dataset: Dataset, what: str, error: Exception) -> None:
    logger.warning(
        "%s of table %r did not follow the write, which is committed; searches scan the new rows, and optimize() adds "
        "them: %s",
        what,
        dataset.name,
        error,
    )
