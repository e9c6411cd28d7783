"""The vectors of a table: what they would cost, whether they are in step, and other models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelike import lifecycle
from lancelike.errors import SchemaError
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.table.handle import Handle
from lancelike.types import EmbeddingPlan, EmbeddingReceipt, OnEmbeddingError, Rows

if TYPE_CHECKING:
    from lancelike.embeddings import EmbeddingFunction


class Embedding(Handle):
    """Plans, checks, mends and remakes the vectors that functions fill."""

    def plan(self, data: Rows) -> EmbeddingPlan:
        """What `add(data)` would embed and reuse; no function is called.

        It equals the receipt of the `add` that follows, if nothing fails.

        Args:
            data: As in `add`; an iterator is used up.

        Raises:
            BadDataError: A row doesn't fit the schema.
        """
        return lifecycle.planning.plan_add(data, self.schema, self._bindings, self._records.planner(self.schema))

    def embedding_errors(self) -> pa.Table:
        """The rows that wait with an error, since their source was refused under `"quarantine"` or `"drop"`.

        Returns:
            A row for each of them: `row_id`, `vector_column`, `source_column`, `input` (its first 2000 characters),
            `error_class`, `message`, `attempts`, `at`. Rows that were dropped have a null `row_id`, and are listed
            until a row with their source is written after all. Of an image or sound that a row lacks since it could
            not be read, `input` is where it was to be read from; `vector_column` is null where no function embeds it.
        """
        return lifecycle.failed.embedding_errors(self._dataset, self._bindings, self._records.failures)

    def retry_failed(self, progress: Any = None) -> EmbeddingReceipt:
        """Embed again the sources of the rows that `embedding_errors` lists with a row id; one commit fills them in.

        Images and sounds that rows lack since they could not be read are read again first, and stored with their
        vectors in a commit of their own. Rows that fail again stay listed and are counted in the receipt; they raise
        nothing.

        Args:
            progress: As in `add`.

        Raises:
            EmbeddingError: A function failed as a whole, as for a refused key; nothing is changed.
        """
        embedder = self._records.embedder("quarantine", all_may_fail=True)
        receipt = lifecycle.failed.retry_failed(
            self._shown, self._bindings_in, self._records.failures, embedder, progress
        )
        self._upkeep.after_write(self._shown)
        return receipt

    def long_sources(self) -> pa.Table:
        """The rows whose source is longer than its function takes, so that the vector is of a part or a mean of it.

        Sources are counted as they were when they were embedded; nothing is embedded. A row whose long source was
        refused has no vector and is among the `embedding_errors`.

        Returns:
            A row for each of them: `row_id` (Lance's `_rowid`), `vector_column`, `source_column`, `tokens` (prompt
            included), `limit`, and `on_long`, the function's policy.

        Raises:
            EmbeddingFunctionUnavailable: A function can't be made here, so its tokens can't be counted.
        """
        return lifecycle.lengths.long_sources(self._dataset, self._bindings)

    def verify(self) -> pa.Table:
        """The rows whose vector no longer matches its source, also after another program wrote to the table.

        The latest version is looked at, unless the handle is pinned. Nothing is embedded. A vector that was given, by a
        caller or another program, is in step until its source changes. The table's versions are gone through back to
        the last `refresh`. Where `optimize` and `cleanup_old_versions` delete some, they note what these tell; where
        another program deleted them, a vector that the database holds no payment for can't be judged any more, and its
        row is listed as such.

        Returns:
            `row_id` (Lance's `_rowid`), `vector_column`, `source_column`, and `reason`: `"no vector"`,
            `"source changed"`, or `"unknown"`; by vector column and row.
        """
        self._shown.refresh()
        return lifecycle.freshness.verify(self._dataset, self._bindings, self._records.ledger)

    def refresh(self, *, unknown: bool = False, on_embedding_error: OnEmbeddingError = "raise") -> EmbeddingReceipt:
        """Make the vectors of the rows that `verify` finds anew, in one commit; what that took.

        Args:
            unknown: Also those of the rows whose reason is `"unknown"`, which may have been given on purpose.
            on_embedding_error: `"raise"` changes nothing when a source is refused; `"quarantine"` leaves its row with a
                null vector, listed in `embedding_errors`.

        Raises:
            EmbeddingError: A function failed; nothing is changed, and what was paid for is kept.
        """
        embedder = self._records.embedder(_keeping_rows(on_embedding_error))
        receipt = lifecycle.freshness.refresh(
            self._shown, self._bindings_in, embedder, self._records.ledger, unknown=unknown
        )
        self._upkeep.after_write(self._shown)
        return receipt

    def add_embedding(
        self,
        vector_column: str,
        function: EmbeddingFunction,
        source_column: str | None = None,
        *,
        template: str | None = None,
        on_embedding_error: OnEmbeddingError = "raise",
        progress: Any = None,
    ) -> EmbeddingReceipt:
        """Add a vector column over the rows there are, in one commit; new rows get their vectors from then on.

        Killed, the same call goes on from what was paid for. Rows are read a few thousand at a time.

        Args:
            vector_column: The new column.
            function: Makes its vectors.
            source_column: The column that is embedded.
            template: Text with column names in braces, embedded in place of one column.
            on_embedding_error: `"raise"` adds nothing when a source is refused; `"quarantine"` leaves its row with a
                null vector, listed in `embedding_errors`.
            progress: As in `add`.

        Raises:
            ColumnNotFoundError: A source column isn't there.
            SchemaError: There is a column *vector_column* already.
            EmbeddingError: The function failed; nothing is changed, and what was paid for is kept.
        """
        binding = EmbeddingFunctionConfig(vector_column, source_column, function, template)
        embedder = self._records.embedder(_keeping_rows(on_embedding_error))
        return lifecycle.migration.add_embedding(self._shown, binding, embedder, progress=progress)

    def reembed(
        self,
        vector_column: str,
        function: EmbeddingFunction,
        *,
        on_embedding_error: OnEmbeddingError = "raise",
        progress: Any = None,
    ) -> EmbeddingReceipt:
        """Change the model of a vector column: one commit swaps vectors, their type and the function.

        Until then every reader and writer goes on with the old ones. Rows that were written meanwhile get new vectors
        too; a vector without a source can't be made anew and becomes null. The column's vector indices are built with
        the settings they had before the swap, and attached in the commit after it; searches between the two are exact.
        Killed, the same call goes on from what was paid for. The old vectors stay on disk, held by a tag, for
        `rollback_embedding`; deleting that tag lets `optimize` free them.

        Args:
            vector_column: The column.
            function: Its next function.
            on_embedding_error: As in `add_embedding`.
            progress: As in `add`.

        Raises:
            SchemaError: No function fills that column, or another call changed it meanwhile.
            EmbeddingError: The function failed; nothing is changed, and what was paid for is kept.
        """
        self._shown.refresh()
        binding = self._binding_of(vector_column)
        drift = self._records.drift
        drifted = drift.has_drifted(function, vector_column)
        embedder = self._records.embedder(_keeping_rows(on_embedding_error), replaces=True)
        receipt = lifecycle.migration.reembed(
            self._shown, binding, function, embedder, drifted=drifted, progress=progress
        )
        drift.replaced(function, vector_column)
        return receipt

    def plan_reembed(self, vector_column: str, function: EmbeddingFunction) -> EmbeddingPlan:
        """What `reembed` of that column to *function* would embed and reuse; no function is called.

        It equals the receipt of the `reembed` that follows, if nothing fails and nobody writes meanwhile. For the
        function that the column has it is empty: whether that is another model by now, only a call can tell.

        Raises:
            SchemaError: No function fills that column.
        """
        self._shown.refresh()
        binding = self._binding_of(vector_column)
        return lifecycle.migration.plan_reembed(self._shown, binding, function, self._records.planner)

    def _binding_of(self, vector_column: str) -> EmbeddingFunctionConfig:
        binding = self.embedding_functions.get(vector_column)
        if binding is None:
            raise SchemaError(f"no function fills column {vector_column!r}; add_embedding adds one that is filled")
        return binding

    def rollback_embedding(self, vector_column: str, *, progress: Any = None) -> EmbeddingReceipt:
        """Undo the last `reembed` of a column: its function, vectors and indices are again what they were.

        Rows added or changed since get vectors of the old function; what that took is in the receipt.

        Raises:
            SchemaError: There is nothing to go back to.
            EmbeddingError: The old function failed; nothing is changed.
        """
        return lifecycle.migration.rollback_embedding(
            self._shown, vector_column, self._registry.bindings, self._records.embedder(), progress=progress
        )


def _keeping_rows(on_embedding_error: OnEmbeddingError) -> OnEmbeddingError:
    """*on_embedding_error*, for a call that drops no rows."""
    if on_embedding_error == "drop":
        raise ValueError("this call drops no rows: on_embedding_error is 'raise' or 'quarantine'")
    return on_embedding_error
