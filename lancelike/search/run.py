"""Running queries: content to vectors, a query to a scan, a scan to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from textwrap import indent
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lancelike.errors import EmbeddingTimeoutError, QueryError, QueryTimeoutError
from lancelike.query.plan import DISTANCE, QUERY_INDEX, ROW_ID, Scan, VectorColumn, is_batch, plan_scan, query_vector
from lancelike.query.query import Query
from lancelike.query.results import Answer
from lancelike.rerankers.tables import RELEVANCE_SCORE
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.search.deadline import Deadline
from lancelike.search.from_memory import MemorySearch, memory_search, read_together
from lancelike.search.fulltext import best_first, with_words
from lancelike.search.fuzzy import fuzzy_search
from lancelike.search.hybrid import complete, fused, fused_schema, sides
from lancelike.search.live import among_live
from lancelike.search.lookup import KeyLookup, key_lookup
from lancelike.search.modalities import refuse_modality
from lancelike.search.pruned import Probes
from lancelike.search.reranking import before_reranking, reranked, sorted_by, without_scores
from lancelike.search.stored import blobs_among, with_stored
from lancelike.search.target import (
    facts_of,
    index_of,
    target_column,
    tuning_of,
    with_bounds,
    with_effort,
    with_metric,
    with_probes,
    with_refinement,
)
from lancelike.search.together import Together
from lancelike.search.vectors import QueryVectors
from lancelike.search.ways import PreparedSearch, prepare
from lancelike.storage.dataset import Dataset
from lancelike.storage.index import VectorIndex, full_text_indices
from lancelike.storage.memory import VectorCache
from lancelike.storage.tuning import Tuning, Way

if TYPE_CHECKING:
    from lancelike.ledger import DriftGuard

Bindings: TypeAlias = Sequence[EmbeddingFunctionConfig]


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A scan, and what is left to do with its rows.

    Attributes:
        lance: The scan; None: that of `memory`, which makes none as long as it does without.
    """

    lance: Scan | None = None
    hides_row_id: bool = False
    """The scan needed row ids, and nobody asked for them."""
    skipped_per_query: int = 0
    skipped: int = 0
    by_score: bool = False
    """The rows come by falling `_score`."""
    below: float | None = None
    """What distances have to be below."""
    memory: MemorySearch | KeyLookup | None = None
    """Finds the scan's rows with what is in memory."""
    why: str = ""
    """Why Lance searches for vectors, and how; and what the settings are tuned for."""

    @property
    def scan(self) -> Scan:
        """Lance's way to the rows."""
        if self.lance is not None:
            return self.lance
        assert self.memory is not None
        return self.memory.scan

    @classmethod
    def in_memory(cls, memory: MemorySearch) -> SearchPlan:
        """That of *memory*."""
        way = memory.way
        return cls(skipped_per_query=way.query.offset if way.is_batch else 0, memory=memory, why=way.why)

    def finish(self, rows: pa.Table) -> pa.Table:
        """The rows as they were asked for."""
        if self.skipped_per_query:
            rows = _skip_per_query(rows, self.skipped_per_query)
        if self.by_score:
            rows = best_first(rows)
        if self.skipped:
            rows = rows.slice(self.skipped)
        if self.below is not None:
            rows = rows.filter(pc.less(rows[DISTANCE], pa.scalar(self.below, pa.float32())))
        return rows.drop_columns([ROW_ID]) if self.hides_row_id else rows

    def output_schema(self, scanned: pa.Schema) -> pa.Schema:
        """The schema of the rows after `finish`, from that of the scan."""
        return scanned.remove(scanned.get_field_index(ROW_ID)) if self.hides_row_id else scanned


_Planned: TypeAlias = tuple[SearchPlan, Callable[[], pa.Table] | None]
"""A plan, and what is left to do for its rows; None: all, by Lance."""

_together: Together[Callable[[], SearchPlan], _Planned] = Together()


