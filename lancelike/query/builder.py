"""Queries built step by step, and run through whatever `SearchRunner` they are given."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import pyarrow as pa

from lancelike.errors import QueryError
from lancelike.query import results
from lancelike.query.predicates import Expression, all_of, sql_of
from lancelike.query.query import Projection, Query
from lancelike.types import BlobMode

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from lancelike.query.ordering import ColumnOrdering


class SearchRunner(Protocol):
    """Runs queries against one table."""

    def table(self, query: Query, timeout_s: float | None = None) -> pa.Table:
        """Every row that answers *query*."""

    def answer(self, query: Query, timeout_s: float | None = None) -> results.Answer:
        """The same rows, with what reads their blobs."""

    def batches(
        self, query: Query, batch_size: int | None = None, timeout_s: float | None = None
    ) -> pa.RecordBatchReader:
        """The same rows, at most *batch_size* at a time."""

    def explain(self, query: Query, verbose: bool = False) -> str:
        """The plan that would answer *query*."""

    def analyze(self, query: Query) -> str:
        """The plan with what each of its steps cost in a run."""

    def output_schema(self, query: Query) -> pa.Schema:
        """The schema that the rows will have."""


class QueryBuilder:
    """A query and the methods that refine it.

    Each method replaces the builder's own immutable `Query` and returns the builder, so that a call whose result is
    dropped, as in `q.where("price < 10")`, still counts. `to_query_object` gives the value; no later call changes it.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._filters = [] if query.filter is None else [query.filter]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._query!r})"

    def _with(self, **changes: Any) -> Self:
        self._query = self._query.with_(**changes)
        return self

    def to_query_object(self) -> Query:
        """What has been asked so far."""
        return self._query

    def where(self, where: Expression | None, prefilter: bool = True) -> Self:
        """Keep the rows where *where* is true; several filters must all hold.

        Args:
            where: A SQL condition, or an object whose `to_sql` gives one; None adds nothing.
            prefilter: True: rows are filtered before the nearest are chosen, so a full `limit` of them come back if
                there are so many. False: the nearest are chosen first and then filtered, so fewer may be left. The
                last call decides for all filters.
        """
        if where is None:
            return self
        self._filters.append(sql_of(where))
        return self._with(filter=all_of(self._filters), postfilter=not prefilter)

    def select(self, columns: Sequence[str] | Mapping[str, Expression] | None) -> Self:
        """Return only these columns, and `_distance`, `_score` or `_relevance_score` where there is one.

        Args:
            columns: Names in the order wanted, or output names with the SQL that makes each. None or nothing in it:
                every column.

        Raises:
            QueryError: *columns* is neither.
        """
        return self._with(columns=projection(columns))

    def limit(self, limit: int | None) -> Self:
        """Return at most *limit* rows; None or a number below 1: all of them."""
        return self._with(limit=rows_or_none("limit", limit))

    def offset(self, offset: int | None) -> Self:
        """Leave out the first *offset* rows, of each query when there are several; None or a number below 1: none."""
        return self._with(offset=rows_or_none("offset", offset) or 0)

    def with_row_id(self, with_row_id: bool = True) -> Self:
        """Return the rows' ids too, as `_rowid`."""
        return self._with(with_row_id=with_row_id)

    def with_row_address(self, with_row_address: bool = True) -> Self:
        """Return the rows' addresses too, as `_rowaddr`: the fragment's id in the upper 32 bits, then the offset."""
        return self._with(with_row_address=with_row_address)

    def fragment_ids(self, fragment_ids: Iterable[int] | None) -> Self:
        """Look only at the fragments with these ids; None: at all."""
        return self._with(fragments=None if fragment_ids is None else tuple(fragment_ids))

    def with_fragments(self, fragments: Iterable[Any] | None) -> Self:
        """Look only at these fragments, given as Lance's objects or their ids; None: at all."""
        if fragments is None:
            return self.fragment_ids(None)
        return self.fragment_ids(getattr(fragment, "fragment_id", fragment) for fragment in fragments)

    def order_by(self, ordering: Iterable[ColumnOrdering | Mapping[str, Any]] | None) -> Self:
        """Sort the rows by these columns, the first of them first; None: the order they come in.

        A search still returns the nearest or best rows, but in this order.
        """
        if not ordering:
            return self._with(order_by=None)
        from lancelike.query.ordering import ColumnOrdering  # of pydantic, which takes 40 ms to import

        keys = tuple(ColumnOrdering.model_validate(key) for key in ordering)
        return self._with(order_by=keys or None)


