"""The branches of a table: lines of versions of their own, which begin at a version of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelike.storage import versions
from lancelike.storage.showing import MAIN

if TYPE_CHECKING:
    from lancelike.table.handle import Handle


class Branches:
    """Branches of one table; main is the table itself, and not listed."""

    def __init__(self, table: Handle) -> None:
        self._table = table

    def list(self) -> dict[str, dict[str, Any]]:
        """Each branch with its `parent_branch` (None is main), `parent_version`, and what else Lance keeps of it."""
        return self._table._location.branches(self._table.name)

    def create(self, name: str, from_ref: str | None = None, from_version: int | None = None) -> Any:
        """Begin a branch; a handle on it. Its rows are shared with where it begins until either side changes.

        The embedding functions, what they were paid for, and the rows that wait with an error come along.

        Args:
            name: Letters, digits and `.-_`, in parts separated by `/`.
            from_ref: The branch or tag that it begins at; None is main.
            from_version: The version of that branch; None is its latest.

        Raises:
            QueryError: There is such a branch already, or none can be named so.
            BranchNotFoundError: There is no branch *from_ref*.
            VersionNotFoundError: There is no such version.
        """
        branch = versions.create_branch(self._table._shown, name, from_ref, from_version)
        begun_at = self.list()[name]["parent_branch"]
        records = self._table._records
        records.on(name).copy_from(records.on(begun_at))
        return self._table._on(branch)

    def checkout(self, name: str, version: int | None = None) -> Any:
        """A handle on the branch *name*; with *version*, one that is pinned there and read-only.

        Raises:
            BranchNotFoundError: There is no such branch.
            VersionNotFoundError: It has no such version.
        """
        branch = self._table._shown.on(None if name == MAIN else name)
        return self._table._on(branch if version is None else branch.at(version))

    def delete(self, name: str) -> None:
        """Delete a branch and its rows; handles on it are closed.

        Raises:
            BranchNotFoundError: There is no such branch.
            QueryError: A tag names a version of it.
        """
        versions.delete_branch(self._table._shown, name)
        self._table._records.on(name).forget()
