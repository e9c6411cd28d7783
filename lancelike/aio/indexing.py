"""Awaited: the indices of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from lancelike.aio.handle import AsyncHandle
from lancelike.aio.job import AsyncJob
from lancelike.aio.threads import read, write
from lancelike.index import IndexConfig, IndexStatistics
from lancelike.query import FtsToken
from lancelike.search.curve import RecallCurve
from lancelike.search.recall import RecallReport


class AsyncIndexing(AsyncHandle):
    """Builds, lists, drops and waits for indices."""

    async def create_index(
        self,
        column: str,
        config: Any = None,
        *,
        replace: bool | None = None,
        wait_timeout: timedelta | None = None,
        name: str | None = None,
        train: bool = True,
        progress: Any = None,
        target_recall: float | None = None,
    ) -> None:
        """Build an index on *column*. Lance can't be interrupted: cancelled, this ends when the index is built.

        Args:
            column: The column; nested ones by dotted path.
            config: One of the classes in `lancelike.index`. None takes IvfPq for a vector, BTree for a scalar.
            replace: Build again what is there; None is True.
            wait_timeout: Then wait until it covers every row, at most so long.
            name: None is `{column}_idx`.
            train: False makes an empty index, to be filled by `optimize`.
            progress: True for a bar, or a callable that takes a dict, which is called in a thread.
            target_recall: For vectors: then `tune` for that share of the 10 nearest, unless there are no more rows.

        Raises:
            ColumnNotFoundError: There is no such column.
            IndexExistsError: `replace=False` and the index is there.
        """
        table = self._blocking
        options = {"wait_timeout": wait_timeout, "name": name, "train": train, "progress": progress}
        options["target_recall"] = target_recall
        await write(lambda: table.create_index(column, config, replace=replace is not False, **options))

    async def create_index_async(
        self,
        column: str,
        *,
        config: Any = None,
        replace: bool | None = None,
        wait_timeout: timedelta | None = None,
        name: str | None = None,
        train: bool = True,
        target_recall: float | None = None,
    ) -> AsyncJob[None]:
        """Build an index, and tune it, as `create_index` does, in the background.

        Returns:
            A job: `await job.wait()` returns when the index is there, or raises why it isn't.
        """
        return AsyncJob(
            self._blocking.create_index_async(
                column,
                config=config,
                replace=replace,
                wait_timeout=wait_timeout,
                name=name,
                train=train,
                target_recall=target_recall,
            )
        )

    async def tokenize(self, query: str, *, column: str | None = None, index_name: str | None = None) -> list[FtsToken]:
        """The words of *query* as a full-text index of this table looks for them; as `Table.tokenize`."""
        table = self._blocking
        return await read(lambda: table.tokenize(query, column=column, index_name=index_name))

    async def list_indices(self) -> list[IndexConfig]:
        """The table's indices, by name."""
        return await read(self._blocking.list_indices)

    async def index_stats(self, index_name: str) -> IndexStatistics | None:
        """How many rows the index covers and how it measures; None if there is no such index."""
        table = self._blocking
        return await read(lambda: table.index_stats(index_name))

    async def drop_index(self, name: str) -> None:
        """Drop the index *name*; the rows stay."""
        table = self._blocking
        await write(lambda: table.drop_index(name))

    async def prewarm_index(self, name: str) -> None:
        """Read the index *name* into memory, so that the first search need not."""
        table = self._blocking
        await read(lambda: table.prewarm_index(name))

    async def prewarm_data(self, columns: Sequence[str] | None = None) -> None:
        """Read columns into memory, so that the first search need not; as `Table.prewarm_data` does."""
        table = self._blocking
        await read(lambda: table.prewarm_data(columns))

    async def evaluate(
        self,
        k: int = 10,
        sample: int = 100,
        vector_column_name: str | None = None,
        *,
        queries: Any = None,
        seed: int = 0,
    ) -> RecallReport:
        """How much of the exact answer searches find; arguments and errors are those of `Table.evaluate`."""
        table = self._blocking
        return await read(lambda: table.evaluate(k, sample, vector_column_name, queries=queries, seed=seed))

    async def recall_curve(
        self,
        k: int = 10,
        sample: int = 100,
        vector_column_name: str | None = None,
        *,
        queries: Any = None,
        seed: int = 0,
    ) -> RecallCurve:
        """Recall and latency by the number of partitions; arguments and errors are those of `Table.recall_curve`."""
        table = self._blocking
        return await read(lambda: table.recall_curve(k, sample, vector_column_name, queries=queries, seed=seed))

    async def tune(
        self,
        target_recall: float = 0.95,
        k: int = 10,
        vector_column_name: str | None = None,
        *,
        sample: int = 100,
        queries: Any = None,
        seed: int = 0,
    ) -> RecallReport:
        """Find and keep the cheapest settings that reach a recall; arguments and errors are those of `Table.tune`."""
        table = self._blocking
        return await write(
            lambda: table.tune(target_recall, k, vector_column_name, sample=sample, queries=queries, seed=seed)
        )

    async def wait_for_index(self, index_names: Iterable[str], timeout: timedelta = timedelta(seconds=300)) -> None:
        """Wait until the indices named cover every row.

        Raises:
            IndexTimeoutError: They don't after *timeout*.
        """
        table, names = self._blocking, list(index_names)
        await read(lambda: table.wait_for_index(names, timeout))
