"""Versions of a dataset, and the tags that name some of them."""

from __future__ import annotations

from typing import Any

from lancelike.storage.dataset import Dataset


def list_versions(dataset: Dataset) -> list[dict[str, Any]]:
    """Every version there is, oldest first: `version`, `timestamp` (local time, without zone), `metadata`."""
    with dataset.errors():
        return [dict(version) for version in dataset.lance.versions()]


def restore(dataset: Dataset, version: int | str | None = None) -> int:
    """Make a past version the latest again, in a new commit; its number.

    Args:
        dataset: The table; may be pinned.
        version: Number or tag; None is the version that *dataset* shows.

    Raises:
        VersionNotFoundError: There is no such version or tag.
    """
    wanted = dataset.version if version is None else version
    latest = dataset.unpinned()

    def bring_back(working: Any) -> None:
        past = working.checkout_version(wanted)
        past.restore()
        working._ds = past._ds

    latest.change(bring_back)
    return latest.version


class Tags:
    """Names for versions. A tagged version is kept when old ones are cleaned up."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def list(self) -> dict[str, dict[str, Any]]:
        """Each tag with its `version` and what else Lance keeps of it."""
        with self._dataset.errors():
            return {name: dict(tag) for name, tag in self._dataset.lance.tags.list().items()}

    def get_version(self, tag: str) -> int:
        """The version that *tag* names.

        Raises:
            VersionNotFoundError: There is no such tag.
        """
        with self._dataset.errors():
            return int(self._dataset.lance.tags.get_version(tag))

    def create(self, tag: str, version: int) -> None:
        """Let *tag* name *version*.

        Raises:
            QueryError: There is such a tag already, or its name has other characters than letters, digits, `.-_`.
            VersionNotFoundError: There is no such version.
        """
        with self._dataset.errors():
            self._dataset.lance.tags.create(tag, version)

    def update(self, tag: str, version: int) -> None:
        """Let the existing *tag* name *version* instead.

        Raises:
            VersionNotFoundError: There is no such tag or version.
        """
        with self._dataset.errors():
            self._dataset.lance.tags.update(tag, version)

    def delete(self, tag: str) -> None:
        """Forget *tag*; the version stays.

        Raises:
            VersionNotFoundError: There is no such tag.
        """
        with self._dataset.errors():
            self._dataset.lance.tags.delete(tag)
