"""Records of failures that no version needs any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike.ingest import BindingsIn
from lancelike.ledger import TableFailures
from lancelike.ledger.unread import waiting_rows
from lancelike.lifecycle.failed import LackingRow, lacking_rows
from lancelike.query.plan import Scan
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Dataset
from lancelike.storage.fragments import FragmentFiles
from lancelike.storage.versions import kept_versions

Place: TypeAlias = tuple[int, str, tuple[str, ...]]
"""A fragment's id, a vector column, and its sources."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows of a file that were read, and those of them that wait."""

    addresses: NDArray[np.uint64]
    waiting: list[LackingRow]


def forget_gone(dataset: Dataset, bindings_in: BindingsIn, failures: TableFailures, before: datetime) -> None:
    """Delete the records of inputs that no version kept has a row waiting with.

    Those of rows that were left out stay: such rows are in no version.

    Args:
        dataset: The table.
        bindings_in: Its bindings.
        failures: What failed.
        before: Later failures stay too: their rows may be about to be written.
    """
    gone: dict[str, set[str]] = {}
    for record in failures.latest().to_pylist():
        if record["at"] < before and not record["dropped"]:
            gone.setdefault(record["vector_column"], set()).add(record["key"])
    waiting = _Waiting()
    for version in kept_versions(dataset) if gone else ():
        for binding in bindings_in(version):
            if left := gone.get(binding.vector_column):
                left -= waiting.keys_in(version, binding, left)
        if not any(gone.values()):
            return
    for column, keys in gone.items():
        failures.forget_before(before, column, keys)


def forget_gone_unread(dataset: Dataset, failures: TableFailures, before: datetime) -> None:
    """Delete the records of images and sounds that no version kept has a row lacking; as `forget_gone` says."""
    gone = [each for each in failures.unread.latest() if each.at < before and not each.dropped]
    for version in kept_versions(dataset) if gone else ():
        waiting = waiting_rows(version, gone)
        gone = [each for each in gone if each.key not in waiting]
        if not gone:
            return
    failures.unread.forget_before(before, [each.key for each in gone])


class _Waiting:
    """Finds what waits in one version after another, of which each file is read once.

    A file's rows are read in the oldest version, where the fewest are deleted. Only after `restore` a later version can
    have rows of it that none before has; then it is read again.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[Place, FragmentFiles]] = set()
        self._read: dict[tuple[Place, Any], _Rows] = {}

    def keys_in(self, version: Dataset, binding: EmbeddingFunctionConfig, keys: Collection[str]) -> set[str]:
        """Those of *keys*, each asked for from the first version on, with which a row of *version* waits.

        What waits in rows and files that were looked at before is not told again.
        """
        found: set[str] = set()
        for number, files in version.files().items():
            place = (number, binding.vector_column, binding.source_columns)
            if (place, files) not in self._seen:
                self._seen.add((place, files))
                found |= self._keys_among(version, binding, keys, number, (place, files.data))
        return found

    def _keys_among(
        self, version: Dataset, binding: EmbeddingFunctionConfig, keys: Collection[str], fragment: int, data: Any
    ) -> set[str]:
        there, known = version.addresses(fragment), self._read.get(data)
        if known is None or not np.isin(there, known.addresses).all():
            within = Scan(fragments=(fragment,), with_row_id=True, with_row_address=True)
            known = self._read[data] = _Rows(there, list(lacking_rows(version, binding, keys, within)))
        return {row.key for row in known.waiting if np.isin(row.address, there)}
