"""Which files a fragment's rows are in, and which rows are left in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from lance import LanceDataset
from lance.fragment import FragmentMetadata
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FragmentFiles:
    """What a fragment's rows are in. Files are never changed in place.

    Attributes:
        data: Path of each file, and the numbers of the fields that are read from it.
        deletions: What tells the file that says which rows of these are deleted; None without one.
    """

    data: tuple[tuple[str, tuple[int, ...]], ...]
    deletions: tuple[int, int] | None

    @classmethod
    def of(cls, fragment: FragmentMetadata) -> FragmentFiles:
        """Those of *fragment*."""
        deleted = fragment.deletion_file
        return cls(
            data=tuple((file.path, tuple(file.fields)) for file in fragment.files),
            deletions=None if deleted is None else (deleted.read_version, deleted.id),
        )


def addresses_of(dataset: LanceDataset, fragment: int) -> NDArray[np.uint64]:
    """`_rowaddr` of the rows of the fragment with that id, those that are not deleted."""
    scanner = dataset.scanner(columns=[], fragments=[dataset.get_fragment(fragment)], with_row_address=True)
    addresses: NDArray[np.uint64] = scanner.to_table()["_rowaddr"].to_numpy()
    return addresses
