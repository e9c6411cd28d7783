"""Queries that are awaited: built like the blocking ones, and run by them, out of the event loop's way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import pyarrow as pa

from lancelike.query.builder import LanceQueryBuilder, QueryBuilder
from lancelike.query.fulltext import FullTextQuery, full_text_search
from lancelike.query.predicates import Expression
from lancelike.query.query import Query, sought
from lancelike.query.ranked import FtsQueryBuilder, HybridQueryBuilder, NearestQueryBuilder, VectorQueryBuilder
from lancelike.query.take import LanceTakeQueryBuilder, Take, TakeQueryBuilder
from lancelike.rerankers import Reranker, RRFReranker
from lancelike.types import BlobMode

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from lancelike.query.results import ModelT

T = TypeVar("T")
BuilderT = TypeVar("BuilderT", LanceQueryBuilder, LanceTakeQueryBuilder)


class Await(Protocol):
    """Awaits a blocking call."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """What *call* returns or raises, while the event loop goes on."""


class AsyncRecordBatchReader:
    """Record batches, read as they are iterated over with `async for`.

    Attributes:
        schema: The schema of the batches.
    """

    def __init__(self, reader: pa.RecordBatchReader, read: Await) -> None:
        self.schema: pa.Schema = reader.schema
        self._reader, self._read = reader, read

    def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        batch = await self._read(lambda: next(self._reader, None))
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def read_all(self) -> list[pa.RecordBatch]:
        """The batches that are left."""
        return await self._read(lambda: list(self._reader))


class AsyncQueryBase(ABC, Generic[BuilderT]):
    """Rows that are read when one of the `to_` methods is awaited, each time anew.

    The query is run as it is when that begins; what is changed while it is awaited has no part in it.
    """

    _read: Await

    @abstractmethod
    def _blocking(self) -> Callable[[], BuilderT]:
        """What makes the blocking query that is the same; it may wait."""

    def _awaited(self, use: Callable[[BuilderT], T]) -> Awaitable[T]:
        blocking = self._blocking()
        return self._read(lambda: use(blocking()))

    async def to_arrow(self, timeout: timedelta | None = None) -> pa.Table:
        """The rows as one Arrow table.

        Args:
            timeout: The longest to wait, for embedding the query and for the scan together.

        Raises:
            QueryError: The query does not fit the table.
            ColumnNotFoundError: It names a column that the table doesn't have.
            EmbeddingError: What was asked could not be embedded.
            QueryTimeoutError: It took longer than *timeout*.
        """
        return await self._awaited(lambda query: query.to_arrow(timeout=timeout))

    async def to_list(self, timeout: timedelta | None = None) -> list[dict[str, Any]]:
        """The rows as dicts; errors are those of `to_arrow`."""
        return await self._awaited(lambda query: query.to_list(timeout=timeout))

    async def to_pydantic(self, model: type[ModelT], *, timeout: timedelta | None = None) -> list[ModelT]:
        """The rows as instances of *model*, without `_distance` and other columns that it doesn't declare.

        Raises:
            pydantic.ValidationError: A column that *model* requires wasn't selected.
        """
        return await self._awaited(lambda query: query.to_pydantic(model, timeout=timeout))

    async def to_pandas(
        self,
        flatten: bool | int | None = None,
        timeout: timedelta | None = None,
        *,
        blob_mode: BlobMode = "lazy",
        **options: Any,
    ) -> pd.DataFrame:
        """The rows as a pandas data frame.

        Args:
            flatten: True makes every nested field a column `outer.inner`, a number so many levels of them.
            timeout: As in `to_arrow`.
            blob_mode: What blob columns hold, as in the blocking `to_pandas`.
            options: For `pyarrow.Table.to_pandas`.
        """
        return await self._awaited(
            lambda query: query.to_pandas(flatten, timeout=timeout, blob_mode=blob_mode, **options)
        )

    async def to_polars(self, timeout: timedelta | None = None) -> pl.DataFrame:
        """The rows as a polars data frame."""
        return await self._awaited(lambda query: query.to_polars(timeout=timeout))

    async def to_batches(
        self,
        batch_size: int | None = None,
        *,
        max_batch_length: int | None = None,
        timeout: timedelta | None = None,
    ) -> AsyncRecordBatchReader:
        """The rows as they are read, at most *max_batch_length* at a time; *batch_size* is another name of that."""
        most = batch_size if max_batch_length is None else max_batch_length
        reader = await self._awaited(lambda query: query.to_batches(most, timeout=timeout))
        return AsyncRecordBatchReader(reader, self._read)

    async def output_schema(self) -> pa.Schema:
        """The schema that the rows will have; nothing is embedded or read."""
        return await self._awaited(lambda query: query.output_schema())


class AsyncStandardQuery(AsyncQueryBase[LanceQueryBuilder], QueryBuilder):
    """An awaited query and the methods that refine it.

    Args:
        open_query: Makes the blocking query of a value; it may wait.
        read: Awaits the blocking query.
        query: What to ask.
    """

    def __init__(self, open_query: Callable[[Query], LanceQueryBuilder], read: Await, query: Query) -> None:
        super().__init__(query)
        self._open_query, self._read = open_query, read

    def _blocking(self) -> Callable[[], LanceQueryBuilder]:
        query = self._query
        return lambda: self._open_query(query)

    def where(self, predicate: Expression | None, prefilter: bool | None = None) -> Self:
        """Keep the rows where *predicate* is true; several must all hold.

        Args:
            predicate: A SQL condition, or an object whose `to_sql` gives one; None adds nothing.
            prefilter: True: rows are filtered before the nearest are chosen, so a full `limit` of them come back if
                there are so many. False: the nearest are chosen first. None leaves it as it is: True, or what
                `postfilter` made it.
        """
        kept = not self._query.postfilter
        return super().where(predicate, kept if prefilter is None else prefilter)

    def postfilter(self) -> Self:
        """Choose the nearest rows first and filter these, so that fewer than `limit` may be left."""
        return self._with(postfilter=True)

    def fast_search(self) -> Self:
        """Search only rows that the index covers, and leave out those newer than it; without an index, every row."""
        return self._with(fast_search=True)

    async def explain_plan(self, verbose: bool | None = False) -> str:
        """The plan that would run; nothing is embedded or read."""
        return await self._awaited(lambda query: query.explain_plan(verbose))

    async def analyze_plan(self) -> str:
        """The plan with rows, bytes and time of each step; runs the query."""
        return await self._awaited(lambda query: query.analyze_plan())


class AsyncVectorQueryBase(NearestQueryBuilder):
    """What an awaited search by vector can be told, alone or as a part of a hybrid one."""

    def column(self, column: str) -> Self:
        """Search this vector column; not needed where only one fits."""
        return self._with(vector_column=column)


class AsyncHybridQuery(AsyncStandardQuery, HybridQueryBuilder, AsyncVectorQueryBase):
    """An awaited search by vector and by words, made one list by a reranker."""


class AsyncVectorQuery(AsyncStandardQuery, VectorQueryBuilder, AsyncVectorQueryBase):
    """An awaited search for the rows whose vectors are nearest."""

    def nearest_to_text(
        self, query: str | FullTextQuery, columns: str | Sequence[str] | None = None
    ) -> AsyncHybridQuery:
        """Search for these words too; arguments and errors as of `AsyncQuery.nearest_to_text`."""
        return _hybrid(self, full_text_query=full_text_search(query, columns))

    def rerank(self, reranker: Reranker | None = None, query_string: str | None = None) -> Self:
        """Let *reranker*, RRF if there is none, order the rows found anew; as `LanceVectorQueryBuilder.rerank`."""
        return super().rerank(RRFReranker() if reranker is None else reranker, query_string)


class AsyncFTSQuery(AsyncStandardQuery, FtsQueryBuilder):
    """An awaited search for the rows that have the words, the best by BM25 first."""

    def get_query(self) -> str:
        """The words."""
        asked = self._query.full_text_query
        return str(asked.query) if asked else ""

    def nearest_to(self, query_vector: Any) -> AsyncHybridQuery:
        """Search for the nearest rows too; arguments and errors as of `AsyncQuery.nearest_to`."""
        return _hybrid(self, **sought(query_vector))

    def rerank(self, reranker: Reranker | None = None, query_string: str | None = None) -> Self:
        """Let *reranker*, RRF if there is none, order the rows found anew; as `LanceFtsQueryBuilder.rerank`."""
        return super().rerank(RRFReranker() if reranker is None else reranker, query_string)


class AsyncQuery(AsyncStandardQuery):
    """An awaited scan: every row that passes the filter, in the table's order, unless it is given what to look for."""

    def nearest_to(self, query_vector: Any) -> AsyncVectorQuery:
        """Search for the rows nearest to this vector; what was asked so far holds for the search too.

        Args:
            query_vector: A vector, several of them (a 2-d array, a list of lists), or what the column's embedding
                function makes vectors of.

        Raises:
            QueryError: The vector is None, empty, ragged or has values that are no finite numbers.
        """
        return AsyncVectorQuery(self._open_query, self._read, self._query)._with(**sought(query_vector))

    def nearest_to_text(self, query: str | FullTextQuery, columns: str | Sequence[str] | None = None) -> AsyncFTSQuery:
        """Search for these words; what was asked so far holds for the search too.

        Args:
            query: A text, or a `FullTextQuery`.
            columns: Where to look for a text's words; None: in each column with a full-text index.

        Raises:
            TypeError: *query* is neither.
        """
        words = full_text_search(query, columns)
        return AsyncFTSQuery(self._open_query, self._read, self._query)._with(full_text_query=words)


def _hybrid(query: AsyncStandardQuery, **changes: Any) -> AsyncHybridQuery:
    return AsyncHybridQuery(query._open_query, query._read, query._query)._with(hybrid=True, **changes)


class AsyncTakeQuery(AsyncQueryBase[LanceTakeQueryBuilder], TakeQueryBuilder):
    """Awaited rows by offset or row id, in the order asked for.

    Args:
        open_take: Makes the blocking query of a value; it may wait.
        read: Awaits the blocking query.
        take: Which rows.
    """

    def __init__(self, open_take: Callable[[Take], LanceTakeQueryBuilder], read: Await, take: Take) -> None:
        super().__init__(take)
        self._open_take, self._read = open_take, read

    def _blocking(self) -> Callable[[], LanceTakeQueryBuilder]:
        take = self._take
        return lambda: self._open_take(take)
