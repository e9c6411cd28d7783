"""Ways to search in memory: what is asked, but for the vectors, found out once for all who ask alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.query.plan import (
    DISTANCE,
    QUERY_INDEX,
    ROW_ID,
    Scan,
    VectorColumn,
    is_batch,
    plan_scan,
    rows_wanted,
)
from lancelike.query.query import Projection, Query
from lancelike.search.pruned import Probes
from lancelike.search.target import facts_of
from lancelike.storage.dataset import Dataset
from lancelike.storage.memory import VectorCache
from lancelike.types import DistanceType

MOST_ROWS = 10_000
"""Rows in an answer; Lance, which reads more of them by scanning than by id, answers the rest."""
ROW_ADDRESS = "_rowaddr"
OURS = (DISTANCE, QUERY_INDEX, ROW_ID, ROW_ADDRESS)
"""Columns of an answer that the search makes."""
_MADE_BY_SEARCH = re.compile(rf"\b({DISTANCE}|{QUERY_INDEX}|_row\w+)\b", re.IGNORECASE)
"""Columns that an expression can't be given where rows are read by id."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedSearch:
    """A search in memory but for its vectors: one of these serves all queries that ask alike of a version of a table.

    Attributes:
        column: Searched.
        metric: Ranked by.
        query: What is asked; its vector is another's.
        through_lance: The same, with the effort that it takes through Lance's index.
        probes: Partitions of the column's index to look into; None: compare with every vector.
        is_batch: Whether several are asked for at once, each with rows of its own.
        why: What the settings are tuned for.
    """

    column: VectorColumn
    metric: DistanceType
    query: Query
    through_lance: Query
    probes: Probes | None
    is_batch: bool
    why: str

    def scan(self, vector: NDArray[Any]) -> Scan:
        """Lance's way to the rows that are nearest to *vector*."""
        query = self.through_lance
        return plan_scan(query.with_(vector=vector), self.column, query.distance_type)


def prepare(
    query: Query,
    through_lance: Query,
    dataset: Dataset,
    column: VectorColumn,
    cache: VectorCache,
    *,
    why: str = "",
    starts: bool = True,
) -> PreparedSearch | str:
    """How the rows that Lance's scan gives, or as near ones, are found in memory; or why they aren't.

    Args:
        query: What is asked.
        through_lance: The same, with the effort that it takes through Lance's index, or past it.
        dataset: Where.
        column: Searched.
        cache: Holds vectors.
        why: What the settings are tuned for.
        starts: Let the cache begin to read vectors that it takes long to read.
    """
    frozen, vector = dataset.frozen(), query.vector
    metric = query.distance_type or ("hamming" if column.is_of_bytes else "l2")
    if (metric == "hamming") != column.is_of_bytes or not _is_covered(query, facts_of(frozen).names):
        return "the query asks what only Lance's scan does"
    is_held = cache.known(frozen, column) is not None
    if not is_held and (reason := cache.refusal(frozen, column)) is not None:
        return reason
    of_several = is_batch(query, column)
    if rows_wanted(query) * (len(vector) if of_several and vector is not None else 1) > MOST_ROWS:
        return "the answer has many rows"
    may_wait = is_held or query.bypass_vector_index
    if not may_wait and (reason := cache.delay(frozen, column, starts=starts)) is not None:
        return reason
    is_past_index = query.bypass_vector_index or column.multivector or metric == "hamming"
    probes = None if is_past_index else Probes.of(query)
    return PreparedSearch(
        column=column,
        metric=metric,
        query=query.with_(vector=None),
        through_lance=through_lance.with_(vector=None),
        probes=probes,
        is_batch=of_several,
        why=why,
    )


def query_vectors(vector: NDArray[Any], column: VectorColumn) -> NDArray[Any]:
    """*vector* as the column's type has it, shape (m, ndims); those of float16 as float32."""
    vectors = vector[np.newaxis] if vector.ndim == 1 else vector
    if vectors.dtype != column.dtype:
        with np.errstate(over="ignore"):
            vectors = vectors.astype(column.dtype)
    return np.ascontiguousarray(vectors, np.float32 if vectors.dtype == np.float16 else None)


def _is_covered(query: Query, names: Sequence[str]) -> bool:
    """Whether rows read by id have all that is asked of them, and nothing is asked that Lance does meanwhile."""
    if query.fragments is not None or query.order_by is not None:
        return False
    if query.filter is not None and re.search(rf"\b({DISTANCE}|{QUERY_INDEX})\b", query.filter):
        return False
    return _can_be_taken(query.columns, set(names))


def _can_be_taken(columns: Projection | None, names: set[str]) -> bool:
    if isinstance(columns, Mapping):
        return all(
            (name, expression) == (DISTANCE, DISTANCE) or (name not in OURS and not _MADE_BY_SEARCH.search(expression))
            for name, expression in columns.items()
        )
    return names.isdisjoint(OURS) and all(name in names or name in OURS for name in columns or ())
