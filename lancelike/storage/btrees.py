"""B-trees that another program's writes left behind.

pylance 14 writes B-trees whose entries name rows by address. LanceDB 0.40 does not know this form: on a table with
stable row ids its updates and compactions move rows, and let the index claim the fragments where they are now, while
its entries name those where they were. A filter that goes through such an index misses rows, and an upsert would insert
them again. A sound B-tree has an entry for every row of a fragment that it claims, null or not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from lance import LanceDataset
from lance.file import LanceFileReader

from lancelike.types import StorageOptions

logger = logging.getLogger("lancelike.storage")

Verdicts: TypeAlias = dict[tuple[str, frozenset[int]], bool]
"""What is so of a segment of an index, by its uuid and the fragments it claims: its entries never change, and the rows
of a fragment only get fewer."""

_FIRST_BY_ADDRESS = 1
_OFFSET_BITS = 32
_BATCH_ROWS = 65_536  # the entries of 1 000 000 rows are counted in 9 ms


@dataclass(frozen=True, slots=True)
class StaleBTree:
    """A B-tree that misses rows.

    Attributes:
        name: The index's name.
        column: The column it is on, dotted when nested.
    """

    name: str
    column: str


def stale_btrees(dataset: LanceDataset, verdicts: Verdicts, storage_options: StorageOptions | None) -> list[StaleBTree]:
    """The B-trees of *dataset* that miss rows of fragments they claim; those seen for the first time are logged.

    Args:
        dataset: One version of a table.
        verdicts: What was found out about the table's B-trees before; added to.
        storage_options: Of the database.
    """
    stale = []
    for index, segment in _by_address(dataset):
        key = (str(segment.uuid), frozenset(segment.fragment_ids))
        if key not in verdicts:
            verdicts[key] = _misses_rows(dataset, *key, storage_options)
            if verdicts[key]:
                logger.warning(
                    "index %r of %s misses rows: another program moved them and left the index behind. It is not used, "
                    "and built again by the next write or optimize()",
                    index.name,
                    dataset.uri,
                )
        if verdicts[key]:
            stale.append(StaleBTree(index.name, index.field_names[0]))
    return stale


def rebuild(dataset: LanceDataset, stale: Sequence[StaleBTree]) -> None:
    """Build these B-trees again, each in a commit of its own; *dataset*, the latest version, moves on with them."""
    for index in dict.fromkeys(stale):
        dataset.create_scalar_index(index.column, "BTREE", name=index.name, replace=True)


def _by_address(dataset: LanceDataset) -> Iterator[tuple[Any, Any]]:
    """Each B-tree that names rows by address, with each of its segments that lies with the table."""
    for index in dataset.describe_indices():
        if index.index_type == "BTree":
            for segment in index.segments:
                if segment.index_version >= _FIRST_BY_ADDRESS and segment.base_id is None:
                    yield index, segment


def _misses_rows(
    dataset: LanceDataset, segment: str, claimed: frozenset[int], storage_options: StorageOptions | None
) -> bool:
    rows = {each.fragment_id: each.metadata.num_rows for each in dataset.get_fragments()}
    try:
        entries = _entries_by_fragment(f"{dataset.uri}/_indices/{segment}/page_data.lance", storage_options)
    except (OSError, ValueError):  # damaged: whoever uses it is told by Lance
        return False
    return any(entries[fragment] < rows[fragment] for fragment in claimed & rows.keys())


def _entries_by_fragment(uri: str, storage_options: StorageOptions | None) -> Counter[int]:
    counted: Counter[int] = Counter()
    reader = LanceFileReader(uri, storage_options, columns=["ids"])
    for batch in reader.read_all(batch_size=_BATCH_ROWS).to_batches():
        fragments, counts = np.unique(batch["ids"].to_numpy() >> _OFFSET_BITS, return_counts=True)
        counted.update(dict(zip(fragments.tolist(), counts.tolist(), strict=True)))
    return counted
