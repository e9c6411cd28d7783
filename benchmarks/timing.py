"""Timing that bears a noisy machine: contestants take turns at each job, and are compared within the turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Prepare: TypeAlias = Callable[[int], Callable[[], object]]
"""From the number of a job to the call that is timed; what it does itself is not."""


class Elsewhere(float):
    """Seconds that another process took for what it was asked: a call that returns these took as long as they say."""


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Seconds that a contestant took, shape (passes, jobs)."""

    seconds: NDArray[np.float64]

    def job(self, number: int) -> Times:
        """Those of one job."""
        return Times(self.seconds[:, number : number + 1])

    @property
    def best_s(self) -> float:
        """The fastest pass of each job; the median of these over the jobs."""
        return float(np.median(self.seconds.min(axis=0)))

    def percentile_s(self, percent: float) -> float:
        """A percentile over all passes and jobs."""
        return float(np.percentile(self.seconds, percent))

    def ratio(self, other: Times) -> float:
        """Median over all turns of this one's time over that of *other* in the same turn."""
        return float(np.median(self.seconds / other.seconds))

    def ratio_of_best(self, other: Times) -> float:
        """Median over the jobs of this one's fastest pass over that of *other*."""
        return float(np.median(self.seconds.min(axis=0) / other.seconds.min(axis=0)))


def interleave(
    contestants: Mapping[str, Prepare], *, jobs: int = 1, passes: int = 1, in_a_row: bool = False
) -> dict[str, Times]:
    """Time every contestant at every job, one turn after the other; who begins changes from turn to turn.

    Args:
        contestants: What prepares each one's call, by its name.
        jobs: What is to be done in a pass.
        passes: How often.
        in_a_row: Let each do all jobs of a pass in its turn, and not one: only the first of them then finds a
            processor's caches as the others left them.
    """
    names = list(contestants)
    seconds = {name: np.empty((passes, jobs)) for name in names}
    gc.collect()
    gc.freeze()  # the data is alive for the whole run: no collection should walk through it
    for turn in range(passes if in_a_row else passes * jobs):
        number, job = (turn, 0) if in_a_row else divmod(turn, jobs)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            for each in range(jobs) if in_a_row else (job,):
                seconds[name][number, each] = _seconds_of(contestants[name](each))
    gc.unfreeze()
    return {name: Times(each) for name, each in seconds.items()}


def _seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    answer = call()
    took = time.perf_counter() - start
    return answer if isinstance(answer, Elsewhere) else took
