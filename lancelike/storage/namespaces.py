"""Namespaces below the root of a database: tables that a catalogue finds, in directories beside the root's tables."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import lance

from lancelike.errors import NamespaceExistsError, NamespaceNotFoundError
from lancelike.storage.catalogue import Catalogue
from lancelike.storage.handles import close_table
from lancelike.storage.location import Location, check_table_name, publish_directory, remove_directory
from lancelike.types import StorageOptions

SEPARATOR = "$"
"""Stands between a namespace's names, and before the table's, where they are one text."""
_RECORDS = "_lancelike/namespaces"
_UNSAFE = re.compile(rf"[^A-Za-z0-9_.\{SEPARATOR}-]")


def within(database: Location, namespace_path: Sequence[str] | None) -> Location:
    """The tables of the namespace *namespace_path*; those at the root, if it is None or empty.

    Raises:
        ValueError: It is a text, or one of its names is empty or has `$` or `/` in it.
        NotImplementedError: The database is in memory, where Lance keeps no catalogue.
    """
    return Namespace(database, checked(namespace_path)) if namespace_path else database


def checked(namespace_path: Sequence[str]) -> tuple[str, ...]:
    """*namespace_path*, if it can lead to a namespace.

    Raises:
        ValueError: It can't.
    """
    if isinstance(namespace_path, str):
        raise ValueError(f"a namespace is a list of names, one for each level: [{namespace_path!r}]")
    for name in namespace_path:
        if not isinstance(name, str) or not name or SEPARATOR in name or "/" in name:
            raise ValueError(f"no namespace can be named {name!r}: give some text without {SEPARATOR!r} and '/'")
    return tuple(namespace_path)


def catalogue_of(database: Location) -> Catalogue:
    """The namespaces of *database*.

    Raises:
        NotImplementedError: The database is in memory.
    """
    if database.is_memory:
        raise NotImplementedError(
            "a database in memory has no namespaces but the root, since Lance keeps no catalogue there: connect to a "
            "directory"
        )
    return Catalogue(database.uri, database.storage_options)


def everywhere(database: Location) -> Iterator[Location]:
    """The tables at the root of *database*, then those of every namespace below it."""
    yield database
    if database.is_memory:
        return
    catalogue = catalogue_of(database)
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop(0)
        below = [(*path, name) for name in catalogue.children(path)]
        yield from (within(database, each) for each in below)
        waiting += below


def table_in(database: Location, directory: str) -> tuple[Location, str]:
    """The namespace and name of the table whose files are in *directory* of *database*."""
    if not directory.endswith(".lance"):
        for location in everywhere(database):
            for name in location.list_tables() if location.namespace else ():
                if location.table_uri(name).endswith(f"/{directory}"):
                    return location, name
    return database, directory.removesuffix(".lance")


class Namespace(Location):
    """The tables of one namespace: directories of the database, which its catalogue names.

    Args:
        database: The root.
        namespace: Names that lead from there.
    """

    def __init__(self, database: Location, namespace: tuple[str, ...]) -> None:
        self._catalogue = catalogue_of(database)
        super().__init__(database.uri, database.storage_options, database.caches)
        self._database, self.namespace = database, namespace
        self.key = f"{database.key}{SEPARATOR}{SEPARATOR.join(namespace)}"

    @property
    def database(self) -> Location:
        """The root of the database that these tables are in."""
        return self._database

    def child(self, path: str) -> Location:
        """The location *path* below this one, apart from those of other namespaces."""
        below = path.removeprefix("_lancelike/")
        return self._database.child(f"{_RECORDS}/{quote(SEPARATOR.join(self.namespace), safe=SEPARATOR)}/{below}")

    def with_options(self, storage_options: StorageOptions | None) -> Location:
        """The same namespace, reached with *storage_options* beside and before its own; of an object store alone."""
        database = self._database.with_options(storage_options)
        return self if database is self._database else Namespace(database, self.namespace)

    def list_tables(self) -> list[str]:
        """Names of the tables, sorted."""
        return self._catalogue.tables(self.namespace)

    def drop(self, name: str) -> None:
        """Delete the table *name* and close every handle on it, also when its files are damaged.

        Raises:
            TableNotFoundError: There is no such table.
        """
        self._check_exists(name)
        directory = self._directory(name)
        close_table(self.key, name)
        self._catalogue.deregister(self.namespace, name)
        if self.path:
            remove_directory(self.path / directory)
        else:
            self._delete_objects(name, directory)

    def rename(self, old: str, new: str) -> None:
        """Give the table *old* the name *new*, and close every handle on it; its directory keeps its own.

        Raises:
            TableNotFoundError: There is no table *old*.
            TableExistsError: There is a table *new* already.
        """
        self._check_exists(old)
        directory = self._directory(old)
        self._catalogue.register(self.namespace, new, directory)
        close_table(self.key, old)
        self._catalogue.deregister(self.namespace, old)

    def new_uri(self, name: str) -> str:
        """Where to write the first version of the table *name*: no other table is or will be there."""
        readable = _UNSAFE.sub("_", SEPARATOR.join((*self.namespace, check_table_name(name))))
        directory = f"{uuid.uuid4().hex[:8]}_{readable}"
        if self.path is None:
            return f"{self.uri}/{directory}"
        self.path.mkdir(parents=True, exist_ok=True)
        return str(self.path / f".{directory}.making")

    def publish(self, name: str, made: lance.LanceDataset) -> None:
        """Let the first version of a table, written at its `new_uri`, be found under its name.

        A namespace that isn't there yet is made, as LanceDB takes one for there when a table is made in it.

        Raises:
            TableExistsError: Someone else made a table of that name meanwhile.
        """
        directory = made.uri.rstrip("/").rpartition("/")[2]
        if self.path:
            directory = directory.removeprefix(".").removesuffix(".making")
            publish_directory(Path(made.uri), self.path / directory)
        try:
            self._register(name, directory)
        except BaseException:
            self.discard(str(self.path / directory) if self.path else made.uri)
            raise

    def _register(self, name: str, directory: str) -> None:
        stale = self._catalogue.directory(self.namespace, name) is not None and not self.exists(name)
        if stale:  # declared, and never written
            self._catalogue.deregister(self.namespace, name)
        try:
            self._catalogue.register(self.namespace, name, directory)
        except NamespaceNotFoundError:
            for depth in range(1, len(self.namespace) + 1):
                make_if_missing(self._catalogue, self.namespace[:depth])
            self._catalogue.register(self.namespace, name, directory)

    def _directory(self, name: str) -> str:
        """What the directory of the table *name* is called; one that is not there, if there is no such table."""
        return self._catalogue.directory(self.namespace, name) or SEPARATOR.join((*self.namespace, name))


def make_if_missing(catalogue: Catalogue, namespace: Sequence[str]) -> None:
    """Make a namespace, unless it is there."""
    with suppress(NamespaceExistsError):
        catalogue.create(namespace)
