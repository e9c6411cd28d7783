"""Whether a version is still the latest, told by the folder of manifests alone.

Lance lists that folder to find the latest version: among 2 000 versions that takes 1.5 ms, where this takes 6 µs.
"""

from __future__ import annotations

import os
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int]
"""A folder, and when a name in it was last made, changed or deleted."""

_LARGEST = 2**64 - 1


class Manifests:
    """The manifests of a table, or of a branch of it, in a folder of this machine.

    Args:
        uri: Where the table, or the branch, lies; None if that is no folder: nothing is then told of it.
    """

    def __init__(self, uri: str | None) -> None:
        self._folder = None if uri is None else f"{uri}/_versions"

    def stamp(self) -> Stamp | None:
        """What differs once another version was made; None if that can't be told."""
        if self._folder is None:
            return None
        try:
            found = os.stat(self._folder)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def is_latest(self, version: int, stamp: Stamp | None) -> bool:
        """Whether *version*, which was the latest at *stamp*, is so still; False where that can't be told.

        A file system may give two changes the same time, so the next version is looked for as well, by the names that
        Lance gave it at first and gives it today.
        """
        return (
            stamp is not None
            and self.stamp() == stamp
            and not os.path.exists(f"{self._folder}/{_LARGEST - version - 1:020}.manifest")
            and not os.path.exists(f"{self._folder}/{version + 1}.manifest")
        )
