"""A database, awaited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lancelike.aio.closing import Closing
from lancelike.aio.job import AsyncJob
from lancelike.aio.table import AsyncTable
from lancelike.aio.threads import read, write
from lancelike.database import DBConnection, connect, connect_namespace
from lancelike.embeddings import EmbeddingFunctionConfig
from lancelike.errors import ConnectionClosedError
from lancelike.ledger import DEFAULT_BYTES
from lancelike.legacy import warn_deprecated
from lancelike.namespaces import ListNamespacesResponse, ListTablesResponse, NamespaceResponse
from lancelike.schema.model import LanceModel
from lancelike.storage import Session
from lancelike.types import CreateMode, IndexPolicy, OnBadVectors, OnEmbeddingError, Rows, StorageOptions

__all__ = ["AsyncConnection", "connect_async", "connect_namespace_async"]


class AsyncConnection(Closing):
    """A database; made by `lancelike.connect_async`. May be used from several event loops."""

    def __init__(self, connection: DBConnection) -> None:
        self._connection: DBConnection | None = connection
        self._uri = connection.uri

    @property
    def _blocking(self) -> DBConnection:
        if self._connection is None:
            raise ConnectionClosedError(self._uri)
        return self._connection

    @property
    def uri(self) -> str:
        """Where the database lies."""
        return self._uri

    @property
    def session(self) -> Session | None:
        """Lance's caches, if they were given to `connect_async`."""
        return self._blocking.session

    def is_open(self) -> bool:
        """Whether `close` was not called."""
        return self._connection is not None

    def close(self) -> None:
        """Let the database go; its tables stay open, and any other use of this is a ConnectionClosedError."""
        self._connection = None

    def __repr__(self) -> str:
        if self._connection is None:
            return "ClosedConnection"
        return repr(self._connection).replace("LanceDB", "Async", 1)

    async def get_read_consistency_interval(self) -> timedelta | None:
        """How old what a table handle shows may get, as given to `connect_async`."""
        return self._blocking.read_consistency_interval

    # -- namespaces ----------------------------------------------------------------------------------------------

    async def create_namespace(
        self,
        namespace_path: Sequence[str],
        mode: Literal["create", "exist_ok"] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> NamespaceResponse:
        """Make a namespace, as `DBConnection.create_namespace` does."""
        connection = self._blocking
        return await write(lambda: connection.create_namespace(namespace_path, mode, properties))

    async def list_namespaces(
        self, namespace_path: Sequence[str] | None = None, page_token: str | None = None, limit: int | None = None
    ) -> ListNamespacesResponse:
        """Names of the namespaces in *namespace_path*, as `DBConnection.list_namespaces` gives them."""
        connection = self._blocking
        return await read(lambda: connection.list_namespaces(namespace_path, page_token, limit))

    async def describe_namespace(self, namespace_path: Sequence[str]) -> NamespaceResponse:
        """What was noted with a namespace; a NamespaceNotFoundError if there is none."""
        connection = self._blocking
        return await read(lambda: connection.describe_namespace(namespace_path))

    async def drop_namespace(
        self,
        namespace_path: Sequence[str],
        mode: Literal["fail", "skip"] | None = None,
        behavior: Literal["restrict", "cascade"] | None = None,
    ) -> NamespaceResponse:
        """Drop a namespace, as `DBConnection.drop_namespace` does."""
        connection = self._blocking
        return await write(lambda: connection.drop_namespace(namespace_path, mode, behavior))

    async def namespace_exists(self, namespace_id: Sequence[str]) -> bool:
        """Whether there is such a namespace."""
        connection = self._blocking
        return await read(lambda: connection.namespace_exists(namespace_id))

    async def table_exists(self, table_id: Sequence[str]) -> bool:
        """Whether there is a table *table_id*: the names of its namespace, then its own."""
        connection = self._blocking
        return await read(lambda: connection.table_exists(table_id))

    # -- tables --------------------------------------------------------------------------------------------------

    async def list_tables(
        self, namespace_path: Sequence[str] | None = None, page_token: str | None = None, limit: int | None = None
    ) -> ListTablesResponse:
        """Names of the tables, sorted; all of them unless *limit* asks for pages.

        Args:
            namespace_path: Names from the root to the namespace they are in, here and wherever it is taken; None is
                the root.
            page_token: The last name of the page before, as the response before gave it.
            limit: Most names in this page.
        """
        connection = self._blocking
        return await read(lambda: connection.list_tables(namespace_path, page_token, limit))

    async def table_names(
        self,
        page_token: str | None = None,
        limit: int | None = None,
        *,
        namespace_path: Sequence[str] | None = None,
        start_after: str | None = None,
    ) -> list[str]:
        """Older spelling of `list_tables(...).tables`; *start_after* is *page_token*."""
        warn_deprecated("table_names()", "list_tables().tables")
        after = start_after if page_token is None else page_token
        return (await self.list_tables(namespace_path, after, limit)).tables

    async def create_table(
        self,
        name: str,
        data: Rows = None,
        schema: pa.Schema | type[LanceModel] | None = None,
        mode: CreateMode | None = None,
        exist_ok: bool | None = None,
        on_bad_vectors: OnBadVectors | None = None,
        fill_value: float | None = None,
        storage_options: StorageOptions | None = None,
        *,
        embedding_functions: Sequence[EmbeddingFunctionConfig] | None = None,
        on_embedding_error: OnEmbeddingError = "raise",
        progress: Any = None,
        data_storage_version: str | None = None,
        enable_v2_manifest_paths: bool | None = None,
        namespace_path: Sequence[str] | None = None,
    ) -> AsyncTable:
        """Create a table from a schema, from rows, or from both, in one commit.

        Arguments and errors are those of `DBConnection.create_table`, where None stands for its default. Cancelled, it
        leaves no table.
        """
        connection = self._blocking
        return AsyncTable(
            await write(
                lambda: connection.create_table(
                    name,
                    data,
                    schema,
                    mode or "create",
                    bool(exist_ok),
                    on_bad_vectors or "error",
                    0.0 if fill_value is None else fill_value,
                    embedding_functions,
                    on_embedding_error=on_embedding_error,
                    progress=progress,
                    data_storage_version=data_storage_version,
                    storage_options=storage_options,
                    enable_v2_manifest_paths=enable_v2_manifest_paths,
                    namespace_path=namespace_path,
                )
            )
        )

    async def open_table(
        self,
        name: str,
        *,
        namespace_path: Sequence[str] | None = None,
        storage_options: StorageOptions | None = None,
        branch: str | None = None,
        version: int | str | None = None,
        allow_drift: bool | None = None,
        index_policy: IndexPolicy | None = None,
        index_cache_size: int | None = None,
    ) -> AsyncTable:
        """A handle on the table *name*; with *version*, a number or tag, it is read-only.

        Arguments and errors are those of `DBConnection.open_table`.
        """
        if index_cache_size is not None:
            warn_deprecated("open_table(index_cache_size=...)", "connect_async(uri, session=Session(...))")
        connection = self._blocking
        return AsyncTable(
            await read(
                lambda: connection.open_table(
                    name,
                    namespace_path=namespace_path,
                    storage_options=storage_options,
                    branch=branch,
                    version=version,
                    allow_drift=allow_drift,
                    index_policy=index_policy,
                )
            )
        )

    async def drop_table(
        self, name: str, namespace_path: Sequence[str] | None = None, ignore_missing: bool = False
    ) -> None:
        """Delete the table *name* and its files.

        Raises:
            TableNotFoundError: There is no such table, and *ignore_missing* is false.
        """
        connection = self._blocking
        await write(lambda: connection.drop_table(name, namespace_path, ignore_missing))

    async def drop_table_async(self, name: str, namespace_path: Sequence[str] | None = None) -> AsyncJob[None]:
        """Delete the table *name* in the background; a job whose `await job.wait()` returns when its files are gone."""
        return AsyncJob(self._blocking.drop_table_async(name, namespace_path))

    async def drop_all_tables(self, namespace_path: Sequence[str] | None = None) -> None:
        """Delete every table of a namespace, the root unless *namespace_path* names another."""
        connection = self._blocking
        await write(lambda: connection.drop_all_tables(namespace_path))

    async def drop_database(self) -> None:
        """Older spelling of `drop_all_tables`."""
        warn_deprecated("drop_database()", "drop_all_tables()")
        await self.drop_all_tables()

    async def rename_table(
        self,
        cur_name: str,
        new_name: str,
        cur_namespace_path: Sequence[str] | None = None,
        new_namespace_path: Sequence[str] | None = None,
    ) -> None:
        """Rename a table, as `DBConnection.rename_table` does."""
        connection = self._blocking
        await write(lambda: connection.rename_table(cur_name, new_name, cur_namespace_path, new_namespace_path))

    async def clone_table(
        self,
        target_table_name: str,
        source_uri: str,
        *,
        target_namespace_path: Sequence[str] | None = None,
        source_version: int | None = None,
        source_tag: str | None = None,
        is_shallow: bool = True,
    ) -> AsyncTable:
        """Make a table of a version of another; arguments and errors are those of `DBConnection.clone_table`."""
        connection = self._blocking
        return AsyncTable(
            await write(
                lambda: connection.clone_table(
                    target_table_name,
                    source_uri,
                    target_namespace_path=target_namespace_path,
                    source_version=source_version,
                    source_tag=source_tag,
                    is_shallow=is_shallow,
                )
            )
        )

    def serialize(self) -> str:
        """This connection as text, from which `lancelike.deserialize_conn` makes a blocking one in another process.

        Errors are those of `DBConnection.serialize`.
        """
        return self._blocking.serialize()

    async def doctor(self) -> pa.Table:
        """What the tables' embedding functions lack on this machine, as `DBConnection.doctor` lists it."""
        return await read(self._blocking.doctor)


async def connect_async(
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
) -> AsyncConnection:
    """The database at *uri*, to be awaited; nothing is read or made until a table is.

    Arguments are those of `lancelike.connect`.

    Example:
        >>> import asyncio, lancelike
        >>> async def names():
        ...     db = await lancelike.connect_async("memory://")
        ...     await db.create_table("docs", [{"id": 1}])
        ...     return (await db.list_tables()).tables
        >>> asyncio.run(names())
        ['docs']
    """
    return AsyncConnection(
        await read(
            lambda: connect(
                uri,
                read_consistency_interval=read_consistency_interval,
                storage_options=storage_options,
                session=session,
                ledger_bytes=ledger_bytes,
                allow_drift=allow_drift,
                index_policy=index_policy,
                vector_cache_bytes=vector_cache_bytes,
                manifest_enabled=manifest_enabled,
                namespace_client_impl=namespace_client_impl,
                namespace_client_properties=namespace_client_properties,
            )
        )
    )


def connect_namespace_async(
    namespace_client_impl: str,
    namespace_client_properties: Mapping[str, str],
    *,
    read_consistency_interval: timedelta | None = None,
    storage_options: StorageOptions | None = None,
    session: Session | None = None,
) -> AsyncConnection:
    """What `connect_namespace` gives, to be awaited; it is no coroutine itself, as in LanceDB.

    Arguments and errors are those of `connect_namespace`.
    """
    return AsyncConnection(
        connect_namespace(
            namespace_client_impl,
            namespace_client_properties,
            read_consistency_interval=read_consistency_interval,
            storage_options=storage_options,
            session=session,
        )
    )
