"""How much of the exact answer searches find: measured on held-out queries, with an interval."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.errors import QueryError
from lancelike.query.builder import whole_number
from lancelike.query.plan import DISTANCE, ROW_ID, VectorColumn
from lancelike.query.predicates import quote_identifier
from lancelike.query.query import Query, sought
from lancelike.search.exact import exact_distances
from lancelike.search.run import Searcher
from lancelike.storage.dataset import Dataset
from lancelike.types import DistanceType

Z = 1.959964
"""Quantile of the normal distribution for 95%."""
SAME_DISTANCE = 1e-6
"""Relative difference of distances that float32 does not tell apart after a sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallReport:
    """How much of the exact answer searches find.

    Attributes:
        k: Rows asked for.
        recall: Share of the k exact rows that were found, mean over the queries; a row as near as the k-th counts.
        low: Lower end of the 95% interval around it, which is that of the queries drawn: others may be harder.
        high: Upper end.
        p50_ms: Median time of a search that returns ids and distances, in ms; vectors in memory if they fit.
        queries: How many were asked.
        settings: What the searches used: `index` and `index_type` (None without one), `distance_type`, `in_memory`,
            `nprobes` and `refine_factor` (None: chosen for each search, or of no effect).
    """

    k: int
    recall: float
    low: float
    high: float
    p50_ms: float
    queries: int
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """A query, and what the exact scan answers.

    Attributes:
        vector: As `Query.vector`, for one query.
        row_id: The row that the vector was taken from, which no answer counts; None: from none.
        truth: Row ids of the k nearest, nearest first.
    """

    vector: NDArray[Any]
    row_id: int | None
    truth: NDArray[np.uint64]


class RecallTest:
    """Held-out queries of one column with their exact answers, to be asked with one setting after another.

    Args:
        dataset: A handle that stays at its version.
        searcher: Searches *dataset*.
        column: Searched.
        k: Rows asked for.

    Attributes:
        k: As given.
    """

    def __init__(self, dataset: Dataset, searcher: Searcher, column: VectorColumn, k: int) -> None:
        k = whole_number("k", k)
        if k < 1:
            raise QueryError(f"recall@k is of at least 1 row, not of {k}")
        self._dataset, self._searcher, self._column, self.k = dataset, searcher, column, k
        self._held_out: list[HeldOut] = []

    def draw(self, sample: int, seed: int) -> None:
        """Hold out *sample* rows with a vector, all if there are fewer; the same ones for the same *seed*."""
        sample = whole_number("sample", sample)
        if sample < 1:
            raise QueryError(f"recall is measured on at least 1 query, not on {sample}")
        for row_id, value in _sampled(self._dataset, self._column, sample, seed):
            self._hold_out(sought(value)["vector"], row_id)
        if not self._held_out:
            raise QueryError(f"column {self._column.name!r} of table {self._dataset.name!r} has no vector to search by")

    def take(self, queries: Any) -> None:
        """Ask *queries*: vectors, or what the column's function embeds."""
        for vector in self._vectors(queries):
            self._hold_out(vector, None)

    def through(self, searcher: Searcher) -> RecallTest:
        """The same queries, asked of another searcher of the same version."""
        other = RecallTest(self._dataset, searcher, self._column, self.k)
        other._held_out = self._held_out
        return other

    def measure(self, **settings: Any) -> RecallReport:
        """Recall of searches with *settings*, fields of a `Query`; none: as searches are made that say nothing."""
        used = self._searcher.settings(self._query(self._held_out[0], 0, **settings))
        if used["refine_factor"]:
            settings["refine_factor"] = used["refine_factor"]
        self._answer(self._held_out[0], **settings)
        found, times = [], []
        for each in self._held_out:
            started = time.perf_counter()
            answer = self._answer(each, **settings)
            times.append(time.perf_counter() - started)
            found.append(self._hits(each, answer) / self.k)
        recalls = np.array(found)
        low, high = recall_interval(recalls, self.k)
        return RecallReport(
            k=self.k,
            recall=float(recalls.mean()),
            low=low,
            high=high,
            p50_ms=1e3 * float(np.median(times)),
            queries=len(recalls),
            settings=used,
        )

    def _vectors(self, queries: Any) -> Sequence[NDArray[Any]]:
        if not self._column.multivector:
            asked = sought(queries)
            query = self._searcher.embedded(Query(vector_column=self._column.name, **asked))
            return np.atleast_2d(np.asarray(query.vector))  # type: ignore[return-value]  # rows of an array
        asked_each = [Query(vector_column=self._column.name, **sought(query)) for query in queries]
        return [np.asarray(self._searcher.embedded(query).vector) for query in asked_each]

    def _hold_out(self, vector: NDArray[Any], row_id: int | None) -> None:
        held_out = HeldOut(vector, row_id, np.empty(0, np.uint64))
        truth = self._answer(held_out, bypass_vector_index=True)
        if len(truth) < self.k:
            others = "" if row_id is None else " beside the one searched by"
            raise QueryError(
                f"recall@{self.k} needs {self.k} rows with a vector{others}; "
                f"column {self._column.name!r} has {len(truth)}: give a smaller k"
            )
        self._held_out.append(HeldOut(vector, row_id, truth))

    def _query(self, held_out: HeldOut, more: int, **settings: Any) -> Query:
        return Query(
            vector=held_out.vector,
            vector_column=self._column.name,
            columns=(DISTANCE,),
            limit=self.k + more,
            with_row_id=True,
            **settings,
        )

    def _answer(self, held_out: HeldOut, **settings: Any) -> NDArray[np.uint64]:
        """Ids of the k rows found, nearest first, without the row that is searched by."""
        more = int(held_out.row_id is not None)
        if more and (factor := settings.get("refine_factor")):  # that row is one more candidate, not a factor of them
            settings["refine_factor"] = max(1, round((self.k * factor + 1) / (self.k + 1)))
        found: NDArray[np.uint64] = self._searcher.table(self._query(held_out, more, **settings))[ROW_ID].to_numpy()
        return found if held_out.row_id is None else found[found != held_out.row_id][: self.k]

    def _hits(self, held_out: HeldOut, found: NDArray[np.uint64]) -> int:
        others = found[~np.isin(found, held_out.truth)]
        return len(found) - len(others) + (self._as_near(held_out, others) if len(others) else 0)

    def _as_near(self, held_out: HeldOut, row_ids: NDArray[np.uint64]) -> int:
        """How many of *row_ids* are as near as the k-th of the exact answer."""
        ids = [int(held_out.truth[-1]), *map(int, row_ids)]
        values = self._dataset.take_row_ids(ids, {"value": _path(self._column)})["value"].to_pylist()
        metric: DistanceType = self._searcher.settings(self._query(held_out, 0))["distance_type"]
        farthest, *others = (_distance(np.asarray(value), held_out.vector, metric) for value in values)
        return sum(each <= farthest + SAME_DISTANCE * abs(farthest) for each in others)


