"""A table, awaited."""

from __future__ import annotations

from lancelike.aio.blobs import AsyncBlobs
from lancelike.aio.embedding import AsyncEmbedding
from lancelike.aio.indexing import AsyncIndexing
from lancelike.aio.reading import AsyncReading
from lancelike.aio.upkeep import AsyncUpkeep
from lancelike.aio.versioning import AsyncVersioning
from lancelike.aio.writing import AsyncWriting

__all__ = ["AsyncTable"]


class AsyncTable(AsyncReading, AsyncBlobs, AsyncWriting, AsyncEmbedding, AsyncIndexing, AsyncVersioning, AsyncUpkeep):
    """A handle on one table; made by `AsyncConnection.create_table` and `open_table`.

    It does what `Table` does, with the same results and errors, in threads of lancelike's own while the event loop goes
    on. May be used from several loops. Handles on the same table in one process show the same version, blocking ones
    included; `checkout` pins this handle, and only this one, to a past version.
    """
