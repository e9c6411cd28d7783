"""The cheapest settings that find what is asked of the exact answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from lancelike.errors import QueryError
from lancelike.query.plan import DEFAULT_LIMIT, VectorColumn
from lancelike.search.recall import RecallReport, RecallTest
from lancelike.search.run import Searcher
from lancelike.search.target import REFINE_FACTORS, refinement
from lancelike.storage.held import HeldVectors
from lancelike.storage.index import VectorIndex
from lancelike.storage.tuning import Effort, Tuning

STEP = 8
"""nprobes are found to within one in so many: a finer step changes recall by less than another sample does."""
REFINEMENTS = (2, 5, 10, 20, 50)
"""Refine factors to choose from where an index holds coarse codes, or multivectors, for 10 rows or more."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Settings, and what searches found with them."""

    effort: Effort
    report: RecallReport


class Tuner:
    """Finds settings of one way to search.

    The share that the queries of one sample found decides, not the lower end of its interval; since the settings that
    just reach the target on a sample are flattered by it, they have to reach it on another one too, which is reported.

    Args:
        choosing: Queries to choose by.
        checking: Others, to be reported.
        target: Recall to reach.
        num_partitions: Of the index.
        refine_factors: To choose from, rising; None is the index's default.
    """

    def __init__(
        self,
        choosing: RecallTest,
        checking: RecallTest,
        *,
        target: float,
        num_partitions: int,
        refine_factors: Sequence[int | None],
    ) -> None:
        self._choosing, self._checking = choosing, checking
        self._target, self._most, self._refine_factors = target, num_partitions, refine_factors

    def cheapest(self) -> Tuned | None:
        """The fastest that reach the target; None if none do.

        Of the refine factors that can reach it the first two are compared: with more refinement, fewer partitions may
        do, and beyond that it only costs.
        """
        able = (factor for factor in self._refine_factors if self._reaches(self._choosing, self._most, factor))
        found = [tuned for factor, _ in zip(able, range(2), strict=False) if (tuned := self._with(factor)) is not None]
        return min(found, key=lambda tuned: tuned.report.p50_ms, default=None)

    def best(self) -> Tuned:
        """What finds most: every partition, refined as far as is offered."""
        return self._checked(self._most, self._refine_factors[-1])

    def _with(self, refine_factor: int | None) -> Tuned | None:
        """The fewest partitions that reach the target on both samples."""
        nprobes = self._fewest(refine_factor)
        while (tuned := self._checked(nprobes, refine_factor)).report.recall < self._target:
            if nprobes == self._most:
                return None
            nprobes = min(nprobes + max(1, nprobes // STEP), self._most)
        return tuned

    def _fewest(self, refine_factor: int | None) -> int:
        """The fewest partitions that reach the target where all of them do, to within a step."""
        low, high = 0, 1
        while high < self._most and not self._reaches(self._choosing, high, refine_factor):
            low, high = high, min(2 * high, self._most)
        while high - low > max(1, high // STEP):
            middle = (low + high) // 2
            if self._reaches(self._choosing, middle, refine_factor):
                high = middle
            else:
                low = middle
        return high

    def _reaches(self, test: RecallTest, nprobes: int, refine_factor: int | None) -> bool:
        return self._measured(test, nprobes, refine_factor).recall >= self._target

    def _checked(self, nprobes: int, refine_factor: int | None) -> Tuned:
        report = self._measured(self._checking, nprobes, refine_factor)
        return Tuned(Effort(nprobes, refine_factor, round(report.recall, 4)), report)

    def _measured(self, test: RecallTest, nprobes: int, refine_factor: int | None) -> RecallReport:
        return test.measure(minimum_nprobes=nprobes, maximum_nprobes=nprobes, refine_factor=refine_factor)


def find_tuning(
    choosing: RecallTest,
    checking: RecallTest,
    lance: Searcher,
    *,
    target: float,
    column: VectorColumn,
    index: VectorIndex,
    num_partitions: int,
    held: HeldVectors | None,
) -> tuple[Tuning, RecallReport]:
    """The cheapest settings of both ways to search, and what those of the way that searches go here found.

    Args:
        choosing: Queries to choose by, asked of the searcher in use.
        checking: Others, to be reported.
        lance: Searches the same version with no vectors in memory.
        target: Recall to reach.
        column: Searched.
        index: On it.
        num_partitions: Its partitions.
        held: The vectors in memory, which searches here go by; None: they go through Lance.

    Raises:
        QueryError: Searches here go through Lance, and no settings reach *target*.
    """
    common: dict[str, Any] = {"target": target, "num_partitions": num_partitions}
    factors = _refine_factors(index.kind, choosing.k, column)
    tuner = Tuner(choosing.through(lance), checking.through(lance), refine_factors=factors, **common)
    by_lance = tuner.cheapest()
    if by_lance is None:
        by_lance = tuner.best()
        if held is None:
            raise _not_reached(index.name, target, by_lance)
    in_memory = None
    if held is not None and held.partitions is not None:
        in_memory = Tuner(choosing, checking, refine_factors=(None,), **common).cheapest()
    tuning = Tuning(
        index=index.name,
        index_type=index.kind,
        num_partitions=num_partitions,
        k=by_lance.report.k,
        target_recall=target,
        in_memory=in_memory.effort if in_memory else None,
        through_lance=by_lance.effort,
    )
    if held is None:
        return tuning, by_lance.report
    return tuning, in_memory.report if in_memory else checking.measure()


def _refine_factors(index_type: str, k: int, column: VectorColumn) -> Sequence[int | None]:
    """Refine factors to choose from for searches of *column* for *k* rows through Lance's index of that type."""
    coarse = index_type in REFINE_FACTORS or column.multivector
    if index_type.endswith("FLAT") and not coarse:
        return (None,)
    factors = [refinement(factor, DEFAULT_LIMIT, k) for factor in (REFINEMENTS if coarse else REFINEMENTS[:2])]
    return factors if coarse else (None, *factors)


def check_target(target_recall: float) -> None:
    """See that *target_recall* is a share.

    Raises:
        QueryError: It isn't.
    """
    if not (isinstance(target_recall, Real) and 0 < target_recall <= 1):
        raise QueryError(f"a recall is above 0 and at most 1; target_recall is {target_recall!r}")


def _not_reached(index: str, target: float, best: Tuned) -> QueryError:
    """What to say where no setting of *index* reaches *target*."""
    report, factor = best.report, best.effort.refine_factor
    refined = "" if factor is None else f" and refine_factor={factor}"
    return QueryError(
        f"index {index!r} finds {report.recall:.3f} of the {report.k} nearest ({report.low:.3f} to {report.high:.3f}) "
        f"with every partition{refined}, not {target:g}: build an index with finer codes (IvfSq, IvfFlat, more "
        "num_sub_vectors), or search with bypass_vector_index(), which finds all; nothing was stored"
    )
