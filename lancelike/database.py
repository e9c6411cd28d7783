"""A database: a directory, or an object store's prefix, of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from numbers import Integral
from pathlib import Path
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike import embeddings, ingest, ledger, lifecycle
from lancelike.errors import SchemaError, TableExistsError
from lancelike.ledger.bounds import DEFAULT_BYTES
from lancelike.legacy import warn_deprecated
from lancelike.lifecycle.indexing import checked_policy
from lancelike.namespaces import ListTablesResponse, directory_of
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.declared import check_declared
from lancelike.search.vectors import QueryVectors
from lancelike.serializing import from_text, to_text
from lancelike.storage import Dataset, Location, Session, check_table_name, within
from lancelike.storage.cloning import clone, in_memory
from lancelike.storage.memory import VectorCache, default_bytes
from lancelike.storage.namespaces import everywhere
from lancelike.table import Table
from lancelike.tables import Tables
from lancelike.types import CreateMode, IndexPolicy, OnBadVectors, OnEmbeddingError, Rows, StorageOptions

if TYPE_CHECKING:
    from lancelike.embeddings import EmbeddingFunctionRegistry
    from lancelike.ledger import Ledger, TableRecords
    from lancelike.schema import LanceModel

_STABLE_ROW_IDS = "new_table_enable_stable_row_ids"
_FILE_FORMAT = "new_table_data_storage_version"

__all__ = [
    "DBConnection",
    "LanceDBConnection",
    "ListTablesResponse",
    "connect",
    "connect_namespace",
    "deserialize_conn",
]


class DBConnection(Tables):
    """A database; made by `lancelike.connect`."""

    def __init__(
        self,
        location: Location,
        *,
        read_consistency_interval: timedelta | None = None,
        registry: EmbeddingFunctionRegistry | None = None,
        ledger_bytes: int = DEFAULT_BYTES,
        allow_drift: bool = False,
        index_policy: IndexPolicy = "auto",
        vector_cache_bytes: int | None = None,
        session: Session | None = None,
    ) -> None:
        self._location, self._session = location, session
        self._allow_drift, self._index_policy = allow_drift, checked_policy(index_policy)
        self._ledger_bytes = _bound("ledger_bytes", ledger_bytes)
        self._query_vectors = QueryVectors()
        self._vector_cache = VectorCache(
            default_bytes() if vector_cache_bytes is None else _bound("vector_cache_bytes", vector_cache_bytes)
        )
        self._given_registry = registry
        self._read_consistency_interval = read_consistency_interval

    @cached_property
    def _ledger(self) -> Ledger:
        return ledger.Ledger(self._location, self._ledger_bytes)

    @property
    def _registry(self) -> EmbeddingFunctionRegistry:
        return self._given_registry or embeddings.get_registry()

    @property
    def uri(self) -> str:
        """Where the database lies."""
        return self._location.uri

    @property
    def read_consistency_interval(self) -> timedelta | None:
        """How old what a handle shows may get before a read looks for newer versions, as `connect` was told."""
        return self._read_consistency_interval

    @property
    def session(self) -> Session | None:
        """Lance's caches, if they were given to `connect`."""
        return self._session

    def __repr__(self) -> str:
        return f"LanceDBConnection(uri={self._location.shown_uri!r})"

    def __reduce__(self) -> tuple[Callable[[str], DBConnection], tuple[str]]:
        """A connection for another process, made as `serialize()` says."""
        if self._location.is_memory:
            raise PicklingError("a database in memory is found by no other process; send its tables' to_arrow()")
        return deserialize_conn, (self.serialize(),)

    def __getitem__(self, name: str) -> Table:
        return self.open_table(name)

    def create_table(
        self,
        name: str,
        data: Rows = None,
        schema: pa.Schema | type[LanceModel] | None = None,
        mode: CreateMode = "create",
        exist_ok: bool = False,
        on_bad_vectors: OnBadVectors = "error",
        fill_value: float = 0.0,
        embedding_functions: Sequence[EmbeddingFunctionConfig] | None = None,
        *,
        on_embedding_error: OnEmbeddingError = "raise",
        progress: Any = None,
        data_storage_version: str | None = None,
        storage_options: StorageOptions | None = None,
        enable_v2_manifest_paths: bool | None = None,
        namespace_path: Sequence[str] | None = None,
    ) -> Table:
        """Create a table from a schema, from rows, or from both, in one commit.

        Args:
            name: Letters, digits, `_`, `-` and `.`.
            data: The first rows, as `Table.add` takes them.
            schema: A `LanceModel` class or an Arrow schema; None infers it from *data*, where lists in columns whose
                name has "vector" or "embedding" in it become vectors.
            mode: `"overwrite"` replaces a table that is there.
            exist_ok: Open the table if it is there with the same schema.
            on_bad_vectors: As in `Table.add`.
            fill_value: As in `Table.add`.
            embedding_functions: Bindings, for a schema that isn't a model.
            on_embedding_error: As in `Table.add`.
            progress: As in `Table.add`.
            data_storage_version: Version of Lance's file format; None takes its stable one.
            storage_options: `new_table_enable_stable_row_ids` (`"true"` unless said) and
                `new_table_data_storage_version`, as LanceDB spells them; `connect` takes them for all tables.
            enable_v2_manifest_paths: Accepted for LanceDB's scripts; every new table has them.
            namespace_path: The namespace; it is made if it isn't there.

        Raises:
            TableExistsError: The table is there, and neither *exist_ok* nor `mode="overwrite"` is given.
            SchemaError: Neither schema nor rows are given, or the table there has another schema.
        """
        check_table_name(name)
        location = within(self._location, namespace_path)
        if mode not in ("create", "overwrite"):
            raise ValueError(f"mode is 'create' or 'overwrite', not {mode!r}")
        declared = _declared(schema, embedding_functions or ())
        if mode == "create" and location.exists(name):
            if not exist_ok:
                raise TableExistsError(name)
            table = self.open_table(name, namespace_path=namespace_path)
            if declared is not None:
                check_declared(name, table.schema, declared)
            return table
        if data is None and declared is None:
            raise SchemaError(f"table {name!r} needs a schema, or rows to infer one from")
        options = self._new_table_options(storage_options or {})
        records = self._records(location, name)
        embedder = records.embedder(on_embedding_error)
        reader = ingest.create_batches(
            data,
            declared,
            self._registry.bindings(declared.metadata) if declared else self._undeclared(data, embedding_functions),
            on_bad_vectors=on_bad_vectors,
            fill_value=fill_value,
            progress=progress,
            embedder=embedder,
        )
        with embedder:
            dataset = Dataset.create(
                location,
                name,
                reader,
                mode=mode,
                data_storage_version=data_storage_version or options.get(_FILE_FORMAT),
                stable_row_ids=options.get(_STABLE_ROW_IDS, "true").lower() == "true",
            )
        if mode == "overwrite":
            records.replaced(embedder.started)
        embedder.written(dataset)
        embedder.finish()
        return self._table(dataset)

    def _undeclared(
        self, data: Rows, configs: Sequence[EmbeddingFunctionConfig] | None
    ) -> Sequence[EmbeddingFunctionConfig]:
        """The bindings of a table without a declared schema: *configs*, or those that Arrow data names in its own."""
        is_polars = type(data).__module__.partition(".")[0] == "polars"  # warns of work where a lazy frame is asked
        schema = None if is_polars else getattr(data, "schema", None)
        return configs or self._registry.bindings(schema.metadata if isinstance(schema, pa.Schema) else None)

    def open_table(
        self,
        name: str,
        *,
        storage_options: StorageOptions | None = None,
        branch: str | None = None,
        version: int | str | None = None,
        allow_drift: bool | None = None,
        index_policy: IndexPolicy | None = None,
        index_cache_size: int | None = None,
        namespace_path: Sequence[str] | None = None,
    ) -> Table:
        """A handle on the table *name*; with *version*, a number or tag, it is read-only.

        Args:
            name: The table's name.
            storage_options: For this table, beside and before those given to `connect`; of an object store alone.
            branch: The branch to show and write to; None is main.
            version: Number or tag of the version to show; None is the latest.
            allow_drift: As in `connect`, for this handle.
            index_policy: As in `connect`, for this handle.
            index_cache_size: Does nothing, and warns; a `Session` bounds the caches.
            namespace_path: The namespace it is in.

        Raises:
            TableNotFoundError: There is no such table.
            BranchNotFoundError: It has no such branch.
            VersionNotFoundError: It has no such version.
        """
        check_table_name(name)
        if index_cache_size is not None:
            warn_deprecated("open_table(index_cache_size=...)", "connect(uri, session=Session(...))")
        location = within(self._location, namespace_path).with_options(storage_options)
        dataset = Dataset.open(location, name, version=version, branch=branch)
        return self._table(dataset, allow_drift, index_policy)

    def clone_table(
        self,
        target_table_name: str,
        source_uri: str,
        *,
        target_namespace_path: Sequence[str] | None = None,
        source_version: int | None = None,
        source_tag: str | None = None,
        is_shallow: bool = True,
    ) -> Table:
        """Make a table of a version of another, of this database or one elsewhere.

        Functions, indexes and row ids come along, and so do the failures and canaries of a table that lancelike wrote.
        What was paid for is known as long as both are in one database.

        Args:
            target_table_name: The new table.
            source_uri: Where the other lies: its `uri`, that of a branch too.
            target_namespace_path: The new table's namespace.
            source_version: The version; None is the latest.
            source_tag: Its tag instead.
            is_shallow: Share the other's files, which must stay where they are, and copy none. In memory all rows are
                copied.

        Raises:
            TableExistsError: There is a table of that name.
            TableNotFoundError: There is no table at *source_uri*.
            VersionNotFoundError: It has no such version or tag.
        """
        check_table_name(target_table_name)
        location = within(self._location, target_namespace_path)
        if source_version is not None and source_tag is not None:
            raise ValueError("clone_table takes one of source_version= and source_tag=")
        version = source_tag if source_version is None else source_version
        source = in_memory(self._location, source_uri) if self._location.is_memory else source_uri
        dataset = clone(location, target_table_name, source, version, shallow=is_shallow)
        records, there = self._records(location, target_table_name), self._location
        records.copy_from(records.at(source_uri) if isinstance(source, str) else self._records(there, source.name))
        return self._table(dataset)

    def serialize(self) -> str:
        """This connection as text, from which `lancelike.deserialize_conn` makes an equal one in another process.

        Raises:
            SecretError: The address or a storage option holds a secret: set that in each process's environment.
            ValueError: The database is in memory.
        """
        settings = {
            "read_consistency_interval": self.read_consistency_interval,
            "ledger_bytes": self._ledger_bytes,
            "allow_drift": self._allow_drift,
            "index_policy": self._index_policy,
            "vector_cache_bytes": self._vector_cache.limit_bytes,
        }
        return to_text(self.uri, self._location.storage_options, settings)

    def _new_table_options(self, given: StorageOptions) -> StorageOptions:
        if unknown := sorted(given.keys() - {_STABLE_ROW_IDS, _FILE_FORMAT}):
            raise ValueError(f"create_table takes no storage option {', '.join(unknown)}; give it to connect")
        return {**(self._location.storage_options or {}), **given}

    def doctor(self) -> pa.Table:
        """What the tables' embedding functions lack on this machine, before it is needed; nothing is embedded.

        Returns:
            A row for each function of each table: `table`, `vector_column`, `source_column`, `function`, `ok`, and
            where that is false `problem` and `hint`: a class to import, a package to install, a variable to set.
        """
        tables = (
            self.open_table(name, namespace_path=location.namespace)
            for location in everywhere(self._location)
            for name in location.list_tables()
        )
        return lifecycle.doctor.examine(
            (table.id, table.schema, list(table.embedding_functions.values())) for table in tables
        )

    def _records(self, location: Location, name: str, allow_drift: bool | None = None) -> TableRecords:
        allowed = self._allow_drift if allow_drift is None else allow_drift
        return ledger.TableRecords(location, name, self._ledger, allow_drift=allowed)

    def _table(
        self, dataset: Dataset, allow_drift: bool | None = None, index_policy: IndexPolicy | None = None
    ) -> Table:
        return Table(
            dataset.location,
            dataset,
            registry=self._given_registry,
            records=lambda: self._records(dataset.location, dataset.name, allow_drift).on(dataset.branch),
            query_vectors=self._query_vectors,
            vector_cache=self._vector_cache,
            read_consistency_interval=self.read_consistency_interval,
            index_policy=self._index_policy if index_policy is None else index_policy,
        )


