"""A table: rows, the vectors made from them, and what can be asked of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, overload

import pyarrow as pa

from lancelike._optional import require
from lancelike.embeddings import EmbeddingFunction, EmbeddingFunctionConfig, EmbeddingFunctionRegistry, get_registry
from lancelike.errors import QueryError, SchemaError
from lancelike.index import FTS, IndexConfig, IndexStatistics, VectorIndex
from lancelike.ingest import index_progress, ingest, update_rows
from lancelike.ledger import Ledger, TableRecords
from lancelike.legacy import index_arguments, warn_deprecated
from lancelike.lifecycle import freshness, migration
from lancelike.lifecycle.failed import embedding_errors, retry_failed
from lancelike.lifecycle.health import TableHealth, examine_health
from lancelike.lifecycle.indexing import IndexUpkeep
from lancelike.lifecycle.planning import plan_add
from lancelike.merge import LanceMergeInsertBuilder
from lancelike.query import LanceEmptyQueryBuilder, LanceVectorQueryBuilder, query_from
from lancelike.query.plan import Scan
from lancelike.query.predicates import value_to_sql
from lancelike.query.take import LanceTakeQueryBuilder, take_from
from lancelike.schema.arrow import model_from_schema
from lancelike.schema.bindings import drop_from_metadata, rename_in_metadata
from lancelike.search.run import Searcher
from lancelike.search.take import Taker
from lancelike.search.vectors import QueryVectors
from lancelike.storage import (
    CleanupStats,
    CompactionStats,
    Dataset,
    Location,
    OptimizeStats,
    TableStatistics,
    Tags,
    maintenance,
    versions,
)
from lancelike.storage import index as indices
from lancelike.storage.memory import VectorCache
from lancelike.types import (
    AddColumnsResult,
    AddResult,
    AlterColumnsResult,
    DeleteResult,
    DropColumnsResult,
    EmbeddingPlan,
    EmbeddingReceipt,
    IndexPolicy,
    OnBadVectors,
    OnEmbeddingError,
    QueryType,
    Rows,
    UpdateResult,
    WriteMode,
)

if TYPE_CHECKING:
    from lancelike.schema.model import LanceModel

__all__ = ["LanceTable", "Table"]


class Table:
    """A handle on one table; made by `connect(...).create_table` and `open_table`.

    Handles on the same table in one process show the same version: a row added through one is there for the next
    read of every other. `checkout` pins this handle, and only this one, to a past version.
    """

    def __init__(
        self,
        location: Location,
        dataset: Dataset,
        *,
        registry: EmbeddingFunctionRegistry | None = None,
        records: TableRecords | None = None,
        query_vectors: QueryVectors | None = None,
        vector_cache: VectorCache | None = None,
        read_consistency_interval: timedelta | None = None,
        index_policy: IndexPolicy = "auto",
    ) -> None:
        self._location = location
        self._shown = dataset
        self._query_vectors = query_vectors or QueryVectors()
        self._vector_cache = vector_cache
        self._records = records or TableRecords(location, dataset.name, Ledger(location))
        self._registry = registry or get_registry()
        self._read_consistency_interval = read_consistency_interval
        self._upkeep = IndexUpkeep(index_policy)
        self._bound: tuple[Mapping[bytes, bytes], list[EmbeddingFunctionConfig]] | None = None

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The table's name in its database."""
        return self._shown.name

    @property
    def uri(self) -> str:
        """Where its Lance dataset lies."""
        return self._shown.uri

    @property
    def schema(self) -> pa.Schema:
        """Columns of the version shown; the metadata holds the embedding functions."""
        return self._dataset.schema

    @property
    def version(self) -> int:
        """Number of the version shown; each write makes the next."""
        return self._dataset.version

    @property
    def embedding_functions(self) -> dict[str, EmbeddingFunctionConfig]:
        """The function and source behind each vector column that has one, by the vector column's name."""
        return {binding.vector_column: binding for binding in self._bindings}

    def model(self) -> type[LanceModel]:
        """The pydantic class that declares this table, made from its stored schema and functions."""
        return model_from_schema(self.name, self.schema, self._bindings)

    def __len__(self) -> int:
        return self.count_rows()

    def __repr__(self) -> str:
        return f"LanceTable(name={self.name!r}, _conn=LanceDBConnection(uri={self._location.shown_uri!r}))"

    @property
    def _dataset(self) -> Dataset:
        if self._read_consistency_interval is not None:
            self._shown.refresh_if_older(self._read_consistency_interval.total_seconds())
        return self._shown

    @property
    def _bindings(self) -> list[EmbeddingFunctionConfig]:
        return self._bindings_in(self._dataset)

    def _bindings_in(self, dataset: Dataset) -> list[EmbeddingFunctionConfig]:
        metadata = dataset.schema.metadata or {}
        if self._bound is None or self._bound[0] != metadata:
            self._bound = (metadata, self._registry.bindings(metadata))
        return self._bound[1]

    # -- writing -------------------------------------------------------------------------------------------------

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
                `embedding_errors`.
            budget_tokens: Most tokens to send to functions.
            progress: True for a bar, a callable that takes a dict of counts, or a tqdm.
            write_parallelism: Accepted for LanceDB's scripts; Lance chooses.

        Raises:
            BadDataError: A row doesn't fit the schema; nothing is written.
            EmbeddingError: A function failed; nothing is written, and what was paid for is kept.
            BudgetExceeded: The next request would take more tokens than are left; likewise.
        """
        if mode not in ("append", "overwrite"):
            raise ValueError(f"mode is 'append' or 'overwrite', not {mode!r}")
        self._shown.refresh()
        embedder = self._records.embedder(on_embedding_error, budget_tokens)
        reader = ingest(
            data,
            self.schema,
            self._bindings,
            embedder=embedder,
            on_bad_vectors=on_bad_vectors,
            fill_value=fill_value,
            progress=progress,
        )
        with embedder:
            version = self._shown.append(reader) if mode == "append" else self._shown.overwrite(reader)
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
        on = [on] if isinstance(on, str) else list(on)
        self._shown.refresh()
        return LanceMergeInsertBuilder(
            self._shown, self._bindings, on, self._records.embedder, self._upkeep.after_write
        )

    def update(
        self,
        where: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        values_sql: Mapping[str, str] | None = None,
        on_embedding_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
    ) -> UpdateResult:
        """Change columns of the rows that match, and in the same commit the vectors made from them.

        Args:
            where: SQL filter; None means every row.
            values: New values by column.
            values_sql: New values as SQL expressions over the row's old ones, as in `{"n": "n + 1"}`.
            on_embedding_error: As in `add`; an update leaves no row out, so `"drop"` is refused.
            budget_tokens: As in `add`.

        Raises:
            EmbeddingError: A function failed; nothing is changed, and what was paid for is kept.
        """
        if (values is None) == (values_sql is None):
            raise ValueError("update takes exactly one of values= and values_sql=")
        embedder = self._records.embedder(on_embedding_error, budget_tokens)
        new = dict(values_sql) if values_sql is not None else {k: value_to_sql(v) for k, v in (values or {}).items()}
        result = update_rows(self._shown, self._bindings, new, where, embedder=embedder)
        self._upkeep.after_write(self._shown)
        return result

    def plan(self, data: Rows) -> EmbeddingPlan:
        """What `add(data)` would embed and reuse; no function is called.

        It equals the receipt of the `add` that follows, if nothing fails.

        Args:
            data: As in `add`; an iterator is used up.

        Raises:
            BadDataError: A row doesn't fit the schema.
        """
        return plan_add(data, self.schema, self._bindings, self._records.planner(self.schema))

    def embedding_errors(self) -> pa.Table:
        """The rows that wait with an error, since their source was refused under `"quarantine"` or `"drop"`.

        Returns:
            A row for each of them: `row_id`, `vector_column`, `source_column`, `input` (its first 2000 characters),
            `error_class`, `message`, `attempts`, `at`. Rows that were dropped have a null `row_id`, and are listed
            until their source is embedded after all.
        """
        return embedding_errors(self._dataset, self._bindings, self._records.failures, self._records.ledger)

    def retry_failed(self, progress: Any = None) -> EmbeddingReceipt:
        """Embed again the sources of the rows that `embedding_errors` lists with a row id; one commit fills them in.

        Rows that fail again stay listed and are counted in the receipt; they raise nothing.

        Args:
            progress: As in `add`.

        Raises:
            EmbeddingError: A function failed as a whole, as for a refused key; nothing is changed.
        """
        embedder = self._records.embedder("quarantine", all_may_fail=True)
        receipt = retry_failed(self._shown, self._bindings, self._records.failures, embedder, progress)
        self._upkeep.after_write(self._shown)
        return receipt

    def delete(self, where: str) -> DeleteResult:
        """Delete the rows that match the SQL filter *where*."""
        if not where.strip():
            raise QueryError("delete needs a filter; 'true' deletes every row")
        deleted, version = self._shown.delete(where)
        return DeleteResult(num_deleted_rows=deleted, version=version)

    # -- embeddings ----------------------------------------------------------------------------------------------

    def verify(self) -> pa.Table:
        """The rows whose vector no longer matches its source, also after another program wrote to the table.

        Nothing is embedded. A vector that was given, by a caller or another program, is in step until its source
        changes. The table's versions are gone through back to the last `refresh`; of what was done in versions cleaned
        up since, only vectors that the database holds a payment for are found.

        Returns:
            `row_id` (Lance's `_rowid`), `vector_column`, `source_column`, and `reason`: `"no vector"`, or
            `"source changed"`; by vector column and row.
        """
        return freshness.verify(self._dataset, self._bindings, self._records.ledger)

    def refresh(self, *, on_embedding_error: OnEmbeddingError = "raise") -> EmbeddingReceipt:
        """Make the vectors of the rows that `verify` finds anew, in one commit; what that took.

        Args:
            on_embedding_error: `"raise"` changes nothing when a source is refused; `"quarantine"` leaves its row with a
                null vector, listed in `embedding_errors`.

        Raises:
            EmbeddingError: A function failed; nothing is changed, and what was paid for is kept.
        """
        embedder = self._records.embedder(_keeping_rows(on_embedding_error))
        receipt = freshness.refresh(self._shown, self._bindings, embedder, self._records.ledger)
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
        return migration.add_embedding(self._shown, binding, embedder, progress=progress)

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
        binding = self.embedding_functions.get(vector_column)
        if binding is None:
            raise SchemaError(f"no function fills column {vector_column!r}; add_embedding adds one that is filled")
        drift = self._records.drift
        drifted = drift.has_drifted(function, vector_column)
        embedder = self._records.embedder(_keeping_rows(on_embedding_error), replaces=True)
        receipt = migration.reembed(self._shown, binding, function, embedder, drifted=drifted, progress=progress)
        drift.replaced(function, vector_column)
        return receipt

    def rollback_embedding(self, vector_column: str, *, progress: Any = None) -> EmbeddingReceipt:
        """Undo the last `reembed` of a column: its function, vectors and indices are again what they were.

        Rows added or changed since get vectors of the old function; what that took is in the receipt.

        Raises:
            SchemaError: There is nothing to go back to.
            EmbeddingError: The old function failed; nothing is changed.
        """
        return migration.rollback_embedding(
            self._shown, vector_column, self._registry.bindings, self._records.embedder(), progress=progress
        )

    # -- reading -------------------------------------------------------------------------------------------------

    def count_rows(self, filter: str | None = None) -> int:
        """How many rows there are, or match the SQL *filter*."""
        return self._dataset.count_rows(filter)

    def head(self, n: int = 5) -> pa.Table:
        """The first *n* rows."""
        return self._dataset.read(Scan(limit=n))

    def to_arrow(self) -> pa.Table:
        """All rows, in memory."""
        return self._dataset.read(Scan())

    def to_batches(self, batch_size: int | None = None) -> pa.RecordBatchReader:
        """All rows as a stream of batches of at most *batch_size* rows."""
        return self._dataset.scan(Scan(batch_size=batch_size))

    def to_pandas(self, **kwargs: Any) -> Any:
        """All rows as a pandas DataFrame; keywords go to `pyarrow.Table.to_pandas`."""
        require("pandas", extra="pandas", needed_by="to_pandas()")
        return self.to_arrow().to_pandas(**kwargs)

    def to_polars(self) -> Any:
        """The table as a polars LazyFrame, read when collected."""
        polars = require("polars", extra="polars", needed_by="to_polars()")
        return polars.scan_pyarrow_dataset(self.to_lance())

    def to_lance(self) -> Any:
        """The `lance.LanceDataset` of the version shown, for what pylance alone can do."""
        return self._dataset.lance

    @overload
    def search(self, query: None = None) -> LanceEmptyQueryBuilder: ...

    @overload
    def search(
        self, query: Any, vector_column_name: str | None = None, query_type: QueryType = "auto"
    ) -> LanceVectorQueryBuilder: ...

    def search(
        self, query: Any = None, vector_column_name: str | None = None, query_type: QueryType = "auto"
    ) -> LanceEmptyQueryBuilder | LanceVectorQueryBuilder:
        """Ask for the rows nearest to *query*; nothing runs until a `to_*` method is called.

        Args:
            query: A vector (array or list of numbers); several (2-d array, list of lists); or anything that the
                column's embedding function takes, such as a text or a list of texts. None reads rows in table order.
            vector_column_name: The column to search; not needed when only one fits.
            query_type: `"vector"`, or `"auto"` for the same.

        Returns:
            A builder: `.where()`, `.select()`, `.limit()` and others refine it, `.to_list()` and others run it.
        """
        shown = self._dataset
        searcher = Searcher(
            shown, lambda: self._bindings_in(shown), self._query_vectors, self._records.drift, self._vector_cache
        )
        if query is None and query_type == "auto":
            return LanceEmptyQueryBuilder(searcher, query_from(None, None, query_type))
        return LanceVectorQueryBuilder(searcher, query_from(query, vector_column_name, query_type))

    def take_offsets(self, offsets: Iterable[int]) -> LanceTakeQueryBuilder:
        """Ask for the rows at *offsets*, counted from 0 over the rows there are, in the order given; repeats count.

        Returns:
            A builder: `.select()` and `.with_row_id()` refine it, `.to_list()` and others read the rows.
        """
        return LanceTakeQueryBuilder(Taker(self._dataset), take_from("offset", offsets))

    def take_row_ids(self, row_ids: Iterable[int]) -> LanceTakeQueryBuilder:
        """Ask for the rows with these ids, which `search().with_row_id()` tells as `_rowid`, in the order given.

        Ids of no row are left out. Returns a builder, as `take_offsets` does.
        """
        return LanceTakeQueryBuilder(Taker(self._dataset), take_from("row id", row_ids))

    # -- indices -------------------------------------------------------------------------------------------------

    def create_index(self, column: str | None = None, config: Any = None, *older: Any, **arguments: Any) -> None:
        """Build an index on *column*, so that searches or filters need not read every row.

        `create_index("vector", config=IvfPq(distance_type="cosine"))` is the form to write. LanceDB's older form,
        `create_index(metric="cosine", num_partitions=256, vector_column_name="vector")`, works and warns.

        Args:
            column: The column; nested ones by dotted path.
            config: One of the classes in `lancelike.index`. None takes IvfPq for a vector, BTree for a scalar.
            *older: What LanceDB's older form has by position.
            **arguments: `replace=True` (build again what is there), `name=` (default `{column}_idx`), `train=True`,
                `wait_timeout=` (timedelta), `progress=` (True, or a callable that takes a dict).

        Raises:
            ColumnNotFoundError: There is no such column.
            IndexExistsError: `replace=False` and the index is there.
        """
        column, config, options = index_arguments(column, config, older, arguments)
        wait_timeout: timedelta | None = options.pop("wait_timeout", None)
        if config is None:
            config = indices.default_config(self._shown, column)
        create = indices.create_vector_index if isinstance(config, VectorIndex) else indices.create_scalar_index
        with index_progress(options.pop("progress", None)) as progress:
            name = create(self._shown, column, config, progress=progress, **options)
        self._upkeep.after_write(self._shown)
        if wait_timeout is not None:
            self.wait_for_index([name], wait_timeout)

    def create_scalar_index(
        self,
        column: str,
        *,
        replace: bool = True,
        index_type: Literal["BTREE", "BITMAP", "LABEL_LIST"] = "BTREE",
        name: str | None = None,
    ) -> None:
        """Older spelling of `create_index(column, config=BTree() | Bitmap() | LabelList())`."""
        warn_deprecated("create_scalar_index(...)", f"create_index({column!r}, config=...)")
        config = indices.scalar_config(index_type)
        indices.create_scalar_index(self._shown, column, config, replace=replace, name=name)

    def create_fts_index(self, column: str, *, replace: bool = False, name: str | None = None, **options: Any) -> None:
        """Older spelling of `create_index(column, config=FTS(...))`."""
        warn_deprecated("create_fts_index(...)", f"create_index({column!r}, config=FTS(...))")
        indices.create_scalar_index(self._shown, column, FTS(**options), replace=replace, name=name)

    def list_indices(self) -> list[IndexConfig]:
        """The table's indices, by name."""
        return indices.list_indices(self._dataset)

    def index_stats(self, index_name: str) -> IndexStatistics | None:
        """How many rows the index covers and how it measures; None if there is no such index."""
        return indices.index_stats(self._dataset, index_name)

    def drop_index(self, name: str) -> None:
        """Drop the index *name*; the rows stay."""
        indices.drop_index(self._shown, name)

    def prewarm_index(self, name: str) -> None:
        """Read the index *name* into memory, so that the first search need not."""
        indices.prewarm_index(self._dataset, name)

    def wait_for_index(self, index_names: Iterable[str], timeout: timedelta = timedelta(seconds=300)) -> None:
        """Wait until the indices named cover every row.

        Raises:
            IndexTimeoutError: They don't after *timeout*.
        """
        indices.wait_for_index(self._shown, list(index_names), timeout.total_seconds())

    # -- versions ------------------------------------------------------------------------------------------------

    def list_versions(self) -> list[dict[str, Any]]:
        """Every version kept: `version`, `timestamp`, `metadata`, oldest first."""
        return versions.list_versions(self._dataset)

    def checkout(self, version: int | str) -> None:
        """Show a past version, by number or tag; this handle is read-only until `checkout_latest`."""
        self._shown = self._shown.at(version)

    def checkout_latest(self) -> None:
        """Show the latest version, with what other processes wrote."""
        self._shown = self._shown.unpinned()

    def restore(self, version: int | str | None = None) -> None:
        """Make a past version the latest, as a new version; None takes the one checked out."""
        if version is None and not self._shown.pinned:
            raise ValueError("nothing is checked out: call checkout before running restore without a version")
        versions.restore(self._shown, version)
        self.checkout_latest()

    @property
    def tags(self) -> Tags:
        """Names for versions: `tags.create("v1", 3)`, then `checkout("v1")`."""
        return Tags(self._shown)

    # -- maintenance ---------------------------------------------------------------------------------------------

    def optimize(
        self,
        *,
        cleanup_older_than: timedelta | None = None,
        delete_unverified: bool = False,
        retrain: bool = False,
    ) -> OptimizeStats:
        """Merge small files, bring indices up to date without retraining, and drop old versions.

        Args:
            cleanup_older_than: Versions older than this go, unless tagged; None is 7 days.
            delete_unverified: Also delete young files that no version names; safe only when nobody else writes.
            retrain: Does nothing, and warns; LanceDB's scripts may have it.
        """
        if retrain:
            warn_deprecated("optimize(retrain=True)", "create_index(...)")
        return maintenance.optimize(
            self._shown, cleanup_older_than=cleanup_older_than, delete_unverified=delete_unverified
        )

    def compact_files(self, **options: Any) -> CompactionStats:
        """Merge small files; keywords go to pylance's `optimize.compact_files`."""
        return maintenance.compact_files(self._shown, **options)

    def cleanup_old_versions(
        self, older_than: timedelta | None = None, *, delete_unverified: bool = False
    ) -> CleanupStats:
        """Delete versions older than *older_than* (None: 2 weeks), unless tagged, and the files only they need."""
        return maintenance.cleanup_old_versions(self._shown, older_than, delete_unverified=delete_unverified)

    def health(self) -> TableHealth:
        """How the table is, and what to do about what ails it; nothing is embedded or changed."""
        return examine_health(self._dataset, self._bindings, self.embedding_errors(), self.verify())

    def stats(self) -> TableStatistics:
        """Bytes, rows, indices and fragment sizes."""
        return maintenance.stats(self._dataset)

    # -- columns -------------------------------------------------------------------------------------------------

    def add_columns(
        self, transforms: Mapping[str, str] | pa.Field | Sequence[pa.Field] | pa.Schema
    ) -> AddColumnsResult:
        """Add columns: SQL expressions by name, or Arrow fields to be filled with nulls."""
        return AddColumnsResult(self._shown.add_columns(transforms))

    def alter_columns(self, *alterations: Mapping[str, Any]) -> AlterColumnsResult:
        """Rename, retype or make nullable: `{"path": "a", "rename": "b"}`, `"data_type"`, `"nullable"`.

        A column that feeds or holds vectors keeps its function under its new name.
        """
        renames = {a["path"]: a["rename"] for a in alterations if a.get("rename")}
        version = self._shown.alter_columns(list(alterations))
        metadata = self._shown.schema.metadata or {}
        renamed = rename_in_metadata(metadata, renames)
        return AlterColumnsResult(self._shown.replace_metadata(renamed) if renamed != metadata else version)

    def drop_columns(self, columns: str | Iterable[str]) -> DropColumnsResult:
        """Drop columns; a vector column's function goes with it.

        A source column may go while its vectors stay: texts still find rows, but new rows must bring their vectors.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        if set(names) >= set(self.schema.names):
            raise SchemaError("a table keeps at least one column; drop_table drops it whole")
        version = self._shown.drop_columns(names)
        metadata = self._shown.schema.metadata or {}
        kept = drop_from_metadata(metadata, names)
        return DropColumnsResult(self._shown.replace_metadata(kept) if kept != metadata else version)


def _keeping_rows(on_embedding_error: OnEmbeddingError) -> OnEmbeddingError:
    """*on_embedding_error*, for a call that drops no rows."""
    if on_embedding_error == "drop":
        raise ValueError("this call drops no rows: on_embedding_error is 'raise' or 'quarantine'")
    return on_embedding_error


LanceTable = Table
