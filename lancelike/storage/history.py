"""What other writers did to a table: which commits are not ours, and which rows each of them changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from lance.fragment import FragmentMetadata
from numpy.typing import NDArray

from lancelike.storage.blob_scans import with_values
from lancelike.storage.dataset import Dataset
from lancelike.storage.fragments import addresses_of
from lancelike.storage.read_ahead import read_ahead_bytes
from lancelike.storage.transactions import PROPERTY

REFRESHED = "lancelike.refreshed"
"""Transaction property: every row that was stale in this version is mended."""

_JUDGED = "lancelike.judged"
_KEEP_ROWS = frozenset(
    {"Append", "Clone", "CreateIndex", "Delete", "Project", "ReserveFragments", "Restore", "Rewrite", "UpdateConfig"}
)
"""Operations that change no value of a row that stays: they add, remove or move rows, or are about other things."""


@dataclass(frozen=True, eq=False)
class ForeignCommit:
    """A commit by another program that may have changed values.

    Attributes:
        version: The version it made.
        kind: Lance's name for the operation; "" if no transaction is kept.
        before: The table before it.
        after: The table after it.
    """

    version: int
    kind: str
    before: LanceDataset
    after: LanceDataset

    @property
    def joins_by_id(self) -> bool:
        """Whether a row has the same `_rowid` before and after."""
        return bool(self.kind != "Overwrite" and self.before.has_stable_row_ids and self.after.has_stable_row_ids)

    def rows_before(self, fields: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The columns with these field ids, and `_rowid`, of the rows that the commit changed or removed."""
        return _rows(self.before, self._changed[0], fields)

    def rows_after(self, fields: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The same of the rows that the commit changed or added."""
        return _rows(self.after, self._changed[1], fields)

    @cached_property
    def _changed(self) -> tuple[dict[int, NDArray[np.uint64] | None], dict[int, NDArray[np.uint64] | None]]:
        """Fragments that differ, before and after; with the addresses of the rows meant, or None for all."""
        old = {each.fragment_id: each.metadata for each in self.before.get_fragments()}
        new = {each.fragment_id: each.metadata for each in self.after.get_fragments()}
        if self.kind == "Overwrite":
            return dict.fromkeys(old), dict.fromkeys(new)
        changed = {each for each in old.keys() & new.keys() if _values(old[each]) != _values(new[each])}
        gone: dict[int, NDArray[np.uint64] | None] = dict.fromkeys((old.keys() - new.keys()) | changed)
        for each in (old.keys() & new.keys()) - changed:
            if old[each].num_rows != new[each].num_rows:
                gone[each] = np.setdiff1d(addresses_of(self.before, each), addresses_of(self.after, each))
        return gone, dict.fromkeys((new.keys() - old.keys()) | changed)


@dataclass(frozen=True, eq=False)
class History:
    """A table's past, as far as it is kept.

    Attributes:
        commits: Other programs' commits since the table was last mended, oldest first.
        mended: The version in which that was so, or 0.
        unseen: The last version of which nothing is known since it, and those before, were cleaned up; or None.
    """

    commits: list[ForeignCommit]
    mended: int
    unseen: int | None


def history_of(dataset: Dataset) -> History:
    """The past of the version that *dataset* shows."""
    with dataset.errors():
        shown = dataset.lance
        kept = {int(version["version"]) for version in shown.versions()}
        commits: list[ForeignCommit] = []
        floor, version = 0, int(shown.version)
        while version > max(floor, 1):
            kind, properties = _transaction_of(shown, version)
            floor = max(floor, int(properties.get(REFRESHED, 0)))
            is_foreign = PROPERTY not in properties and kind not in _KEEP_ROWS
            if version - 1 not in kept:
                return History(commits[::-1], floor, version if is_foreign else version - 1)
            if is_foreign:
                before, after = shown.checkout_version(version - 1), shown.checkout_version(version)
                commits.append(ForeignCommit(version, kind, before, after))
            version -= 1
        return History(commits[::-1], floor, None)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found out about a table before versions that tell it were deleted; noted in the table itself.

    Attributes:
        version: The last version that was looked at.
        facts: Rows with a source and a vector that don't belong together, by the vector column's field number.
    """

    version: int
    facts: Mapping[int, AbstractSet[tuple[int, bytes]]]


def judged_of(dataset: Dataset) -> Judged | None:
    """What was noted last, as of the version shown."""
    with dataset.errors():
        text = dataset.lance.config().get(_JUDGED)
    if text is None:
        return None
    noted = json.loads(text)
    facts = {
        int(number): {(row_id, bytes.fromhex(pair)) for row_id, pair in rows} for number, rows in noted["facts"].items()
    }
    return Judged(noted["version"], facts)


def note_judged(dataset: Dataset, judged: Judged) -> None:
    """Note *judged* in the table, in a commit of its own."""
    facts = {str(number): [[row_id, pair.hex()] for row_id, pair in rows] for number, rows in judged.facts.items()}
    text = json.dumps({"version": judged.version, "facts": facts})
    dataset.change(lambda latest: latest.update_config({_JUDGED: text}))


def _transaction_of(dataset: LanceDataset, version: int) -> tuple[str, Mapping[str, str]]:
    """The kind of the operation that made *version*, and what the transaction says of itself."""
    try:
        transaction = dataset.read_transaction(version)
    except TypeError:  # pylance 14 can't show a compaction that moved an index along
        return "Rewrite", {}
    if transaction is None:
        return "", {}
    return type(transaction.operation).__name__, transaction.transaction_properties or {}


def field_ids_of(dataset: Dataset, columns: Sequence[str]) -> list[int]:
    """What Lance calls *columns* for good: their numbers stay when they are renamed."""
    schema = dataset.lance.lance_schema
    return [schema.field(column).id() for column in columns]


def columns_of(dataset: LanceDataset, fields: Sequence[int]) -> list[str] | None:
    """The names that these fields have in *dataset*; None if one is not there."""
    names = {each.id(): each.name() for each in dataset.lance_schema.fields()}
    found = [names.get(number) for number in fields]
    return None if None in found else [name for name in found if name is not None]


def _rows(
    dataset: LanceDataset, fragments: dict[int, NDArray[np.uint64] | None], fields: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    columns = columns_of(dataset, fields)
    if columns is None:
        return
    for number, addresses in sorted(fragments.items()):
        scanner = dataset.scanner(
            columns=columns,
            fragments=[dataset.get_fragment(number)],
            with_row_id=True,
            with_row_address=True,
            io_buffer_size=read_ahead_bytes(dataset),
            **with_values(dataset.schema, columns),
        )
        for batch in scanner.to_reader():
            if addresses is not None:
                batch = batch.filter(pa.array(np.isin(batch["_rowaddr"].to_numpy(), addresses)))
            yield batch


def _values(fragment: FragmentMetadata) -> tuple[object, ...]:
    """What tells whether the values of a fragment's rows changed: files are never written twice."""
    return (*((file.path, tuple(file.fields)) for file in fragment.files), repr(fragment.overlays))
