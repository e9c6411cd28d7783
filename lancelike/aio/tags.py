"""Awaited: names for the versions of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lancelike.aio.threads import read, write
from lancelike.storage import Tags

__all__ = ["AsyncTags"]


class AsyncTags:
    """Names for versions. A tagged version is kept when old ones are cleaned up.

    Args:
        open_tags: Gives the blocking ones.
    """

    def __init__(self, open_tags: Callable[[], Tags]) -> None:
        self._open = open_tags

    async def list(self) -> dict[str, dict[str, Any]]:
        """Each tag with its `version` and what else Lance keeps of it."""
        return await read(lambda: self._open().list())

    async def get_version(self, tag: str) -> int:
        """The version that *tag* names.

        Raises:
            VersionNotFoundError: There is no such tag.
        """
        return await read(lambda: self._open().get_version(tag))

    async def create(self, tag: str, version: int) -> None:
        """Let *tag* name *version*; errors as of `Tags.create`."""
        await write(lambda: self._open().create(tag, version))

    async def update(self, tag: str, version: int) -> None:
        """Let the existing *tag* name *version* instead; errors as of `Tags.update`."""
        await write(lambda: self._open().update(tag, version))

    async def delete(self, tag: str) -> None:
        """Forget *tag*; the version stays.

        Raises:
            VersionNotFoundError: There is no such tag.
        """
        await write(lambda: self._open().delete(tag))
