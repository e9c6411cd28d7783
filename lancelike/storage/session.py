"""Lance's caches of indices and metadata, which connections may share."""

from __future__ import annotations

from typing import TypeAlias

import lance

_Version: TypeAlias = tuple[int, int]
"""Number and time."""


class Session:
    """Caches that connections share: `connect(uri, session=...)`. A database in memory has its own all the same.

    Args:
        index_cache_size_bytes: Bound on what is held of indices; None is Lance's own, 6 GiB.
        metadata_cache_size_bytes: Bound on what is held of manifests and files' metadata; None is Lance's own, 1 GiB.
    """

    def __init__(self, index_cache_size_bytes: int | None = None, metadata_cache_size_bytes: int | None = None) -> None:
        self._bounds = index_cache_size_bytes, metadata_cache_size_bytes
        self._opened: dict[str, _Version] = {}
        self.lance = lance.Session(*self._bounds)

    @classmethod
    def default(cls) -> Session:
        """A session with Lance's own bounds."""
        return cls()

    def forget_another(self, opened: lance.LanceDataset) -> bool:
        """Begin with empty caches, if these may hold what another table had at the place of *opened*; whether they may.

        Lance keeps by place and version number which rows are deleted: of a table that was dropped and made again, and
        of a branch, it would leave out those that the one before had deleted, and find those that are.
        """
        place, version = str(opened.uri), _version_of(opened)
        known = self._opened.get(place, version)
        if is_another := known != version and not _has(opened, known):
            self.lance, self._opened = lance.Session(*self._bounds), {}
        self._opened[place] = version
        return is_another

    @property
    def size_bytes(self) -> int:
        """What is held now, in bytes."""
        return int(self.lance.size_bytes())

    def __repr__(self) -> str:
        return f"Session(size_bytes={self.size_bytes})"


def _has(opened: lance.LanceDataset, version: _Version) -> bool:
    """Whether *opened* has an older *version*, of that number and time; it has none that was cleaned up."""
    if version[0] >= opened.version:
        return False
    try:
        return _version_of(opened.checkout_version(version[0])) == version
    except (OSError, ValueError):
        return False


def _version_of(dataset: lance.LanceDataset) -> _Version:
    return int(dataset.version), int(dataset._ds.current_version()["timestamp"])