def _planned(several: Sequence[Callable[[], SearchPlan]]) -> list[_Planned]:
    """What plans *several* searches for vectors, done, and what is done best for all at once."""
    plans = [plan() for plan in several]
    left = iter(read_together([plan.memory for plan in plans if isinstance(plan.memory, MemorySearch)]))
    return [(plan, next(left) if isinstance(plan.memory, MemorySearch) else None) for plan in plans]


class Searcher:
    """Runs queries against a table as it stands when each of them runs.

    Args:
        dataset: The table's data.
        bindings: Its embedding functions, for queries that have content in place of a vector; or what gives them for
            the version that *dataset* shows, since a builder may run long after it was made.
        vectors: Remembers what queries were embedded to.
        drift: Gives what checks each function before its first use.
        cache: Holds the tables' vectors, for searches that compare with all of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        bindings: Bindings | Callable[[], Bindings] = (),
        vectors: QueryVectors | None = None,
        drift: Callable[[], DriftGuard] | None = None,
        cache: VectorCache | None = None,
    ) -> None:
        self._dataset = dataset
        self._given_bindings = bindings
        self._vectors = QueryVectors() if vectors is None else vectors
        self._drift = drift
        self._cache = cache

    def table(self, query: Query, timeout_s: float | None = None) -> pa.Table:
        """Every row that answers *query*; several queries make a first column `query_index`.

        Raises:
            QueryError: The query does not fit the table.
            ColumnNotFoundError: It names a column that isn't there.
            EmbeddingError: Its content could not be embedded.
            QueryTimeoutError: There was no answer within *timeout_s*, embedding included.
        """
        deadline = Deadline(timeout_s)
        return self._rows(query, deadline) if timeout_s is None else deadline.run(lambda: self._rows(query, deadline))

    def answer(self, query: Query, timeout_s: float | None = None) -> Answer:
        """The rows of `table`, with what reads their blobs."""
        blobs = blobs_among(self._dataset.schema, query.columns)
        if not blobs:
            return Answer(self.table(query, timeout_s))
        shown = self._on(self._dataset.frozen())
        rows = shown.table(replace(query, with_row_id=True), timeout_s)
        hides_row_id = not query.with_row_id and ROW_ID not in (query.columns or ())
        return with_stored(shown._dataset, rows, blobs, hides_row_id=hides_row_id)

    def batches(
        self, query: Query, batch_size: int | None = None, timeout_s: float | None = None
    ) -> pa.RecordBatchReader:
        """The rows of `table`, at most *batch_size* at a time; a scan's are read as they are asked for."""
        if query.query_type != "scan":  # the rows are few, and come from Lance all at once
            return self.table(query, timeout_s).to_reader(batch_size)
        deadline = Deadline(timeout_s)
        plan = deadline.run(lambda: self._plan(query))
        reader = deadline.run(lambda: self._dataset.scan(replace(plan.scan, batch_size=batch_size)))
        return _stream(reader, plan, deadline)

    def explain(self, query: Query, verbose: bool = False) -> str:
        """The plan for *query*, Lance's where Lance runs it; content is not embedded for it."""
        if query.hybrid:
            query = complete(query)
            plans = [self.explain(side, verbose).rstrip() for side in sides(query)]
        else:
            plan = self._plan(self._with_ones(query), starts=False)
            told = plan.memory.explain(verbose) if plan.memory else self._dataset.explain(plan.scan, verbose)
            plans = [plan.why + told]
        if query.reranker is None:
            return plans[0]
        return "\n".join([str(query.reranker), *(indent(plan, "  ") for plan in plans)])

    def analyze(self, query: Query) -> str:
        """The plan for *query* with the figures of a run."""
        query = self._embedded(query, Deadline(None))
        if query.hybrid:
            by_vector, by_words = map(self.analyze, sides(complete(query)))
            return f"Vector Search Plan:\n{by_vector}\nFTS Search Plan:\n{by_words}"
        plan = self._plan(query)
        return plan.why + (plan.memory.analyze() if plan.memory else self._dataset.analyze(plan.scan))

    def settings(self, query: Query) -> dict[str, Any]:
        """What a search for the vector of *query* goes by, as `RecallReport.settings` has it."""
        column, plan = self._column(query), self._plan(query, starts=False)
        index = index_of(self._dataset, column)
        nearest = plan.scan.nearest or {}
        memory = plan.memory if isinstance(plan.memory, MemorySearch) else None
        probes = (memory.way.probes or Probes()).fewest if memory else nearest.get("minimum_nprobes")
        through = index if index is not None and nearest["use_index"] else None
        return {
            "index": through and through.name,
            "index_type": through and through.kind,
            "distance_type": nearest.get("metric", "hamming" if column.is_of_bytes else "l2"),
            "in_memory": memory is not None,
            "nprobes": probes if through else None,
            "refine_factor": nearest.get("refine_factor") if through and not memory else None,
        }

    def embedded(self, query: Query) -> Query:
        """*query* with its content embedded by the function of the column that it searches.

        Raises:
            EmbeddingError: It could not be embedded.
        """
        return self._embedded(query, Deadline(None))

    def output_schema(self, query: Query) -> pa.Schema:
        """The schema of the rows that `table` returns; content is not embedded for it."""
        if query.hybrid:
            query = complete(query)
            nearest, matching = map(self.output_schema, sides(query))
            return _only_asked(fused_schema(query, nearest, matching).empty_table(), query).schema
        plan = self._plan(self._with_ones(query), starts=False)
        return without_scores(plan.output_schema(self._dataset.output_schema(plan.scan)), query)

    def _rows(self, query: Query, deadline: Deadline) -> pa.Table:
        if query.hybrid:
            return self._hybrid_rows(complete(query), deadline)
        if query.reranker is None:
            return self._found(self._embedded(query, deadline))
        found = self._found(self._embedded(before_reranking(query), deadline))
        return _only_asked(sorted_by(reranked(found, query), query.order_by), query)

    def _hybrid_rows(self, query: Query, deadline: Deadline) -> pa.Table:
        """The rows of both sides, searched for at the same time in the same version."""
        query = self._embedded(query, deadline)
        _check_single(query, self._column(query))
        shown = self._on(self._dataset.frozen())
        by_vector, by_words = sides(query)
        with ThreadPoolExecutor(1, thread_name_prefix="lancelike-search") as pool:
            matching = pool.submit(copy_context().run, shown._rows, by_words, deadline)
            nearest = shown._rows(by_vector, deadline)
            return _only_asked(fused(query, nearest, matching.result()), query)

    def _on(self, dataset: Dataset) -> Searcher:
        """What searches the version that *dataset* shows."""
        return Searcher(dataset, self._given_bindings, self._vectors, self._drift, self._cache)

    def _plan(self, query: Query, *, starts: bool = True) -> SearchPlan:
        """How *query*, content embedded, is answered: the one place where a way is chosen.

        Args:
            query: What is asked.
            starts: Whether vectors may begin to be read for searches to come.
        """
        if query.full_text_query is not None:
            return self._plan_words(query, starts=starts)
        if query.vector is None:
            scan = plan_scan(query)
            lookup = None if self._cache is None else key_lookup(query, scan, self._dataset, self._cache)
            return SearchPlan(scan, hides_row_id=_hides_row_id(query, scan), memory=lookup)
        return self._plan_again(query, query.vector) or self._plan_nearest(query, query.vector, starts=starts)

    def _plan_words(self, query: Query, *, starts: bool) -> SearchPlan:
        indices = sorted(full_text_indices(self._dataset).values())
        scan = plan_scan(with_words(query, self._dataset))
        scan, why = among_live(scan, self._dataset, indices, reads=starts)
        return SearchPlan(
            scan,
            hides_row_id=_hides_row_id(query, scan),
            skipped=query.offset,
            by_score=query.order_by is None,
            why=why,
        )

    def _plan_again(self, query: Query, vector: NDArray[Any]) -> SearchPlan | None:
        """The plan of a query that asked alike of this version, for *vector*, if that one was answered in memory."""
        if self._cache is None:
            return None
        shown = self._dataset.frozen()
        way: PreparedSearch | None = facts_of(shown).ways.get(query.but_for_vector)
        if way is None or (held := self._cache.known(shown, way.column)) is None:
            return None
        query_vector(vector, way.column, way.query.distance_type)  # refuses what can't be searched for
        memory = memory_search(way, vector, shown, self._cache, held)
        return None if memory is None else SearchPlan.in_memory(memory)

    def _plan_nearest(self, query: Query, vector: NDArray[Any], *, starts: bool) -> SearchPlan:
        asked_alike = query.but_for_vector
        column = self._column(query)
        if query.reranker is not None:
            _check_single(query, column)
        shown = self._dataset.frozen()
        index = index_of(shown, column)
        asked = with_metric(query, index)
        tuning = tuning_of(shown, asked, column, index)
        query = with_refinement(with_effort(asked, tuning, "through_lance"), column, index)
        query_vector(vector, column, query.distance_type)  # refuses what can't be searched for
        reason = ""
        if self._cache is not None:
            by_partitions, tuned = with_effort(asked, tuning, "in_memory"), _tuned(tuning, "in_memory")
            way = prepare(by_partitions, query, shown, column, self._cache, why=tuned, starts=starts)
            if isinstance(way, PreparedSearch):
                memory = memory_search(way, vector, shown, self._cache, self._cache.known(shown, column))
                if memory is not None:
                    facts_of(shown).remember(asked_alike, way)
                    return SearchPlan.in_memory(memory)
            reason = way if isinstance(way, str) else "the query has values that float32 can't square"
        skipped = query.offset if is_batch(query, column) else 0
        query, below = with_bounds(query, column, index)
        scan = plan_scan(with_probes(query, self._dataset, column, index), column, query.distance_type)
        names = [] if index is None or query.bypass_vector_index else [index.name]
        scan, among = among_live(scan, self._dataset, names)
        why = (_why(scan, index, reason) if reason else "") + _tuned(tuning, "through_lance") + among
        return SearchPlan(scan, skipped_per_query=skipped, below=below, why=why)

    @property
    def _bindings(self) -> Bindings:
        given = self._given_bindings
        return given() if callable(given) else given

    def _found(self, query: Query) -> pa.Table:
        """The rows that answer *query*, content embedded."""
        if self._cache is not None and query.vector is not None:
            plan, read = _together.ask(self._dataset, partial(self._plan, query), _planned)
            return plan.finish(self._dataset.read(plan.scan) if read is None else read())
        fuzzy = fuzzy_search(query, self._dataset)
        if fuzzy is None:
            return self._read(self._plan(query))
        shown = self._on(fuzzy.dataset)
        return fuzzy.together([shown._read(shown._plan(part)) for part in fuzzy.parts])

    def _read(self, plan: SearchPlan) -> pa.Table:
        return plan.finish(plan.memory.read() if plan.memory else self._dataset.read(plan.scan))

    def _column(self, query: Query) -> VectorColumn:
        return target_column(query, facts_of(self._dataset), self._bindings if query.vector is None else ())

    def _embedded(self, query: Query, deadline: Deadline) -> Query:
        """*query* with its content embedded by the function of the column that it searches.

        Once more if the column was moved to another model meanwhile.
        """
        if query.content is None:
            return query
        while True:
            metadata = self._dataset.schema.metadata
            column = self._column(query)
            function = self._function(column)
            refuse_modality(query.content, column.name, self._bindings)
            if self._drift is not None:
                self._drift().check(function.ready(), column.name, writes=False)
            vector = self._embed(function, query.content, column, deadline)
            if self._dataset.schema.metadata == metadata:
                return replace(query, vector=vector, content=None, vector_column=column.name)

    def _embed(self, function: Any, content: Any, column: VectorColumn, deadline: Deadline) -> NDArray[Any]:
        try:
            if not _is_several(content):
                return self._vectors.of(function, content, deadline.remaining_s())
            if column.multivector:
                raise QueryError(
                    f"column {column.name!r} holds several vectors a row; search it for one thing at a time"
                )
            return np.stack(self._vectors.of_several(function, list(content), deadline.remaining_s()))
        except EmbeddingTimeoutError as error:
            if deadline.timeout_s is None:
                raise
            raise QueryTimeoutError(deadline.timeout_s) from error

    def _with_ones(self, query: Query) -> Query:
        """*query* with ones for what its content would become: plans don't depend on the values."""
        if query.content is None:
            return query
        column = self._column(query)
        shape = (len(query.content), column.ndims) if _is_several(query.content) else (column.ndims,)
        return replace(query, vector=np.ones(shape, np.float32), content=None, vector_column=column.name)

    def _function(self, column: VectorColumn) -> Any:
        for binding in self._bindings:
            if binding.vector_column == column.name:
                return binding.function
        raise QueryError(f"column {column.name!r} has no registered embedding function; search it with a vector")