def recall_interval(recalls: NDArray[np.float64], k: int) -> tuple[float, float]:
    """The 95% interval of a mean recall@k.

    Wilson's score interval (Wilson 1927) over an effective sample size (Korn and Graubard 1998, for shares in samples
    of clusters): the k rows of one query are found or missed together, so that m queries say as much as between m and
    m k independent rows. The size is p (1 - p) over the variance of the mean, which is seen between queries; where all
    rows or none were found, nothing is seen of it, and m is taken.

    Args:
        recalls: Share of the k rows found, of each query.
        k: Rows asked for.
    """
    queries, mean = len(recalls), float(recalls.mean())
    variance = float(recalls.var(ddof=1)) / queries if queries > 1 else math.inf
    spread = mean * (1 - mean)
    most = float(queries * k)
    size = float(queries)
    if spread > 0:
        size = min(max(spread / variance if variance else most, size), most)
    centre = (mean + Z**2 / (2 * size)) / (1 + Z**2 / size)
    half = Z / (1 + Z**2 / size) * math.sqrt(spread / size + Z**2 / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _sampled(dataset: Dataset, column: VectorColumn, sample: int, seed: int) -> list[tuple[int, list[Any]]]:
    """Row id and value of *sample* rows that have a vector with a direction."""
    rng, num_rows = np.random.default_rng(seed), dataset.count_rows()
    size = min(2 * sample, num_rows)
    while True:
        offsets = rng.choice(num_rows, size, replace=False) if size else np.empty(0, np.int64)
        rows = dataset.take(offsets.tolist(), {ROW_ID: ROW_ID, "value": _path(column)})
        pairs = zip(rows[ROW_ID].to_pylist(), rows["value"].to_pylist(), strict=True)
        usable = [(row_id, value) for row_id, value in pairs if _is_usable(value)][:sample]
        if len(usable) == sample or size == num_rows:
            return usable
        size = min(4 * size, num_rows)


def _path(column: VectorColumn) -> str:
    """The column as SQL names it."""
    return ".".join(map(quote_identifier, column.name.split(".")))


def _is_usable(value: list[Any] | None) -> bool:
    """Whether a search by *value* has an answer by any metric."""
    if not value or None in value:
        return False
    vector = np.asarray(value, np.float64)
    return bool(np.isfinite(vector).all() and vector.any(axis=-1).all())


def _distance(value: NDArray[Any], query: NDArray[Any], metric: DistanceType) -> float:
    """Distance of one row's *value*; of several vectors, the sum over the query's of each one's least."""
    if query.ndim == 2:
        return sum(min(_distance(part, one, metric) for part in value) for one in query)
    if metric == "hamming":
        return float(np.unpackbits(value.astype(np.uint8) ^ query.astype(np.uint8)).sum())
    with np.errstate(divide="ignore", invalid="ignore"):  # a vector of zeros has no direction
        return float(exact_distances(value.astype(np.float64)[np.newaxis], query, metric)[0])


def recall_test(
    dataset: Dataset,
    searcher: Searcher,
    column: VectorColumn,
    *,
    k: int,
    sample: int,
    queries: Any,
    seed: int,
) -> RecallTest:
    """Held-out queries of *column*: *queries* if they are given, else *sample* rows drawn by *seed*."""
    test = RecallTest(dataset, searcher, column, k)
    if queries is None:
        test.draw(sample, seed)
    else:
        test.take(queries)
    return test
