"""Parts of what is held: the rows of a fragment, or those of an index's segment, which lie by its partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from lance.fragment import LanceFragment
from numpy.typing import NDArray

from lancelike.query.plan import VectorColumn
from lancelike.storage.held import RowsNeeded
from lancelike.storage.vectors import Positions, Vectors

FragmentKey: TypeAlias = tuple[int, int, tuple[str, ...]]
"""Id of the fragment, of the field, and the files that hold the field's values: these say what the vectors are."""

_GONE = "gone"
"""In place of a deletion file: the fragment is not in the version."""


class UnsuitedError(Exception):
    """A fragment has values that only Lance's scan is to judge."""

    def __init__(self, fragment_id: int) -> None:
        super().__init__(fragment_id)
        self.fragment_id = fragment_id


class TooLargeError(Exception):
    """The rows have more vectors than may be held."""


@dataclass(frozen=True, slots=True)
class FragmentState:
    """What may change of a fragment while its vectors don't."""

    row_id_meta: Any
    deletion: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows as they were when they were read, and which of them are deleted in some version.

    Attributes:
        sources: The fragments that they are of, as they are in that version.
        vectors: As the column's type has them; of rows with several, one after the other.
        codes: As `HeldVectors.codes`.
        missing: Positions of rows without a vector.
        deleted: Positions of rows that are deleted.
        offsets: Where each partition of the index begins, and the last ends; rows after that are in none. None: they
            lie in the fragment's order.
        needed: Rows of the partitions that hold the nearest, where it was found out.
    """

    sources: Mapping[FragmentKey, FragmentState]
    vectors: Vectors
    codes: NDArray[Any]
    scales: NDArray[np.float32]
    squared_norms: NDArray[np.float32]
    row_ids: NDArray[np.uint64]
    addresses: NDArray[np.uint64]
    missing: Positions
    deleted: Positions
    offsets: Positions | None
    needed: RowsNeeded | None = None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What takes memory."""
        beside = (self.scales, self.squared_norms, self.row_ids, self.addresses, self.missing, self.deleted)
        return *self.vectors.arrays, self.codes, *beside

    @property
    def dead(self) -> Positions:
        """Positions of rows that no search may find."""
        dead: Positions = np.union1d(self.missing, self.deleted)
        return dead


def bytes_of(num_rows: int, column: VectorColumn, *, mapped: bool = False) -> int:
    """What so many vectors of *column* take in memory, with all that is held of them; not in files that are *mapped*.

    Codes and values; scale, squared norm, row id and address, in the part and again in the version; places by address
    and of values.
    """
    values = 0 if mapped or column.is_of_bytes else column.dtype.itemsize
    return num_rows * ((1 + values) * column.ndims + 2 * (4 + 4 + 8 + 8) + 8 + 2 * (4 + 8))


def keyed(shown: LanceDataset, column: VectorColumn) -> dict[FragmentKey, LanceFragment]:
    """The fragments by what makes their vectors, in the order of their ids and so of their rows' addresses."""
    field_id = shown.lance_schema.field(column.name).id()
    fragments = sorted(shown.get_fragments(), key=lambda each: each.fragment_id)
    return {(each.fragment_id, field_id, _files(each, field_id)): each for each in fragments}


def _files(fragment: LanceFragment, field_id: int) -> tuple[str, ...]:
    metadata = fragment.metadata
    files = [f"{file.base_id} {file.path}" for file in metadata.files if field_id in file.fields]
    return (*files, *map(str, metadata.overlays))


def still_true(
    shown: LanceDataset, there: Mapping[FragmentKey, LanceFragment], parts: Mapping[Any, Part]
) -> dict[Any, Part]:
    """*parts* with the rows deleted that are deleted in *shown*; without those that lack rows, or would be half dead.

    Args:
        shown: The version.
        there: Its fragments.
        parts: Each has a fragment that is there.
    """
    same = {
        name: part
        for name, part in parts.items()
        if all(part.sources[key].row_id_meta == there[key].metadata.row_id_meta for key in part.sources if key in there)
    }
    changes = {name: _changed(part, there) for name, part in same.items()}
    changed = {key for keys in changes.values() for key in keys if key in there}
    if not any(changes.values()):
        return same
    live = np.empty(0, np.uint64)
    if changed:
        fragments = [there[key] for key in sorted(changed)]
        live = addresses_in(shown.scanner(columns=[], fragments=fragments, with_row_address=True).to_table())
    checked = {name: _with_live(part, changes[name], there, live) for name, part in same.items()}
    return {name: part for name, part in checked.items() if part is not None}


def _changed(part: Part, there: Mapping[FragmentKey, LanceFragment]) -> list[FragmentKey]:
    return [key for key, state in part.sources.items() if state.deletion != _deletion(there, key)]


def _deletion(there: Mapping[FragmentKey, LanceFragment], key: FragmentKey) -> str | None:
    return there[key].deletion_file() if key in there else _GONE


def _with_live(
    part: Part, changed: Sequence[FragmentKey], there: Mapping[FragmentKey, LanceFragment], live: NDArray[np.uint64]
) -> Part | None:
    """*part* with all rows of fragments that *changed* deleted but those *live*."""
    if not changed:
        return part
    ids = np.array([key[0] for key in changed], np.uint64)
    is_changed = np.isin(part.addresses >> np.uint64(32), ids)
    is_live = np.isin(part.addresses, live) & is_changed
    is_deleted = np.zeros(len(is_live), np.bool_)
    is_deleted[part.deleted] = True
    is_deleted[is_changed] = ~is_live[is_changed]
    if len(np.unique(part.addresses[is_live])) != np.count_nonzero(np.isin(live >> np.uint64(32), ids)):
        return None
    if 2 * np.count_nonzero(is_deleted) > len(is_deleted):
        return None
    states = {key: replace(state, deletion=_deletion(there, key)) for key, state in part.sources.items()}
    return replace(part, sources=states, deleted=np.flatnonzero(is_deleted))


def addresses_in(rows: pa.Table | pa.RecordBatch) -> NDArray[np.uint64]:
    """`_rowaddr` of each row."""
    addresses: NDArray[np.uint64] = rows["_rowaddr"].to_numpy()
    return addresses
