"""The indices of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal, get_args

from lancelike import ingest, search
from lancelike.errors import QueryError
from lancelike.index import FTS, IndexConfig, IndexStatistics, ScalarIndex, VectorIndex
from lancelike.job import Job
from lancelike.legacy import fts_arguments, index_arguments, warn_deprecated
from lancelike.query import FtsToken
from lancelike.query.plan import DEFAULT_LIMIT
from lancelike.search.target import facts_of
from lancelike.storage import index as indices
from lancelike.storage import indexing, tuning
from lancelike.storage.fulltext import tantivy_index
from lancelike.storage.indexable import default_column, default_config
from lancelike.storage.tokenizing import tokenize_as_indexed
from lancelike.table.recall import Recall

_CONFIGS: tuple[type, ...] = (*get_args(VectorIndex), *get_args(ScalarIndex))


class Indexing(Recall):
    """Builds, lists, drops and waits for indices."""

    def create_index(self, column: str | None = None, config: Any = None, *older: Any, **arguments: Any) -> None:
        """Build an index on *column*, so that searches or filters need not read every row.

        `create_index("vector", config=IvfPq(distance_type="cosine"))` is the form to write. LanceDB's older form,
        `create_index(metric="cosine", num_partitions=256, vector_column_name="vector")`, works and warns.

        Args:
            column: The column; nested ones by dotted path. None takes `"vector"`, or the only one that holds vectors.
            config: One of the classes in `lancelike.index`. None takes what suits the column: RaBitQ codes of
                2 bits (`IvfRq`) for vectors, `BTree` for scalars.
            *older: What LanceDB's older form has by position.
            **arguments: `replace=True` (build again what is there), `name=` (default `{column}_idx`), `train=True`,
                `wait_timeout=` (timedelta), `progress=` (True, or a callable that takes a dict), `target_recall=` (for
                vectors: then `tune` for that share of the 10 nearest, unless there are no more rows).

        Raises:
            ColumnNotFoundError: There is no such column.
            IndexExistsError: `replace=False` and the index is there.
            QueryError: A setting does not fit the column; or the index, which is there now, can't reach
                `target_recall`.
        """
        column, config, options = index_arguments(column, config, older, arguments)
        column = column or default_column(self._shown.schema)
        wait_timeout: timedelta | None = options.pop("wait_timeout", None)
        if config is None:
            config = default_config(self._shown.schema, column)
        target_recall: float | None = options.pop("target_recall", None)
        if type(config) not in _CONFIGS:
            raise QueryError(f"config is one of the classes in lancelike.index, as IvfRq(), not {config!r}")
        if target_recall is not None:
            _check_tunable(column, config, target_recall)
        create = indexing.create_vector_index if isinstance(config, VectorIndex) else indexing.create_scalar_index
        with ingest.index_progress(options.pop("progress", None)) as progress:
            name = create(self._shown, column, config, progress=progress, **options)
        tuning.forget(self._shown, name)
        self._upkeep.after_write(self._shown)
        if target_recall is not None and self._shown.count_rows() > DEFAULT_LIMIT:
            self.tune(target_recall, vector_column_name=column)
        if wait_timeout is not None:
            self.wait_for_index([name], wait_timeout)

    def create_index_async(
        self,
        column: str,
        *,
        config: Any = None,
        replace: bool | None = None,
        wait_timeout: timedelta | None = None,
        name: str | None = None,
        train: bool = True,
        target_recall: float | None = None,
    ) -> Job[None]:
        """Build an index, and tune it, as `create_index` does, in the background.

        Returns:
            A `Job`: `wait()` returns when the index is there, or raises why it isn't; `cancel()` stops it before it
            commits.
        """
        options: dict[str, Any] = {"replace": True if replace is None else replace, "name": name, "train": train}
        options |= {"wait_timeout": wait_timeout} if wait_timeout else {}
        options |= {"target_recall": target_recall} if target_recall is not None else {}
        return Job("create_index", lambda: self.create_index(column, config, **options))

    def create_scalar_index(
        self,
        column: str,
        *,
        replace: bool = True,
        index_type: Literal["BTREE", "BITMAP", "LABEL_LIST"] = "BTREE",
        wait_timeout: timedelta | None = None,
        name: str | None = None,
    ) -> None:
        """Older spelling of `create_index(column, config=BTree() | Bitmap() | LabelList())`."""
        warn_deprecated("create_scalar_index(...)", f"create_index({column!r}, config=...)")
        config = indexing.scalar_config(index_type)
        made = indexing.create_scalar_index(self._shown, column, config, replace=replace, name=name)
        if wait_timeout is not None:
            self.wait_for_index([made], wait_timeout)

    def create_fts_index(
        self,
        field_names: str | Sequence[str],
        *,
        ordering_field_names: str | Sequence[str] | None = None,
        replace: bool = False,
        writer_heap_size: int | None = 1 << 30,
        use_tantivy: bool = False,
        tokenizer_name: str | None = None,
        with_position: bool = False,
        base_tokenizer: str = "simple",
        language: str = "English",
        max_token_length: int | None = 40,
        lower_case: bool = True,
        stem: bool = True,
        remove_stop_words: bool = True,
        custom_stop_words: list[str] | None = None,
        ascii_folding: bool = True,
        ngram_min_length: int = 3,
        ngram_max_length: int = 3,
        prefix_only: bool = False,
        block_size: int = 128,
        document_granularity: Literal["row", "list_element"] = "row",
        wait_timeout: timedelta | None = None,
        name: str | None = None,
    ) -> None:
        """Older spelling of `create_index(column, config=FTS(...))`, with the same settings.

        Raises:
            ValueError: Several columns are named, or something that only LanceDB's former index on Tantivy could do.
        """
        warn_deprecated("create_fts_index(...)", f"create_index({field_names!r}, config=FTS(...))")
        config = FTS(
            with_position=with_position,
            base_tokenizer=base_tokenizer,
            language=language,
            max_token_length=max_token_length,
            lower_case=lower_case,
            stem=stem,
            remove_stop_words=remove_stop_words,
            custom_stop_words=custom_stop_words,
            ascii_folding=ascii_folding,
            ngram_min_length=ngram_min_length,
            ngram_max_length=ngram_max_length,
            prefix_only=prefix_only,
            block_size=block_size,
            document_granularity=document_granularity,
        )
        tantivy = {
            "use_tantivy": use_tantivy,
            "ordering_field_names": ordering_field_names,
            "writer_heap_size": writer_heap_size,
        }
        column, config = fts_arguments(field_names, config, tokenizer_name, tantivy)
        if path := tantivy_index(self.uri):
            raise QueryError(
                f"Legacy Tantivy FTS index detected at {path}, which nothing reads any more: delete it first"
            )
        self.create_index(column, config, replace=replace, name=name, wait_timeout=wait_timeout)

    def tokenize(self, query: str, *, column: str | None = None, index_name: str | None = None) -> list[FtsToken]:
        """The words of *query* as a full-text index of this table looks for them.

        Args:
            query: A text.
            column: The column with the index; or
            index_name: the index.

        Raises:
            QueryError: Not exactly one of the two is given, or there is no full-text index.
            ColumnNotFoundError: There is no such column.
            IndexNotFoundError: There is no such index.
        """
        return tokenize_as_indexed(self._dataset, query, column, index_name)

    def list_indices(self) -> list[IndexConfig]:
        """The table's indices, by name."""
        return indices.list_indices(self._dataset)

    def index_stats(self, index_name: str) -> IndexStatistics | None:
        """How many rows the index covers and how it measures; None if there is no such index."""
        return indices.index_stats(self._dataset, index_name)

    def drop_index(self, name: str) -> None:
        """Drop the index *name*, and what was tuned for it; the rows stay."""
        indices.drop_index(self._shown, name)
        tuning.forget(self._shown, name)

    def prewarm_index(self, name: str) -> None:
        """Read the index *name* into memory, and the vectors that it is on if they fit, so that no search need do so.

        The other columns are read too, as far as they take no more memory than the vectors.

        Raises:
            IndexNotFoundError: There is no such index.
        """
        dataset = self._dataset.frozen()
        indices.prewarm_index(dataset, name)
        columns = facts_of(dataset).vector_columns
        for index in indices.list_indices(dataset):
            if index.name == name and self._vector_cache and (column := columns.get(index.columns[0])):
                self._vector_cache.hold(dataset, column)
                self._vector_cache.hold_rows(dataset, [each for each in dataset.schema.names if each not in columns])

    def wait_for_index(self, index_names: Iterable[str], timeout: timedelta = timedelta(seconds=300)) -> None:
        """Wait until the indices named cover every row.

        Raises:
            IndexTimeoutError: They don't after *timeout*.
        """
        indices.wait_for_index(self._shown, list(index_names), timeout.total_seconds())


def _check_tunable(column: str, config: Any, target_recall: float) -> None:
    search.tuning.check_target(target_recall)
    if not isinstance(config, VectorIndex):
        raise QueryError(
            f"target_recall is for indices of vectors; a {type(config).__name__} on {column!r} misses none"
        )