class RowsBuilder(ABC):
    """Rows that `to_arrow` reads, in the forms that people want them in."""

    @abstractmethod
    def to_arrow(self, *, timeout: timedelta | None = None) -> pa.Table:
        """The rows as one Arrow table."""

    @abstractmethod
    def _answer(self, timeout: timedelta | None) -> results.Answer:
        """The rows, with what reads their blobs."""

    def to_list(self, *, timeout: timedelta | None = None) -> list[dict[str, Any]]:
        """The rows as dicts; errors are those of `to_arrow`.

        An image or sound that is stored as a blob is an `Image` or `Audio`, read when it is asked for its content.
        """
        return results.to_list(self._answer(timeout))

    def to_pydantic(self, model: type[results.ModelT], *, timeout: timedelta | None = None) -> list[results.ModelT]:
        """The rows as instances of *model*, without `_distance` and other columns that it doesn't declare.

        A field declared `Image` or `Audio` is decoded when its content is asked for, and read then if it is a blob.

        Raises:
            pydantic.ValidationError: A column that *model* requires wasn't selected.
        """
        return results.to_models(self._answer(timeout), model)

    def to_pandas(
        self,
        flatten: bool | int | None = None,
        *,
        blob_mode: BlobMode = "lazy",
        timeout: timedelta | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """The rows as a pandas data frame.

        Args:
            flatten: True makes every nested field a column `outer.inner`, a number so many levels of them.
            blob_mode: What blobs are, also those within structs: `"lazy"`, files that read what is read of them;
                `"descriptions"`, dicts of where Lance keeps them.
            timeout: As in `to_arrow`.
            options: For `pyarrow.Table.to_pandas`.
        """
        return results.to_pandas(self._answer(timeout), flatten, blob_mode, **options)

    def to_df(self) -> pd.DataFrame:
        """The rows as a pandas data frame; an old name of `to_pandas`."""
        warnings.warn("to_df is deprecated, use to_pandas", DeprecationWarning, stacklevel=2)
        return self.to_pandas()

    def to_polars(self, *, timeout: timedelta | None = None) -> pl.DataFrame:
        """The rows as a polars data frame."""
        return results.to_polars(self.to_arrow(timeout=timeout))


class LanceQueryBuilder(QueryBuilder, RowsBuilder):
    """A query that runs when one of its `to_` methods is called, each time anew."""

    def __init__(self, runner: SearchRunner, query: Query) -> None:
        super().__init__(query)
        self._runner = runner

    def to_arrow(self, *, timeout: timedelta | None = None) -> pa.Table:
        """The rows as one Arrow table.

        Args:
            timeout: The longest to wait, for embedding the query and for the scan together.

        Raises:
            QueryError: The query does not fit the table.
            ColumnNotFoundError: It names a column that the table doesn't have.
            EmbeddingError: What was asked could not be embedded.
            QueryTimeoutError: It took longer than *timeout*.
        """
        return self._runner.table(self._query, seconds(timeout))

    def _answer(self, timeout: timedelta | None) -> results.Answer:
        return self._runner.answer(self._query, seconds(timeout))

    def to_batches(self, /, batch_size: int | None = None, *, timeout: timedelta | None = None) -> pa.RecordBatchReader:
        """The rows as they are read, at most *batch_size* at a time; errors are those of `to_arrow`."""
        if batch_size is not None:
            at_least_one("batch_size", batch_size)
        return self._runner.batches(self._query, batch_size, seconds(timeout))

    def explain_plan(self, verbose: bool | None = False) -> str:
        """The plan that would run; nothing is embedded or read."""
        return self._runner.explain(self._query, bool(verbose))

    def analyze_plan(self) -> str:
        """The plan with rows, bytes and time of each step; runs the query."""
        return self._runner.analyze(self._query)

    def output_schema(self) -> pa.Schema:
        """The schema that the rows will have; nothing is embedded or read."""
        return self._runner.output_schema(self._query)


class LanceEmptyQueryBuilder(LanceQueryBuilder):
    """A scan: every row that passes the filter, in the table's order."""


def projection(columns: Iterable[str] | Mapping[str, Expression] | None) -> Projection | None:
    """What `select` was given, as queries hold it.

    Raises:
        QueryError: *columns* are neither names nor expressions by name.
    """
    if isinstance(columns, Mapping):
        return {name: sql_of(expression) for name, expression in columns.items()} or None
    if columns is not None and (isinstance(columns, str) or not isinstance(columns, Iterable)):
        raise QueryError(f"columns must be a list or a dictionary, got {columns!r}")
    return list(columns or ()) or None


def seconds(timeout: timedelta | None) -> float | None:
    """*timeout* in seconds."""
    return None if timeout is None else timeout.total_seconds()


def whole_number(name: str, value: Any) -> int:
    """*value* of *name* as an int; 3.0 is one, `"3"` and 2.5 are none."""
    if type(value) is int:
        return value
    if isinstance(value, Integral) or (isinstance(value, float | np.floating) and value.is_integer()):
        return int(value)
    raise QueryError(f"{name} must be a whole number, got {value!r}")


def rows_or_none(name: str, value: Any) -> int | None:
    """*value* of *name*, a number of rows; None stays None, and a number below 1 is None."""
    return None if value is None else max(0, whole_number(name, value)) or None


def at_least_one(name: str, value: Any) -> int:
    """*value* of *name*, a whole number from 1 on."""
    number = whole_number(name, value)
    if number < 1:
        raise QueryError(f"{name} must be greater than 0, got {value}")
    return number
