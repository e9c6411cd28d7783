"""Versions of a dataset, the tags that name some of them, and the branches that grow from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from lancelike.errors import BranchNotFoundError, QueryError, VersionNotFoundError
from lancelike.storage.dataset import Dataset
from lancelike.storage.handles import close_table
from lancelike.storage.showing import MAIN


def list_versions(dataset: Dataset) -> list[dict[str, Any]]:
    """Every version there is, oldest first: `version`, `timestamp` (local time, without zone), `metadata`."""
    with dataset.errors():
        return [dict(version) for version in dataset.lance.versions()]


def kept_versions(dataset: Dataset) -> Iterator[Dataset]:
    """A handle on every version there is, oldest first; another process may be cleaning up."""
    for version in list_versions(dataset):
        with suppress(VersionNotFoundError):
            yield dataset.at(version["version"])


def find(dataset: Dataset, wanted: int | str | tuple[str | None, int | None]) -> Dataset:
    """A handle on what *wanted* names: a version, a tag, a branch, or a branch and its version.

    Raises:
        VersionNotFoundError: There is no such version, nor a tag or branch of that name.
        BranchNotFoundError: There is no such branch.
    """
    if isinstance(wanted, tuple):
        branch, version = wanted
        return dataset.on(branch) if version is None else dataset.on(branch).at(version)
    if isinstance(wanted, int) or wanted in Tags(dataset).list():
        return dataset.at(wanted)
    is_branch = wanted == MAIN or wanted in dataset.location.branches(dataset.name)
    return dataset.on(wanted) if is_branch else dataset.at(wanted)


def restore(dataset: Dataset, version: int | str | None = None) -> int:
    """Make a past version the latest again, in a new commit; its number.

    Args:
        dataset: The table; may be pinned.
        version: Number or tag; None is the version that *dataset* shows.

    Raises:
        VersionNotFoundError: There is no such version or tag.
        QueryError: The tag is on another branch.
    """
    latest = dataset.unpinned()
    wanted = dataset if version is None else latest.at(version)
    if wanted.branch != latest.branch:
        raise QueryError(f"{version!r} is on branch {wanted.branch or MAIN!r}, not on {latest.branch or MAIN!r}")
    number = wanted.version

    def bring_back(working: Any) -> None:
        past = working.checkout_version((latest.branch, number))
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


def create_branch(dataset: Dataset, name: str, from_ref: str | None = None, from_version: int | None = None) -> Dataset:
    """Let a branch begin at a version; a handle on it.

    Args:
        dataset: The table.
        name: Letters, digits and `.-_`, in parts separated by `/`.
        from_ref: A branch, or else a tag, that it begins at; None is main.
        from_version: Version of that branch; None is its latest.

    Raises:
        QueryError: There is such a branch already, or none can be named so.
        VersionNotFoundError: There is no such version, branch or tag.
    """
    there = dataset.location.branches(dataset.name)
    if name in there:
        raise QueryError(f"there is a branch {name!r} already; branches.checkout({name!r}) opens it")
    begin = _start(dataset, there, from_ref)
    if from_version is not None:
        begin = begin.at(from_version)
    with begin.errors():
        begin.lance.create_branch(name, (begin.branch, begin.version), storage_options=begin.location.storage_options)
    return begin.on(name)


def delete_branch(dataset: Dataset, name: str) -> None:
    """Delete a branch and close every handle on it; what it shares with others stays.

    Raises:
        BranchNotFoundError: There is no such branch.
        QueryError: A tag names a version of it.
    """
    there = dataset.location.branches(dataset.name)
    if name not in there:
        raise BranchNotFoundError(name, there)
    with dataset.errors():
        dataset.on(None).lance.branches.delete(name)
    close_table(dataset.location.key, dataset.name, name)


def _start(dataset: Dataset, branches: Collection[str], ref: str | None) -> Dataset:
    if ref is None or ref == MAIN or ref in branches:
        return dataset.on(ref)
    return dataset.at(ref)
