"""Updates that keep vectors in step with their sources, and computed columns with theirs, in the same commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelike.errors import ColumnNotFoundError, SchemaError
from lancelike.ingest.computed import with_computed
from lancelike.ingest.embed import embed_rows
from lancelike.ingest.rereading import BindingsIn, until_written
from lancelike.ledger import Embedder, Planner
from lancelike.query.predicates import quote_identifier
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.blobs import has_blobs
from lancelike.schema.computed import ComputedColumn, computed_columns, due
from lancelike.storage.rewriting import old_name
from lancelike.types import EmbeddingPlan, RefreshColumnResult, UpdateResult

if TYPE_CHECKING:
    from lancelike.storage.dataset import Dataset


def update_rows(
    dataset: Dataset,
    bindings_in: BindingsIn,
    values_sql: Mapping[str, str],
    where: str | None = None,
    *,
    embedder: Embedder | None = None,
) -> UpdateResult:
    """Change columns of the rows that match, what is computed of them, and the vectors that are made from them.

    Args:
        dataset: The table.
        bindings_in: Its bindings. A vector column that *values_sql* sets itself is not made from its source.
        values_sql: SQL expression by column, over the rows' old values.
        where: SQL filter; None means every row.
        embedder: Makes the vectors, and counts; None takes one without a ledger.

    Raises:
        EmbeddingError: A function failed; nothing is changed.
        ValueError: The policy is to drop rows, and an update has none to leave out.
    """
    embedder = embedder or Embedder()
    if embedder.on_error == "drop":
        raise ValueError("an update leaves no row out: on_embedding_error is 'raise' or 'quarantine'")
    columns = dict(values_sql)

    def write(shown: Dataset, bindings: Sequence[EmbeddingFunctionConfig]) -> UpdateResult:
        change = _Change.of(shown.schema, bindings, columns)
        if change.is_plain:
            rows, version = dataset.update(columns, where, made_for=shown)
            return UpdateResult(rows_updated=rows, version=version)
        with embedder:
            rows, version = dataset.rewrite_rows(
                where, columns, lambda batch: change.followed(batch, embedder), made_for=shown
            )
        embedder.rows = rows
        return UpdateResult(rows_updated=rows, version=version, embedding=embedder.finish())

    return until_written(write, dataset, bindings_in, embedder)


def plan_update(
    dataset: Dataset,
    bindings: Sequence[EmbeddingFunctionConfig],
    values_sql: Mapping[str, str],
    where: str | None,
    planner: Planner,
) -> EmbeddingPlan:
    """What `update_rows` of the version shown would embed and reuse, from the same steps; no function is called.

    Args:
        dataset: The table.
        bindings: Its bindings.
        values_sql: As in `update_rows`.
        where: As in `update_rows`.
        planner: Counts.

    Raises:
        ColumnNotFoundError: It sets a column that isn't there.
        QueryError: An expression or *where* can't be read.
    """
    change = _Change.of(dataset.schema, bindings, values_sql)
    if not change.is_plain:
        for batch in dataset.rows_to_rewrite(where, values_sql):
            change.followed(batch, planner)
            planner.rows += batch.num_rows
    return planner.plan()


@dataclass(frozen=True)
class _Change:
    """An update, and what follows from it.

    Attributes:
        bindings: The table's.
        following: Computed columns that are due.
        changed: Columns that get new values, those among them.
        is_plain: Whether Lance can do all of it.
    """

    bindings: Sequence[EmbeddingFunctionConfig]
    following: Sequence[ComputedColumn]
    changed: AbstractSet[str]
    is_plain: bool

    @classmethod
    def of(cls, schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig], columns: Iterable[str]) -> _Change:
        """What follows in a table of *schema* when *columns* are set."""
        touched = {_top_level(column) for column in columns}
        following = due(computed_columns(schema), touched)
        changed = touched | {each.name for each in following}
        sources = {source for binding in bindings for source in binding.source_columns}
        # Lance updates no blobs that are set
        is_plain = not following and changed.isdisjoint(sources) and not has_blobs(schema, changed)
        return cls(bindings, following, changed, is_plain)

    def followed(self, batch: pa.RecordBatch, embedder: Embedder) -> pa.RecordBatch:
        """*batch*, whose columns are set, with what is computed of them and the vectors that are made from them.

        A row whose source is what it was keeps its vector: it may have been given.
        """
        sources = dict.fromkeys(source for binding in self.bindings for source in binding.source_columns)
        there = [source for source in sources if source in batch.schema.names]
        before = pa.RecordBatch.from_arrays([_before(batch, source) for source in there], there)
        return embed_rows(with_computed(batch, self.following), self.bindings, self.changed, embedder, before=before)


def _before(batch: pa.RecordBatch, column: str) -> pa.Array:
    """The values of *column* before it was set, or is computed anew."""
    old = old_name(column)
    return batch.column(old if old in batch.schema.names else column)


def refresh_computed(dataset: Dataset, bindings_in: BindingsIn, column: str, embedder: Embedder) -> RefreshColumnResult:
    """Give the computed *column* its value in the rows where it has another, as after another program's writes.

    Raises:
        ColumnNotFoundError: There is no such column.
        SchemaError: It is not computed.
        EmbeddingError: A function to whose source it belongs failed; nothing is changed.
    """
    dataset.refresh()
    if column not in dataset.schema.names:
        raise ColumnNotFoundError(column, dataset.schema.names)
    found = [each for each in computed_columns(dataset.schema) if each.name == column]
    if not found:
        raise SchemaError(f"Column {column!r} is not a computed column")
    source = dataset.version
    stale = f"{quote_identifier(column)} IS DISTINCT FROM ({found[0].expression})"
    if not dataset.count_rows(stale):
        return RefreshColumnResult(rows_assigned=0, source_version=source, published_version=source)
    done = update_rows(dataset, bindings_in, {column: found[0].expression}, stale, embedder=embedder)
    return RefreshColumnResult(rows_assigned=done.rows_updated, source_version=source, published_version=done.version)


def _top_level(column: str) -> str:
    return column.strip("`").partition(".")[0]
