"""The versions of a table."""

from __future__ import annotations

from typing import Any

from lancelike.storage import Tags, versions
from lancelike.table.handle import Handle


class Versioning(Handle):
    """Looks back at versions, brings them back, and names them."""

    def list_versions(self) -> list[dict[str, Any]]:
        """Every version kept: `version`, `timestamp`, `metadata`, oldest first."""
        return versions.list_versions(self._dataset)

    def checkout(self, version: int | str) -> None:
        """Show a past version, by number or tag; this handle is read-only until `checkout_latest`."""
        self._shown = self._shown.at(version)

    def checkout_latest(self) -> None:
        """Show the latest version, with what other processes wrote."""
        self._shown = self._shown.unpinned()

    def restore(self, version: int | str | None = None) -> None:
        """Make a past version the latest, as a new version; None takes the one checked out."""
        if version is None and not self._shown.pinned:
            raise ValueError("nothing is checked out: call checkout before running restore without a version")
        versions.restore(self._shown, version)
        self.checkout_latest()

    @property
    def tags(self) -> Tags:
        """Names for versions: `tags.create("v1", 3)`, then `checkout("v1")`."""
        return Tags(self._shown)
