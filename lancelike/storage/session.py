"""Lance's caches of indices and metadata, which connections may share."""

from __future__ import annotations

import lance


class Session:
    """Caches that connections share: `connect(uri, session=...)`. A database in memory has its own all the same.

    Args:
        index_cache_size_bytes: Bound on what is held of indices; None is Lance's own, 6 GiB.
        metadata_cache_size_bytes: Bound on what is held of manifests and files' metadata; None is Lance's own, 1 GiB.
    """

    def __init__(self, index_cache_size_bytes: int | None = None, metadata_cache_size_bytes: int | None = None) -> None:
        self.lance = lance.Session(index_cache_size_bytes, metadata_cache_size_bytes)

    @classmethod
    def default(cls) -> Session:
        """A session with Lance's own bounds."""
        return cls()

    @property
    def size_bytes(self) -> int:
        """What is held now, in bytes."""
        return int(self.lance.size_bytes())

    def __repr__(self) -> str:
        return f"Session(size_bytes={self.size_bytes})"
