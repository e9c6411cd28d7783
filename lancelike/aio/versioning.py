"""Awaited: the versions of a table."""

from __future__ import annotations

from typing import Any, Self

from lancelike.aio.branches import AsyncBranches
from lancelike.aio.handle import AsyncHandle
from lancelike.aio.tags import AsyncTags
from lancelike.aio.threads import read, write


class AsyncVersioning(AsyncHandle):
    """Looks back at versions, brings them back, and names them."""

    async def list_versions(self) -> list[dict[str, Any]]:
        """Every version kept: `version`, `timestamp`, `metadata`, oldest first."""
        return await read(self._blocking.list_versions)

    async def checkout(self, version: int | str | tuple[str | None, int | None]) -> None:
        """Show a past version, by number or tag; this handle is read-only until `checkout_latest`.

        Or a branch. Arguments and errors are those of `Table.checkout`.
        """
        table = self._blocking
        await read(lambda: table.checkout(version))

    async def checkout_latest(self) -> None:
        """Show the latest version of the branch shown, with what other processes wrote."""
        await read(self._blocking.checkout_latest)

    async def restore(self, version: int | str | None = None) -> None:
        """Make a past version the latest, as a new version; None takes the one checked out."""
        table = self._blocking
        await write(lambda: table.restore(version))

    @property
    def tags(self) -> AsyncTags:
        """Names for versions: `await tags.create("v1", 3)`, then `await checkout("v1")`."""
        return AsyncTags(lambda: self._blocking.tags)

    @property
    def branches(self) -> AsyncBranches[Self]:
        """Lines of versions of their own: `await branches.create("trial")` is a handle that writes to it alone."""
        return AsyncBranches(lambda: self._blocking.branches, type(self))

    def current_branch(self) -> str | None:
        """The branch that this handle shows and writes to; None is main."""
        return self._blocking.current_branch()