LanceDBConnection = DBConnection


def _bound(name: str, value: Any) -> int:
    """*value* of *name*, a number of bytes."""
    is_whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    if not is_whole or value < 0:
        raise ValueError(f"{name} is a whole number of bytes from 0, not {value!r}")
    return int(value)


def connect(
    uri: str | Path | None = None,
    *,
    read_consistency_interval: timedelta | None = None,
    storage_options: StorageOptions | None = None,
    session: Session | None = None,
    ledger_bytes: int = DEFAULT_BYTES,
    allow_drift: bool = False,
    index_policy: IndexPolicy = "auto",
    vector_cache_bytes: int | None = None,
    manifest_enabled: bool = False,
    namespace_client_impl: str | None = None,
    namespace_client_properties: Mapping[str, str] | None = None,
) -> DBConnection:
    """The database at *uri*; nothing is read or made until a table is.

    Args:
        uri: A path, `file://...`, `memory://` (gone with the connection and its tables), or an object store's `s3://`, `gs://`,
            `az://`.
        read_consistency_interval: How old what a table handle shows may get before a read looks for what other
            processes wrote: `timedelta(0)` looks every time, None only when the handle writes or is asked to by
            `checkout_latest`. What this process wrote is always seen.
        storage_options: Settings of the object store, as Lance takes them (`aws_endpoint`, `region`, ...).
        session: Lance's caches, with bounds of one's own or shared with other connections.
        ledger_bytes: Bound on what is kept of each embedding function's answers, so that nothing is paid for twice and
            a failed write goes on where it stopped; beyond it the oldest go. 0 keeps none.
        allow_drift: Warn, in place of raising ModelDriftError, when a function is no longer the model that made a
            table's vectors.
        index_policy: `"auto"` adds new rows to a table's indices in the tail of the write that makes them more than
            10 000, trains one of vectors again that a table of up to 100 000 rows has outgrown, and merges small
            fragments; `"manual"` leaves all of it to `optimize`, as for a bulk load.
        vector_cache_bytes: Bound on the vectors held in memory for searches, on other columns held beside them, and on
            what is remembered of filters; beyond it the column least recently searched goes. None is 2 GiB, or a
            quarter of the machine's memory if that is less; 0 holds none.
        manifest_enabled: Accepted for LanceDB's scripts; namespaces are there without it.
        namespace_client_impl: With *namespace_client_properties* in place of *uri*, as in `connect_namespace`.
        namespace_client_properties: The same.

    Example:
        >>> import lancelike
        >>> lancelike.connect("memory://").list_tables().tables
        []
    """
    if namespace_client_impl is not None:
        uri, storage_options = directory_of(namespace_client_impl, namespace_client_properties or {}, storage_options)
    if uri is None:
        raise ValueError("connect needs the uri of a database: a path, memory://, or an object store's address")
    return DBConnection(
        Location(uri, storage_options, session),
        session=session,
        read_consistency_interval=read_consistency_interval,
        ledger_bytes=ledger_bytes,
        allow_drift=allow_drift,
        index_policy=index_policy,
        vector_cache_bytes=vector_cache_bytes,
    )