def _why(scan: Scan, index: VectorIndex | None, reason: str) -> str:
    nearest = scan.nearest or {}
    through = "no index" if index is None or not nearest.get("use_index", True) else f"{index.name} ({index.kind})"
    settings = [f"{name}={nearest[name]}" for name in ("minimum_nprobes", "refine_factor", "ef") if name in nearest]
    return f"LanceSearch: {', '.join([through, *settings])}; not from memory: {reason}\n"


def _tuned(tuning: Tuning | None, way: Way) -> str:
    if tuning is None or (effort := tuning.effort(way)) is None:
        return ""
    found = f"{effort.recall:.3f} of the {tuning.k} nearest when tuned for {tuning.target_recall:g}"
    return f"Tuned: nprobes={effort.nprobes}, refine_factor={effort.refine_factor or 'default'} found {found}\n"


def _is_several(content: Any) -> bool:
    return isinstance(content, list | tuple)


def _hides_row_id(query: Query, scan: Scan) -> bool:
    return scan.with_row_id and not query.with_row_id and ROW_ID not in (query.columns or ())


def _check_single(query: Query, column: VectorColumn) -> None:
    """Refuse several queries where rows are reranked: their rows are not to be compared with each other."""
    if is_batch(query, column):
        raise QueryError("rows of several queries can't be reranked; search for one vector or text at a time")


