"""Vector and full-text indices that list rows which are deleted, though Lance takes what they list for rows there are.

`masking` says how that comes, and keeps our own writes from it. An index that another program built may be so until we
write next: it lets other programs' compactions leave deleted rows behind, and a search for ten rows finds three. Its
entries, once read, tell; they never change.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from lance import LanceDataset
from lance.file import LanceFileReader
from numpy.typing import NDArray

from lancelike.storage.btrees import Verdicts
from lancelike.types import StorageOptions

logger = logging.getLogger("lancelike.storage")


def lists_deleted(dataset: LanceDataset, name: str, verdicts: Verdicts, storage_options: StorageOptions | None) -> bool:
    """Whether the vector or full-text index *name* lists deleted rows that Lance doesn't look for.

    Args:
        dataset: One version of a table.
        name: Of the index.
        verdicts: What was found out about the table's indices before; added to.
        storage_options: Of the database.
    """
    if not dataset.has_stable_row_ids:
        return False
    index = next((each for each in dataset.describe_indices() if each.name == name), None)
    if index is None or _is_looked_through(dataset, index.segments):
        return False
    for segment in index.segments:
        key = (str(segment.uuid), frozenset(segment.fragment_ids))
        if key not in verdicts:
            verdicts[key] = _has_deleted(dataset, index, segment, storage_options)
            if verdicts[key]:
                logger.warning(
                    "index %r of %s lists deleted rows that another program compacted away: searches look for them "
                    "first, which takes longer, until optimize() mends it",
                    name,
                    dataset.uri,
                )
        if verdicts[key]:
            return True
    return False


def _is_looked_through(dataset: LanceDataset, segments: Sequence[Any]) -> bool:
    """Whether Lance sorts out entries of deleted rows: it does if one claimed fragment has some, or isn't there."""
    there = {each.fragment_id: each.metadata for each in dataset.get_fragments()}
    claimed = {each for segment in segments for each in segment.fragment_ids}
    return any(each not in there or there[each].deletion_file is not None for each in claimed)


def _has_deleted(dataset: LanceDataset, index: Any, segment: Any, storage_options: StorageOptions | None) -> bool:
    """Whether a segment has entries of other rows than those of its fragments, none of which is deleted.

    True too where that can't be seen: it lies elsewhere, or has a form of before.
    """
    if segment.base_id is not None:
        return True
    folder = f"{dataset.uri}/_indices/{segment.uuid}"
    try:
        listed = [_row_ids(file, storage_options) for file in _files(folder, index, storage_options)]
    except (OSError, ValueError, KeyError):
        return True
    fragments = [dataset.get_fragment(each) for each in segment.fragment_ids]
    rows = dataset.scanner(columns=[], fragments=fragments, with_row_id=True).to_table()["_rowid"].to_numpy()
    return not all(np.isin(row_ids, rows).all() for row_ids in listed)


def _files(folder: str, index: Any, storage_options: StorageOptions | None) -> Iterator[str]:
    """Those of a segment that name its rows."""
    if index.index_type != "Inverted":
        yield f"{folder}/auxiliary.idx"
        return
    metadata = LanceFileReader(f"{folder}/metadata.lance", storage_options).metadata().schema.metadata
    for number in json.loads(metadata[b"partitions"]):
        yield f"{folder}/part_{number}_docs.lance"


def _row_ids(file: str, storage_options: StorageOptions | None) -> NDArray[np.uint64]:
    row_ids: NDArray[np.uint64] = (
        LanceFileReader(file, storage_options, columns=["_rowid"]).read_all().to_table()["_rowid"].to_numpy()
    )
    return row_ids