def connect_namespace(
    namespace_client_impl: str,
    namespace_client_properties: Mapping[str, str],
    *,
    read_consistency_interval: timedelta | None = None,
    storage_options: StorageOptions | None = None,
    session: Session | None = None,
) -> DBConnection:
    """The database whose namespaces lie in a directory: `connect` in the words of Lance's namespaces.

    Args:
        namespace_client_impl: `"dir"`.
        namespace_client_properties: `{"root": uri}`; storage options have `storage.` before them.
        read_consistency_interval: As in `connect`.
        storage_options: As in `connect`.
        session: As in `connect`.

    Raises:
        NotImplementedError: It is another implementation: a server's.
    """
    uri, options = directory_of(namespace_client_impl, namespace_client_properties, storage_options)
    return connect(uri, read_consistency_interval=read_consistency_interval, storage_options=options, session=session)


def deserialize_conn(data: str, *, for_worker: bool = False) -> DBConnection:
    """The connection that `serialize()`, LanceDB's too, made *data* of; secrets are in this process's environment.

    Args:
        data: JSON.
        for_worker: Accepted for LanceDB's scripts; it says something of namespaces there.
    """
    return connect(**from_text(data))


def _declared(
    schema: pa.Schema | type[LanceModel] | None, configs: Sequence[EmbeddingFunctionConfig]
) -> pa.Schema | None:
    """The Arrow schema that *schema* and *configs* declare together, bindings in its metadata."""
    if schema is None:
        return None
    arrow = schema if isinstance(schema, pa.Schema) else schema.to_arrow_schema()
    return ingest.with_bindings(arrow, configs)
