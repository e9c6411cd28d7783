"""Where a database is: a directory, an object store's prefix, or memory, with one `<name>.lance` for each table."""

from __future__ import annotations

import copy
import errno
import os
import re
import shutil
import tempfile
import uuid
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import lance
import pyarrow as pa
from lance.file import LanceFileSession
from lance.fragment import write_fragments

from lancelike.errors import (
    BranchNotFoundError,
    CorruptTableError,
    SchemaError,
    TableExistsError,
    TableNameError,
    TableNotFoundError,
)
from lancelike.storage.failures import Subject, lance_errors, readable
from lancelike.storage.handles import close_table
from lancelike.storage.session import Session
from lancelike.types import StorageOptions

_CHILD_CACHE_BYTES = 16 << 20
_SUFFIX = ".lance"
_TABLE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def check_table_name(name: str) -> str:
    """*name*, if it can name a table.

    Raises:
        TableNameError: It is empty, starts with a dot, or has other characters than letters, digits, `_`, `-`, `.`.
    """
    if not isinstance(name, str) or not _TABLE_NAME.fullmatch(name):
        raise TableNameError(name)
    return name


class Location:
    """The tables of one database. Makes nothing and reads nothing until asked.

    Args:
        uri: A path, `file://...`, `memory://`, or an object store's URL (`s3://`, `gs://`, `az://`).
        storage_options: Credentials, endpoint, and so on, in Lance's words.
        session: Caches shared with other databases; None is one of its own, made when first read through.
        cache_bytes: Bound on what that one remembers of files; None is Lance's.

    Attributes:
        uri: The location as given, a path absolute; no slash at the end.
        path: The directory, or None for an object store or memory.
        key: Equal for two locations that are the same database. Each `memory://` is a database of its own.
        namespace: Names that lead to the tables from the database's root; empty for those at the root.
    """

    namespace: tuple[str, ...] = ()

    def __init__(
        self,
        uri: str | os.PathLike[str],
        storage_options: StorageOptions | None = None,
        session: Session | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        text = os.fspath(uri)
        self.path = _local_path(text)
        self.is_memory = text.startswith("memory://")
        self.uri = str(self.path) if self.path else text.rstrip("/") if not self.is_memory else text
        self.storage_options = dict(storage_options) if storage_options else None
        self.key = f"memory://{uuid.uuid4().hex}" if self.is_memory else f"{self.uri} {self.storage_options or ''}"
        self._session, self._cache_bytes = session, cache_bytes
        self._in_memory: dict[str, lance.LanceDataset] = {}
        self._children: dict[str, Location] = {}

    def __repr__(self) -> str:
        return f"Location({self.shown_uri!r})"

    @property
    def shown_uri(self) -> str:
        """The URI without credentials, fit to be shown."""
        return readable(self.uri)

    def child(self, path: str) -> Location:
        """The location *path* below this one, the same each time; of a database in memory, another in memory.

        It has small caches of its own: it is for tables that grow by many small commits, and Lance would remember
        what it read of every one of them.
        """
        if path not in self._children:
            uri = self.uri if self.is_memory else f"{self.uri}/{path}"
            self._children[path] = Location(uri, self.storage_options, cache_bytes=_CHILD_CACHE_BYTES)
        return self._children[path]

    def with_options(self, storage_options: StorageOptions | None) -> Location:
        """The same database, reached with *storage_options* beside and before its own; only an object store has any."""
        options = {**(self.storage_options or {}), **(storage_options or {})}
        if self.path or self.is_memory or options == (self.storage_options or {}):
            return self
        return Location(self.uri, options, self._session, self._cache_bytes)

    @property
    def database(self) -> Location:
        """The root of the database that these tables are in."""
        return self

    def list_tables(self) -> list[str]:
        """Names of the tables, sorted."""
        if self.is_memory:
            return sorted(self._in_memory)
        if self.path:
            return sorted(_tables_in(self.path))
        with self._errors():
            prefixes = self._files.list_with_delimiter().common_prefixes
        names = (prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes)
        return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))

    def table_uri(self, name: str) -> str:
        """Where the table *name* is, or would be."""
        check_table_name(name)
        if self.is_memory:
            return self._in_memory[name].uri if name in self._in_memory else f"{self.key}/{uuid.uuid4().hex}{_SUFFIX}"
        directory = self._directory(name)
        return str(self.path / directory) if self.path else f"{self.uri}/{directory}"

    def _directory(self, name: str) -> str:
        """What the directory of the table *name* is called, below this location."""
        return f"{name}{_SUFFIX}"

    def exists(self, name: str) -> bool:
        """Whether the table *name* is there: a directory without a version of it does not count."""
        check_table_name(name)
        if self.is_memory:
            return name in self._in_memory
        if self.path:
            return _has_versions(self.path / self._directory(name))
        with self._errors(name):
            return bool(self._files.list_with_delimiter(f"{self._directory(name)}/_versions").objects)

    def is_known_to_lack(self, name: str) -> bool:
        """Whether the table *name* isn't there, where a look at a folder tells; in an object store, opening it does."""
        return (self.is_memory or self.path is not None) and not self.exists(name)

    def manifests(self, name: str) -> list[str]:
        """Names of the files that hold the versions of the table *name*; none are told of a table in memory."""
        if self.is_memory:
            return []
        if self.path:
            names = os.listdir(self.path / self._directory(name) / "_versions")
        else:
            with self._errors(name):
                names = [file.rpartition("/")[2] for file in self._files.list(f"{self._directory(name)}/_versions")]
        return [each for each in names if each.endswith(".manifest")]

    def drop(self, name: str) -> None:
        """Delete the table *name* and close every handle on it, also when its files are damaged.

        Raises:
            TableNotFoundError: There is no such table.
        """
        self._check_exists(name)
        close_table(self.key, name)
        if self.is_memory:
            del self._in_memory[name]
        elif self.path:
            remove_directory(self.path / self._directory(name))
        else:
            self._delete_objects(name, self._directory(name))

    def rename(self, old: str, new: str) -> None:
        """Give the table *old* the name *new*, with its versions, tags and indices, and close every handle on it.

        In an object store the files are copied, then deleted; a reader may see both for a while.

        Raises:
            TableNotFoundError: There is no table *old*.
            TableExistsError: There is a table *new* already.
            SchemaError: The table has branches, whose versions say where its files are.
        """
        self._check_exists(old)
        if self.exists(new):
            raise TableExistsError(new)
        if not self.is_memory and (branches := self.branches(old)):
            raise SchemaError(
                f"table {old!r} can't be renamed while it has branches ({', '.join(branches)}): Lance would not find "
                "the rows that they share with it. Delete them first"
            )
        close_table(self.key, old)
        if self.is_memory:
            self._in_memory[new] = self._in_memory.pop(old)
        elif self.path:
            os.rename(self.path / f"{old}{_SUFFIX}", self.path / f"{new}{_SUFFIX}")
        else:
            self._copy_objects(old, new)
            self._delete_objects(old, self._directory(old))

    def load(self, name: str, branch: str | None = None) -> lance.LanceDataset:
        """The latest version of the table *name*, or of its *branch*.

        Raises:
            TableNotFoundError: There is no such table.
            BranchNotFoundError: It has no such branch.
            CorruptTableError: Its manifest can't be read.
        """
        loaded = self._load(name, branch)
        if not self.is_memory and self.caches.forget_another(loaded):
            return self._load(name, branch)
        return loaded

    def _load(self, name: str, branch: str | None) -> lance.LanceDataset:
        if self.is_memory:
            self._check_exists(name)
            loaded = copy.copy(self._in_memory[name])
            loaded.checkout_latest()
        else:
            uri = self.table_uri(name)
            with self._errors(name):
                loaded = lance.dataset(uri, storage_options=self.storage_options, session=self.session)
        check_manifest(name, loaded)
        return loaded if branch is None else self._load_branch(name, branch, loaded)

    def branches(self, name: str) -> dict[str, dict[str, Any]]:
        """What Lance keeps of each branch of the table *name*, by the branch's name; main is not among them.

        Raises:
            TableNotFoundError: There is no such table.
        """
        main = self.load(name)
        with self._errors(name):
            return {branch: dict(kept) for branch, kept in main.branches.list().items()}

    def _load_branch(self, name: str, branch: str, main: lance.LanceDataset) -> lance.LanceDataset:
        with self._errors(name):
            branches = main.branches.list()
            if branch not in branches:
                raise BranchNotFoundError(branch, branches)
            loaded = main.checkout_version((branch, None))
        loaded._uri = f"{main.uri}/tree/{branch}"  # which Lance leaves main's
        return loaded

    def new_uri(self, name: str) -> str:
        """Where to write the first version of the table *name*: out of sight, where that can be."""
        if self.path:
            self.path.mkdir(parents=True, exist_ok=True)
            return str(self.path / f".{name}{_SUFFIX}.{uuid.uuid4().hex}.making")
        return self.table_uri(name)

    def publish(self, name: str, made: lance.LanceDataset) -> None:
        """Let the first version of a table, written at its `new_uri`, be found under its name.

        Raises:
            TableExistsError: Someone else made a table of that name meanwhile.
        """
        if self.is_memory:
            won = self._in_memory.setdefault(name, made) is made
        elif self.path:
            won = publish_directory(Path(made.uri), self.path / f"{name}{_SUFFIX}")
        else:
            won = True  # the commit itself was refused otherwise
        if not won:
            raise TableExistsError(name)

    def discard(self, uri: str) -> None:
        """Delete what is left at a `new_uri` of a table that was not published."""
        if self.path:
            shutil.rmtree(uri, ignore_errors=True)

    @property
    def session(self) -> lance.Session:
        """Caches to read through. A table in memory has its own, because they also hold its files."""
        return lance.Session() if self.is_memory else self.caches.lance

    @property
    def caches(self) -> Session:
        """The session of tables on disk."""
        if self._session is None:
            self._session = Session(metadata_cache_size_bytes=self._cache_bytes)
        return self._session

    @cached_property
    def _files(self) -> LanceFileSession:
        return LanceFileSession(self.uri, self.storage_options)

    def _check_exists(self, name: str) -> None:
        if not self.exists(name):
            raise TableNotFoundError(name, self.list_tables())

    def _errors(self, name: str = "") -> AbstractContextManager[None]:
        return lance_errors(Subject(table=name, uri=readable(self.table_uri(name) if name else self.uri)))

    def _delete_objects(self, name: str, directory: str) -> None:
        """Versions go first: what is left of an interrupted drop is then no table."""
        with self._errors(name):
            files = sorted(self._files.list(directory), key=lambda file: "/_versions/" not in file)
            for file in files:
                self._files.delete_file(file)

    def _copy_objects(self, old: str, new: str) -> None:
        """Versions come last: a copy under way is no table yet."""
        with self._errors(old), tempfile.TemporaryDirectory() as directory:
            local = os.path.join(directory, "file")
            files = sorted(self._files.list(f"{old}{_SUFFIX}"), key=lambda file: "/_versions/" in file)
            for file in files:
                self._files.download_file(file, local)
                self._files.upload_file(local, f"{new}{_SUFFIX}{file.partition(_SUFFIX)[2]}")


