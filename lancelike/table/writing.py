"""Rows in, changed and out of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lancelike import ingest
from lancelike.errors import QueryError
from lancelike.merge import LanceMergeInsertBuilder
from lancelike.query.predicates import Expression, filter_of, sql_of, value_to_sql
from lancelike.schema.computed import refuse_writes
from lancelike.table.handle import Handle
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

if TYPE_CHECKING:
    from lancelike.ingest import MergeClauses


class Writing(Handle):
    """Adds, updates, merges and deletes rows, and keeps their vectors in step."""

    def add(
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

        Each distinct source is embedded once, and not at all if the database holds its vector already. What a function
        answered is durable before more is asked of it: after a crash or an error, the same call goes on from there.

        Args:
            data: Dicts, `LanceModel`s, a pandas or polars frame, Arrow data, a Lance or Hugging Face dataset, or an
                iterator of batches of these, which may be larger than memory. A column left out is null.
            mode: `"overwrite"` replaces the rows, and keeps the schema and its functions.
            on_bad_vectors: What to do with a vector given that has the wrong length or NaN, or is null in a column
                that no function fills: raise, drop the row, fill the missing values, or make it null.
            fill_value: The value for `"fill"`.
            on_embedding_error: What to do with a row whose source its function refuses: `"raise"` writes nothing,
                `"quarantine"` keeps it with a null vector, `"drop"` leaves it out; the last two list it in
                `embedding_errors`. Also with one that names an image or sound by a path or URL that can't be read, for
                a column of bytes, which then is null under `"quarantine"`.
            budget_tokens: Most tokens to send to functions.
            progress: True for a bar, a callable that takes a dict of counts, or a tqdm.
            write_parallelism: Most files to write side by side, each a fragment, where *data* is a table or batch of
                Arrow's with its vectors, and nothing is embedded; None: one for 32 MB, at most four and one for a
                processor. Other rows are written to one file after the other.

        Raises:
            BadDataError: A row doesn't fit the schema; nothing is written.
            EmbeddingError: A function failed; nothing is written, and what was paid for is kept.
            BudgetExceeded: The next request would take more tokens than are left; likewise.
        """
        if mode not in ("append", "overwrite"):
            raise ValueError(f"mode is 'append' or 'overwrite', not {mode!r}")
        if write_parallelism is not None and write_parallelism < 1:
            raise ValueError(f"write_parallelism is 1 or more, not {write_parallelism!r}")
        self._shown.refresh()
        embedder = self._records.embedder(on_embedding_error, budget_tokens)
        version = ingest.append_rows(
            self._shown,
            self._bindings_in,
            data,
            mode=mode,
            on_bad_vectors=on_bad_vectors,
            fill_value=fill_value,
            progress=progress,
            parallelism=write_parallelism,
            embedder=embedder,
        )
        if mode == "overwrite":
            self._records.replaced(embedder.started)
        self._upkeep.after_write(self._shown)
        return AddResult(version, embedder.finish())

    def merge_insert(self, on: str | Iterable[str]) -> LanceMergeInsertBuilder:
        """Start an upsert keyed on *on*: say what happens to rows on either side, then `.execute(rows)`.

        Example:
            >>> import lancelike
            >>> table = lancelike.connect("memory://").create_table("t", [{"id": 1, "n": 1}])
            >>> merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            >>> merge.execute([{"id": 1, "n": 5}, {"id": 2, "n": 7}]).num_inserted_rows
            1
        """
        return self._merging(ingest.MergeClauses(on=(on,) if isinstance(on, str) else tuple(on)))

    def _merging(self, clauses: MergeClauses) -> LanceMergeInsertBuilder:
        self._shown.refresh()
        return LanceMergeInsertBuilder(
            self._shown, self._bindings_in, clauses, self._records.embedder, self._upkeep.after_write
        )

    def update(
        self,
        where: Expression | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        values_sql: Mapping[str, Expression] | None = None,
        on_embedding_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
    ) -> UpdateResult:
        """Change columns of the rows that match, and in the same commit the vectors made from them.

        Args:
            where: SQL filter, or an `Expr`; None means every row.
            values: New values by column; an `Expr` is over the row's old ones.
            values_sql: New values as SQL expressions over the row's old ones, as in `{"n": "n + 1"}`.
            on_embedding_error: As in `add`; an update leaves no row out, so `"drop"` is refused.
            budget_tokens: As in `add`.

        Raises:
            BadDataError: A value has another type than its column, or would lose something in it.
            SchemaError: One of the columns is computed.
            EmbeddingError: A function failed; nothing is changed, and what was paid for is kept.
        """
        new = self._new_values(values, values_sql)
        embedder = self._records.embedder(on_embedding_error, budget_tokens)
        result = ingest.update_rows(self._shown, self._bindings_in, new, filter_of(where), embedder=embedder)
        self._upkeep.after_write(self._shown)
        return result

    def plan_update(
        self,
        where: Expression | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        values_sql: Mapping[str, Expression] | None = None,
    ) -> EmbeddingPlan:
        """What `update` with the same arguments would embed and reuse; no function is called, and nothing changed.

        It equals the receipt of the `update` that follows, if nothing fails and nobody writes meanwhile. The rows that
        match are read; of an update that embeds nothing it is empty.

        Args:
            where: As in `update`.
            values: As in `update`.
            values_sql: As in `update`.

        Raises:
            BadDataError: As from `update`.
            SchemaError: As from `update`.
        """
        self._shown.refresh()
        new, shown = self._new_values(values, values_sql), self._shown.frozen()
        planner = self._records.planner(shown.schema)
        return ingest.plan_update(shown, self._bindings_in(shown), new, filter_of(where), planner)

    def _new_values(
        self, values: Mapping[str, Any] | None, values_sql: Mapping[str, Expression] | None
    ) -> dict[str, str]:
        """The SQL expression of each column that an update sets."""
        if (values is None) == (values_sql is None):
            raise ValueError("update takes exactly one of values= and values_sql=")
        if values is not None:
            new = {column: self._literal(column, value) for column, value in values.items()}
        else:
            new = {column: sql_of(value) for column, value in (values_sql or {}).items()}
        refuse_writes(self.schema, [column.strip("`") for column in new])
        return new

    def _literal(self, column: str, value: Any) -> str:
        schema = self.schema
        if column not in schema.names or hasattr(value, "to_sql"):
            return value_to_sql(value)
        return ingest.literal_for(schema.field(column), value, ingest.limits_of(column, self._bindings))

    def delete(self, where: Expression) -> DeleteResult:
        """Delete the rows that match *where*, a SQL filter or an `Expr`."""
        condition = sql_of(where)
        if not condition.strip():
            raise QueryError("delete needs a filter; 'true' deletes every row")
        deleted, version = self._shown.delete(condition)
        return DeleteResult(num_deleted_rows=deleted, version=version)