def _only_asked(rows: pa.Table, query: Query) -> pa.Table:
    """*rows* without the columns that were read to rerank and sort them."""
    read = {ROW_ID} if not query.with_row_id else set()
    if query.columns:
        read |= {key.column_name for key in query.order_by or ()} - {RELEVANCE_SCORE}
    return rows.drop_columns([name for name in rows.column_names if name in read - set(query.columns or ())])


def _skip_per_query(rows: pa.Table, skipped: int) -> pa.Table:
    """*rows* without the first *skipped* of each query."""
    query_index = rows[QUERY_INDEX].to_numpy()
    order = np.argsort(query_index, kind="stable")
    ordered = query_index[order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return rows.filter(pa.array(rank >= skipped))


def _stream(reader: pa.RecordBatchReader, plan: SearchPlan, deadline: Deadline) -> pa.RecordBatchReader:
    if not plan.hides_row_id and deadline.timeout_s is None:
        return reader
    return pa.RecordBatchReader.from_batches(plan.output_schema(reader.schema), _finished(reader, plan, deadline))


def _finished(reader: pa.RecordBatchReader, plan: SearchPlan, deadline: Deadline) -> Iterator[pa.RecordBatch]:
    advance = partial(next, reader, None)
    while (batch := deadline.run(advance)) is not None:
        yield batch.drop_columns([ROW_ID]) if plan.hides_row_id else batch