def write_first_version(
    location: Location,
    name: str,
    uri: str,
    rows: pa.RecordBatchReader,
    *,
    data_storage_version: str | None,
    stable_row_ids: bool,
) -> lance.LanceDataset:
    """Write a table's first version at *uri*, which `Location.new_uri` gave.

    In an object store the commit is refused when another writer's came first; Lance's own `write_dataset` would take
    that one's table for an old version and overwrite it.

    Raises:
        TableExistsError: Someone else made a table of that name meanwhile.
    """
    options = {
        "mode": "create",
        "data_storage_version": data_storage_version,
        "enable_stable_row_ids": stable_row_ids,
        "storage_options": location.storage_options,
        "session": location.session,
    }
    if location.path or location.is_memory:
        return lance.write_dataset(rows, uri, **options)
    creation = write_fragments(rows, uri, return_transaction=True, **options)
    try:
        return lance.LanceDataset.commit(
            uri,
            creation,
            max_retries=0,
            enable_stable_row_ids=stable_row_ids,
            storage_options=location.storage_options,
        )
    except OSError as error:
        if location.exists(name):
            raise TableExistsError(name) from error
        raise


def check_manifest(name: str, loaded: lance.LanceDataset) -> lance.LanceDataset:
    """*loaded*, a version of the table *name*.

    Raises:
        CorruptTableError: Its manifest is all zeros, which Lance takes for that of a table without columns.
    """
    if not loaded.version:
        raise CorruptTableError(f"the manifest of table {name!r} is empty; restore it from a backup", loaded.uri)
    return loaded


def _local_path(uri: str) -> Path | None:
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path)).absolute()
    return None if "://" in uri else Path(uri).expanduser().absolute()


def _tables_in(directory: Path) -> list[str]:
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        return []
    with entries:
        return [
            entry.name.removesuffix(_SUFFIX)
            for entry in entries
            if entry.name.endswith(_SUFFIX) and not entry.name.startswith(".") and _has_versions(Path(entry.path))
        ]


def _has_versions(directory: Path) -> bool:
    return (directory / "_versions").is_dir()


def remove_directory(directory: Path) -> None:
    """Out of sight in one step, then deleted: an interrupted drop leaves no half of a table."""
    hidden = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.dropped")
    os.rename(directory, hidden)
    shutil.rmtree(hidden)


def publish_directory(made: Path, directory: Path) -> bool:
    """Give *made* its name, in place of a directory that is no table; False if there is a table."""
    try:
        os.rename(made, directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or _has_versions(directory):
            return False
        remove_directory(directory)
        return publish_directory(made, directory)
    return True
