"""The versions of a table."""

from __future__ import annotations

from typing import Any

from lancelike.storage import Tags, versions
from lancelike.table.branches import Branches
from lancelike.table.handle import Handle


class Versioning(Handle):
    """Looks back at versions, brings them back, and names them."""

    def list_versions(self) -> list[dict[str, Any]]:
        """Every version kept: `version`, `timestamp`, `metadata`, oldest first."""
        return versions.list_versions(self._dataset)

    def checkout(self, version: int | str | tuple[str | None, int | None]) -> None:
        """Show a past version, by number or tag; this handle is read-only until `checkout_latest`.

        Args:
            version: A number, of this handle's branch; a tag; a branch, whose latest version is shown, and which later
                writes go to; or a branch (None is main) and one of its versions (None is the latest).

        Raises:
            VersionNotFoundError: There is no such version, nor a tag or branch of that name.
            BranchNotFoundError: There is no such branch.
        """
        self._move_to(versions.find(self._shown, version))

    def checkout_latest(self) -> None:
        """Show the latest version of the branch shown, with what other processes wrote."""
        self._move_to(self._shown.unpinned())

    def restore(self, version: int | str | None = None) -> None:
        """Make a past version the latest, as a new version; None takes the one checked out.

        Raises:
            QueryError: The tag *version* is on another branch.
        """
        if version is None and not self._shown.pinned:
            raise ValueError("nothing is checked out: call checkout before running restore without a version")
        versions.restore(self._shown, version)
        self.checkout_latest()

    @property
    def tags(self) -> Tags:
        """Names for versions: `tags.create("v1", 3)`, then `checkout("v1")`."""
        return Tags(self._shown)

    @property
    def branches(self) -> Branches:
        """Lines of versions of their own: `branches.create("trial")` gives a handle that writes to it alone."""
        return Branches(self)

    def current_branch(self) -> str | None:
        """The branch that this handle shows and writes to; None is main."""
        return self._shown.branch
