"""An awaited handle on a table, and what the groups of its methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lancelike.aio.closing import Closing
from lancelike.aio.threads import read
from lancelike.embeddings import EmbeddingFunctionConfig
from lancelike.errors import TableClosedError
from lancelike.media import html
from lancelike.table.table import Table

if TYPE_CHECKING:
    from lancelike.schema.model import LanceModel


class AsyncHandle(Closing):
    """The blocking handle, which threads call while this one awaits.

    Args:
        table: The blocking handle; this one is its only user.
    """

    def __init__(self, table: Table) -> None:
        self._table: Table | None = table
        self._name, self._id, self._namespace = table.name, table.id, table.namespace

    @property
    def _blocking(self) -> Table:
        if self._table is None:
            raise TableClosedError(self._name)
        return self._table

    def is_open(self) -> bool:
        """Whether `close` was not called."""
        return self._table is not None

    def close(self) -> None:
        """Let the table go; any other use of this handle is a TableClosedError from now on, and calls under way end."""
        self._table = None

    def __repr__(self) -> str:
        if self._table is None:
            return f"ClosedTable({self._name})"
        return repr(self._table).replace("LanceTable", "AsyncTable").replace("LanceDBConnection", "AsyncConnection")

    def _repr_html_(self) -> str:
        """What a blocking handle shows. A notebook awaits nothing to show a value, so the loop waits for its rows."""
        return html.code(repr(self)) if self._table is None else self._table._repr_html_()

    @property
    def name(self) -> str:
        """The table's name in its database."""
        return self._name

    @property
    def id(self) -> str:
        """The namespace it is in and its `name`, with `$` between."""
        return self._id

    @property
    def namespace(self) -> list[str]:
        """The namespace it is in, a name for each level; the root is an empty list."""
        return list(self._namespace)

    async def uri(self) -> str:
        """Where its Lance dataset lies."""
        table = self._blocking
        return await read(lambda: table.uri)

    async def schema(self) -> pa.Schema:
        """Columns of the version shown; the metadata holds the embedding functions."""
        table = self._blocking
        return await read(lambda: table.schema)

    async def version(self) -> int:
        """Number of the version shown; each write makes the next."""
        table = self._blocking
        return await read(lambda: table.version)

    async def embedding_functions(self) -> dict[str, EmbeddingFunctionConfig]:
        """The function and source behind each vector column that has one, by the vector column's name."""
        table = self._blocking
        return await read(lambda: table.embedding_functions)

    async def model(self) -> type[LanceModel]:
        """The pydantic class that declares this table, made from its stored schema and functions."""
        return await read(self._blocking.model)
