"""Awaited: rows in, changed and out of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lancelike.aio.handle import AsyncHandle
from lancelike.aio.merge import AsyncMergeInsertBuilder
from lancelike.aio.threads import read, write
from lancelike.query.predicates import Expression
from lancelike.types import (
    AddResult,
    DeleteResult,
    EmbeddingPlan,
    OnBadVectors,
    OnEmbeddingError,
    Rows,
    UpdateResult,
    WriteMode,
)


class AsyncWriting(AsyncHandle):
    """Adds, updates, merges and deletes rows, and keeps their vectors in step.

    A call that is cancelled changes nothing, unless its commit had begun; what embedding functions answered is kept.
    """

    async def add(
        self,
        data: Rows,
        mode: WriteMode = "append",
        on_bad_vectors: OnBadVectors = "error",
        fill_value: float = 0.0,
        progress: Any = None,
        write_parallelism: int | None = None,
        *,
        on_embedding_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
    ) -> AddResult:
        """Add rows in one commit, embedding the sources of those that carry no vector.

        Arguments and errors are those of `Table.add`; *progress* is called in a thread.
        """
        table = self._blocking
        return await write(
            lambda: table.add(
                data,
                mode,
                on_bad_vectors,
                fill_value,
                progress,
                write_parallelism,
                on_embedding_error=on_embedding_error,
                budget_tokens=budget_tokens,
            )
        )

    def merge_insert(self, on: str | Iterable[str]) -> AsyncMergeInsertBuilder:
        """Start an upsert keyed on *on*: say what happens to rows on either side, then `await .execute(rows)`."""
        table = self._blocking
        return AsyncMergeInsertBuilder([on] if isinstance(on, str) else list(on), table._merging)

    async def update(
        self,
        updates: Mapping[str, Any] | None = None,
        *,
        where: Expression | None = None,
        updates_sql: Mapping[str, Expression] | None = None,
        values: Mapping[str, Any] | None = None,
        values_sql: Mapping[str, Expression] | None = None,
        on_embedding_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
    ) -> UpdateResult:
        """Change columns of the rows that match, and in the same commit the vectors made from them.

        Args:
            updates: New values by column.
            where: SQL filter, or an `Expr`; None means every row.
            updates_sql: New values as SQL expressions over the row's old ones, as in `{"n": "n + 1"}`.
            values: `Table.update`'s name of *updates*.
            values_sql: `Table.update`'s name of *updates_sql*.
            on_embedding_error: As in `Table.update`.
            budget_tokens: As in `Table.update`.

        Raises:
            EmbeddingError: A function failed; nothing is changed, and what was paid for is kept.
            ValueError: Not exactly one of the four is given.
        """
        table, new = self._blocking, _new_values(updates, updates_sql, values, values_sql)
        return await write(
            lambda: table.update(where, **new, on_embedding_error=on_embedding_error, budget_tokens=budget_tokens)
        )

    async def plan_update(
        self,
        updates: Mapping[str, Any] | None = None,
        *,
        where: Expression | None = None,
        updates_sql: Mapping[str, Expression] | None = None,
        values: Mapping[str, Any] | None = None,
        values_sql: Mapping[str, Expression] | None = None,
    ) -> EmbeddingPlan:
        """What `update` with the same arguments would embed and reuse; no function is called, and nothing changed."""
        table, new = self._blocking, _new_values(updates, updates_sql, values, values_sql)
        return await read(lambda: table.plan_update(where, **new))

    async def delete(self, where: Expression) -> DeleteResult:
        """Delete the rows that match *where*, a SQL filter or an `Expr`."""
        table = self._blocking
        return await write(lambda: table.delete(where))


def _new_values(
    updates: Mapping[str, Any] | None,
    updates_sql: Mapping[str, Expression] | None,
    values: Mapping[str, Any] | None,
    values_sql: Mapping[str, Expression] | None,
) -> dict[str, Any]:
    """The arguments of `Table.update` that say what is set to what."""
    if sum(given is not None for given in (updates, updates_sql, values, values_sql)) != 1:
        raise ValueError("update takes exactly one of updates= and updates_sql= (or values= and values_sql=)")
    return {
        "values": values if updates is None else updates,
        "values_sql": values_sql if updates_sql is None else updates_sql,
    }
