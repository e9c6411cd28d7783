"""The version of a table that a handle shows: one shared handle per process, or pinned ones."""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, Self, TypeVar

import pyarrow as pa
from lance import LanceDataset

from lancelike.calls import current_call
from lancelike.errors import (
    CommitConflictError,
    ReadOnlyTableError,
    SchemaChangedError,
    TableClosedError,
    TableNotFoundError,
)
from lancelike.schema.bindings import stored_bindings
from lancelike.storage.btrees import StaleBTree, rebuild, stale_btrees
from lancelike.storage.failures import Subject, lance_errors
from lancelike.storage.fitting import fits, follows_alike
from lancelike.storage.handles import OpenTable, close_table, open_table
from lancelike.storage.latest import Manifests, Stamp
from lancelike.storage.listing import lists_deleted
from lancelike.storage.location import Location, check_manifest

T = TypeVar("T")

MAIN = "main"
"""Lance's name for what is no branch: the table itself."""

COMMIT_ATTEMPTS = 10
COMMIT_TIMEOUT_S = 30.0


class Showing:
    """The version that a handle shows, and what the handle does to show it.

    A handle shows one version. The handle that `open` and `create` return is shared by everyone in this process who
    has the table open, so each sees the others' writes; it moves on to newer versions with its own writes and with
    `refresh`. A handle pinned to a version never moves and refuses writes. Every write starts from the latest version.

    Safe to use from several threads. Any method raises TableClosedError once the table was dropped or renamed.

    Attributes:
        location: The database it belongs to.
        name: The table's name.
        pinned: Whether the handle stays at its version.
        branch: The branch that it shows and writes to; None is main.
    """

    def __init__(
        self,
        location: Location,
        name: str,
        shown: LanceDataset,
        table: OpenTable[Any],
        pinned: bool,
        branch: str | None = None,
    ) -> None:
        self.location, self.name, self.pinned, self.branch = location, name, pinned, branch
        self._table = table
        self._judged: tuple[LanceDataset | None, LanceDataset] = (None, shown)
        self._stale: tuple[tuple[int, int] | None, list[StaleBTree]] = (None, [])
        self._frozen: tuple[LanceDataset, Self] | None = None
        self._was_latest: tuple[LanceDataset, Stamp | None] = (shown, None)
        self._key: tuple[LanceDataset, tuple[int, int]] | None = None
        self._move_to(shown)
        self._manifests = Manifests(None if pinned else self._folder)

    @classmethod
    def open(
        cls, location: Location, name: str, *, version: int | str | None = None, branch: str | None = None
    ) -> Self:
        """The handle on the latest version of a table, or a new one pinned to *version*, a number or a tag.

        Args:
            location: The database.
            name: The table's name.
            version: Number or tag; None is the latest.
            branch: A branch of the table; None, or `"main"`, is the table itself.

        Raises:
            TableNotFoundError: There is no such table.
            BranchNotFoundError: It has no such branch.
            VersionNotFoundError: There is no such version or tag.
            CorruptTableError: The manifest can't be read.
        """
        latest = cls._shared(location, name, None if branch == MAIN else branch)
        return latest if version is None else latest.at(version)

    @classmethod
    def _shared(cls, location: Location, name: str, branch: str | None) -> Self:
        table: OpenTable[Self] = open_table(location.key, name, branch)
        with table.lock:
            if shared := table.shared:
                try:
                    shared.refresh()
                except TableClosedError:
                    return cls._shared(location, name, branch)
                return shared
            try:
                shared = cls(location, name, location.load(name, branch), table, pinned=False, branch=branch)
            except TableNotFoundError:
                raise TableNotFoundError(name, location.list_tables()) from None
            table.shared = shared
            return shared

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, uri={self.uri!r}, version={self.version})"

    @property
    def uri(self) -> str:
        """Where the table is."""
        return str(self._shown.uri)

    @property
    def schema(self) -> pa.Schema:
        """Fields and metadata of the version shown."""
        return self._readable().schema

    @property
    def version(self) -> int:
        """Number of the version shown; versions count from 1."""
        return int(self._readable().version)

    @property
    def version_key(self) -> tuple[int, int]:
        """Number and time of the version shown: a table that is made anew counts from 1 again."""
        shown = self._readable()
        if self._key is None or self._key[0] is not shown:
            self._key = shown, (int(shown.version), _timestamp(shown))
        return self._key[1]

    @property
    def lance(self) -> LanceDataset:
        """The version shown, as Lance's own object: a copy, so moving it does not move this handle."""
        return copy.copy(self._searchable())

    @property
    def indexing(self) -> threading.Lock:
        """Held in this process while the table's indices are built or changed."""
        return self._table.indexing

    def lists_deleted(self, index: str) -> bool:
        """Whether a vector or full-text *index* lists deleted rows, which Lance takes for rows there are."""
        with self.errors():
            return lists_deleted(self._readable(), index, self._table.listing, self.location.storage_options)

    def refresh(self) -> None:
        """Show the latest version, unless pinned."""
        shown = self._readable()
        if self.pinned:
            return
        try:
            with self.errors():
                if self._is_latest(shown):
                    return
                folder = self._manifests.folder()
                latest = copy.copy(shown)
                latest.checkout_latest()
                check_manifest(self.name, latest)
                same_table = _is_later(latest, shown)
        except TableClosedError:  # its files are gone
            same_table = False
        if not same_table:
            close_table(self.location.key, self.name, self.branch)
            self._table.closed = True
            raise TableClosedError(self.name)
        self._show(latest, folder)

    def _is_latest(self, shown: LanceDataset) -> bool:
        judged, stamp = self._was_latest
        if judged is not shown or not self._manifests.is_latest(int(shown.version), stamp):
            return False
        self._looked_at = time.monotonic()
        return True

    def refresh_if_older(self, seconds: float) -> None:
        """Show the latest version if the last look at it was *seconds* or more ago."""
        if time.monotonic() - self._looked_at >= seconds:
            self.refresh()

    def at(self, version: int | str) -> Self:
        """A handle pinned to a version, given by number or tag; a tag may be on another branch.

        Raises:
            VersionNotFoundError: There is no such version or tag.
        """
        if isinstance(version, str):
            branch, number = self._tagged(version)
            if branch != self.branch:
                return self.on(branch).at(number)
            version = number
        with self.errors():
            shown = self._readable().checkout_version((self.branch, version))
        return self._pinned(shown)

    def on(self, branch: str | None) -> Self:
        """The shared handle on the latest version of *branch*.

        Raises:
            BranchNotFoundError: There is no such branch.
        """
        return type(self).open(self.location, self.name, branch=branch)

    def _tagged(self, tag: str) -> tuple[str | None, int]:
        """Branch and version that *tag* names."""
        with self.errors():
            tags = self._readable().tags
            number = int(tags.get_version(tag))
            return tags.list()[tag].get("branch"), number

    def frozen(self) -> Self:
        """A handle pinned to the version shown, for several reads that must agree; the same one for a version."""
        shown = self._readable()
        if self.pinned:
            return self
        frozen = self._frozen
        if frozen is None or frozen[0] is not shown:
            frozen = self._frozen = shown, self._pinned(shown)
        return frozen[1]

    def unpinned(self) -> Self:
        """The shared handle on the latest version."""
        return self.on(self.branch)

    def _pinned(self, shown: LanceDataset) -> Self:
        shown._uri = self._shown.uri
        return type(self)(self.location, self.name, shown, self._table, pinned=True, branch=self.branch)

    def errors(self) -> AbstractContextManager[None]:
        """Raise what Lance raises in the block, about this table, as errors of our tree."""
        return lance_errors(self._subject)

    def change(
        self,
        operation: Callable[[LanceDataset], T],
        *,
        attempts: int = COMMIT_ATTEMPTS,
        timeout_s: float = COMMIT_TIMEOUT_S,
        mend: bool = True,
    ) -> T:
        """Run *operation*, which commits, on a copy of the latest version, and show what it made.

        It is run again, on a newer version, when another writer's commit got in its way: *attempts* times at most, and
        never again after *timeout_s*.

        Args:
            operation: Gets the copy, and leaves it at the version it made.
            attempts: Most times to run it.
            timeout_s: Longest time after which it is run again.
            mend: Build B-trees that miss rows again first, in commits of their own, since Lance would look for rows
                through them, and compaction would hide what they miss.

        Raises:
            CalledOff: The call that this is for was called off before it committed.
        """

        def run(latest: LanceDataset) -> T:
            if mend:
                rebuild(latest, self._stale_btrees(latest))
            return operation(latest)

        self.check_writable()
        with self._table.underway.change(self._folder):
            return self._until_committed(run, self._latest(), attempts=attempts, timeout_s=timeout_s)

    def _until_committed(
        self,
        operation: Callable[[LanceDataset], T],
        first: LanceDataset,
        *,
        attempts: int = COMMIT_ATTEMPTS,
        timeout_s: float = COMMIT_TIMEOUT_S,
    ) -> T:
        """Run *operation* on *first*, and on the latest version after that, as `change` does; what it returns."""
        deadline, latest = time.monotonic() + timeout_s, first
        for attempt in count(1):
            try:
                with self.errors(), current_call().committing():
                    result = operation(latest)
            except CommitConflictError:
                if attempt >= attempts or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))
                latest = self._latest()
            else:
                self._show(latest)
                return result
        raise AssertionError("count() has no end")

    def undisturbed(self) -> AbstractContextManager[bool]:
        """Whether nothing changes the table in the block but by adding rows, because nothing does so now.

        In an object store it isn't known of other processes, and so never.
        """
        return self._table.underway.alone(self._folder, in_memory=self.location.is_memory)

    @property
    def _folder(self) -> str | None:
        """Where the table lies, if that is a folder."""
        return self.uri if self.location.path else None

    def _latest(self) -> LanceDataset:
        """A copy of the latest version, to write to."""
        self.check_writable()
        self.refresh()
        return copy.copy(self._shown)

    def check_writable(self) -> None:
        """See that what is shown is the latest version.

        Raises:
            ReadOnlyTableError: It is a past one.
        """
        self._readable()
        if self.pinned:
            raise ReadOnlyTableError(self.name, self.version)

    def check_functions(self, bound: Mapping[bytes, bytes] | None) -> None:
        """See that the latest version names the functions that the metadata *bound* names.

        Raises:
            SchemaChangedError: It names others.
        """
        self._check_functions(bound, self._latest())

    def _check_functions(self, bound: Mapping[bytes, bytes] | None, latest: LanceDataset) -> None:
        """See that rows which were embedded as *bound* says are written to a table that still says so."""
        if stored_bindings(bound) != stored_bindings(latest.schema.metadata):
            raise self._schema_changed()

    def _check_follows(self, made_for: LanceDataset, latest: LanceDataset) -> None:
        """See that what was embedded and computed for one version is so in *latest*."""
        if made_for.version != latest.version and not follows_alike(made_for, latest):
            raise self._schema_changed()

    def _check_fits(self, made_for: LanceDataset, latest: LanceDataset, columns: Iterable[str]) -> None:
        """See that rows with *columns* that were made for one version are rows of *latest*."""
        self._check_follows(made_for, latest)
        if made_for.version != latest.version and not fits(made_for, latest, columns):
            raise self._schema_changed()

    def _schema_changed(self) -> SchemaChangedError:
        return SchemaChangedError(
            f"the columns or embedding functions of table {self.name!r} were changed while rows were made for it; "
            "nothing is written: write them again, what was paid for is kept"
        )

    def _readable(self) -> LanceDataset:
        if self._table.closed:
            raise TableClosedError(self.name)
        return self._shown

    def _show(self, new: LanceDataset, folder: Stamp | None = None) -> int:
        """Show *new*, unless another thread showed a later version; the version of *new*.

        Args:
            new: What was the latest version a moment ago.
            folder: That of the manifests, at most as late as that; None: now, if *new* was just made.
        """
        with self._table.lock:
            if new.version >= self._shown.version:
                if new.version > self._shown.version:
                    folder = folder or self._manifests.folder()
                self._move_to(new)
                self._was_latest = new, self._manifests.stamp(int(new.version), folder)
        return int(new.version)

    def _searchable(self) -> LanceDataset:
        """The version shown, as filters may read it: past B-trees, while one of them misses rows."""
        shown = self._readable()
        judged, searchable = self._judged
        if judged is not shown:
            searchable = shown
            if self._stale_btrees(shown):
                searchable = copy.copy(shown)
                searchable._default_scan_options = {"use_scalar_index": False}
            self._judged = shown, searchable
        return searchable

    def _stale_btrees(self, dataset: LanceDataset) -> list[StaleBTree]:
        """Those of a version of the table; looked for once for several questions about the same one."""
        version, known = (int(dataset.version), _timestamp(dataset)), self._stale
        if known[0] != version:
            found = stale_btrees(dataset, self._table.btrees, self.location.storage_options)
            known = self._stale = version, found
        return known[1]

    def _move_to(self, shown: LanceDataset) -> None:
        self._shown = shown
        self._looked_at = time.monotonic()
        self._subject = Subject(
            table=self.name,
            uri=shown.uri,
            columns=lambda: shown.schema.names,
            indices=lambda: [index.name for index in shown.describe_indices()],
            is_gone=self._is_gone,
        )

    def _is_gone(self) -> bool:
        exists = self.location.exists(self.name)
        return not exists or (self.branch is not None and self.branch not in self.location.branches(self.name))


def _is_later(latest: LanceDataset, shown: LanceDataset) -> bool:
    """Whether *latest* is the table of *shown*, and not another made since under its name.

    A table that was dropped and made again has lower version numbers, or other times for the same numbers.
    """
    if latest.version < shown.version:
        return False
    if latest.version == shown.version:
        return _timestamp(latest) == _timestamp(shown)
    try:
        return _timestamp(latest.checkout_version(shown.version)) == _timestamp(shown)
    except (OSError, ValueError):  # cleaned up since
        return True


def _timestamp(dataset: LanceDataset) -> int:
    return int(dataset._ds.current_version()["timestamp"])
