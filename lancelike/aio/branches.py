"""Awaited: the branches of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from lancelike.aio.threads import read, write
from lancelike.table.branches import Branches

__all__ = ["AsyncBranches"]

TableT = TypeVar("TableT")


class AsyncBranches(Generic[TableT]):
    """Branches of one table; main is the table itself, and not listed.

    Args:
        open_branches: Gives the blocking ones.
        awaited: Makes an awaited handle of a blocking one.
    """

    def __init__(self, open_branches: Callable[[], Branches], awaited: Callable[[Any], TableT]) -> None:
        self._open, self._awaited = open_branches, awaited

    async def list(self) -> dict[str, dict[str, Any]]:
        """Each branch with its `parent_branch` (None is main), `parent_version`, and what else Lance keeps of it."""
        return await read(lambda: self._open().list())

    async def create(self, name: str, from_ref: str | None = None, from_version: int | None = None) -> TableT:
        """Begin a branch; a handle on it. Arguments and errors are those of `Branches.create`."""
        return self._awaited(await write(lambda: self._open().create(name, from_ref, from_version)))

    async def checkout(self, name: str, version: int | None = None) -> TableT:
        """A handle on the branch *name*; with *version*, one that is pinned there and read-only.

        Raises:
            BranchNotFoundError: There is no such branch.
            VersionNotFoundError: It has no such version.
        """
        return self._awaited(await read(lambda: self._open().checkout(name, version)))

    async def delete(self, name: str) -> None:
        """Delete a branch and its rows; handles on it are closed. Errors are those of `Branches.delete`."""
        await write(lambda: self._open().delete(name))
