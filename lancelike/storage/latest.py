"""Whether a version is still the latest, told by the folder of manifests alone.

Lance lists that folder to find the latest version: among 2 000 versions that takes 1.5 ms, where this takes 6 µs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, ...]
"""A file or folder, and when it, or a name in it, was last made or changed; of a manifest, its size too."""

_LARGEST = 2**64 - 1


class Manifests:
    """The manifests of a table, or of a branch of it, in a folder of this machine.

    Args:
        uri: Where the table, or the branch, lies; None if that is no folder: nothing is then told of it.
    """

    def __init__(self, uri: str | None) -> None:
        self._folder = None if uri is None else f"{uri}/_versions"

    def folder(self) -> Stamp | None:
        """What differs once a version was made or deleted; None if that can't be told."""
        if self._folder is None:
            return None
        with suppress(OSError):
            found = os.stat(self._folder)
            return found.st_ino, found.st_mtime_ns
        return None

    def stamp(self, version: int, folder: Stamp | None) -> Stamp | None:
        """The same, for the manifest of *version* too, which somebody may damage; *folder* is what `folder` gave."""
        if folder is None:
            return None
        for path in self._paths(version):
            with suppress(OSError):
                found = os.stat(path)
                return *folder, found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def is_latest(self, version: int, stamp: Stamp | None) -> bool:
        """Whether *version*, which was the latest at its *stamp*, is so still; False where that can't be told.

        A file system may give two changes the same time, so the next version is looked for as well.
        """
        is_unchanged = stamp is not None and self.stamp(version, self.folder()) == stamp
        return is_unchanged and not any(map(os.path.exists, self._paths(version + 1)))

    def _paths(self, version: int) -> tuple[str, str]:
        """Where the manifest of *version* is, by the name that Lance gives it today, and by that of before."""
        return f"{self._folder}/{_LARGEST - version:020}.manifest", f"{self._folder}/{version}.manifest"
