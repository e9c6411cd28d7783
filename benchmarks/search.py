"""What a search costs over the call of Lance's that answers it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import lancelike
from benchmarks.contestants import CONTESTANTS, NPROBES, Contestant, K
from benchmarks.data import NDIMS, ROWS_PER_CLUSTER, SCHEMA, SPREAD, Clustered, as_arrow, clustered
from benchmarks.report import Goal, Section, Table, ms, ratio, say
from benchmarks.scale import Scale
from benchmarks.timing import Times, interleave
from lancelike.index import IvfPq

MOST_OVERHEAD = 1.15
ROWS_PER_PARTITION = 1_000
SUB_VECTORS = 48


def run(scale: Scale) -> Section:
    tables, goals = [], []
    for rows in scale.search_rows:
        data = clustered(rows, scale.queries)
        kth = data.kth_distances(K)
        for refine, kind in ((None, "no index"), (None, "IVF_PQ"), (10, "IVF_PQ, refine_factor 10")):
            title = f"{rows:,} rows, {kind}"
            say(f"search: {title}")
            folder = make_table(scale.folder / f"search-{rows}", data, indexed=kind != "no index")
            contestants = [opened(each, folder) for each in CONTESTANTS]
            times, recalls = measure(contestants, data, kth, refine, scale.passes)
            tables.append(as_table(title, times, recalls))
            goals += goals_of(title, times)
    return Section("Search: what it costs over Lance", text(scale), tables, goals)


def text(scale: Scale) -> str:
    return (
        f"`table.search(v).limit({K}).to_arrow()` of lancelike and of lancedb, and pylance's "
        "`dataset.scanner(nearest=...).to_table()` with the arguments that lancelike gives it. All three read the same "
        f"files and the same index (IVF_PQ, a partition per {ROWS_PER_PARTITION:,} rows, {SUB_VECTORS} sub-vectors), "
        f"and return all columns, vectors included. k={K}, nprobes={NPROBES}, l2. lancelike answers from vectors in "
        "memory, read before the first search that is timed.\n\n"
        f"Data: {NDIMS} float32, normal clusters of {ROWS_PER_CLUSTER} rows with standard deviation {SPREAD} around "
        f"centres of standard deviation 1, and {scale.queries} queries drawn alike, each asked {scale.passes} times. "
        f"Recall@{K} is against an exact scan in float64 and counts ties by distance."
    )


def make_table(folder: Path, data: Clustered, *, indexed: bool) -> Path:
    """The database folder with *data* in its table `rows`, with or without the index."""
    database = lancelike.connect(folder)
    if "rows" not in database:
        database.create_table("rows", as_arrow(data.vectors), schema=SCHEMA)
    table = database.open_table("rows")
    if indexed and not table.list_indices():
        partitions = max(1, len(table) // ROWS_PER_PARTITION)
        settings = IvfPq(num_partitions=partitions, num_sub_vectors=SUB_VECTORS, max_iterations=10, sample_rate=64)
        table.create_index("vector", config=settings)
    return folder


def opened(contestant: type[Contestant], folder: Path) -> Contestant:
    each = contestant(folder)
    each.open()
    return each


def measure(
    contestants: list[Contestant], data: Clustered, kth: NDArray[np.float64], refine: int | None, passes: int
) -> tuple[dict[str, Times], dict[str, float]]:
    def asking(contestant: Contestant, query: int) -> Callable[[], pa.Table]:
        return partial(contestant.search, data.queries[query], refine)

    recalls = {each.name: mean_recall([asking(each, q)() for q in range(len(kth))], data, kth) for each in contestants}
    prepared = {each.name: partial(asking, each) for each in contestants}
    return interleave(prepared, jobs=len(kth), passes=passes), recalls


def mean_recall(answers: list[pa.Table], data: Clustered, kth: NDArray[np.float64]) -> float:
    found = [data.recall(q, answer["id"].to_numpy(), kth[q]) for q, answer in enumerate(answers)]
    return float(np.mean(found))


def as_table(title: str, times: dict[str, Times], recalls: dict[str, float]) -> Table:
    header = ["", "best ms", "p50 ms", "p95 ms", "ratio to pylance", "ratio to lancedb", f"recall@{K}"]
    rows = [
        [
            name,
            *(ms(each.best_s), ms(each.percentile_s(50)), ms(each.percentile_s(95))),
            *(ratio(each.ratio(times[to]), each.ratio_of_best(times[to])) for to in ("pylance", "lancedb")),
            f"{recalls[name]:.3f}",
        ]
        for name, each in times.items()
    ]
    return Table(title, [header, *rows])


def goals_of(title: str, times: dict[str, Times]) -> list[Goal]:
    ours = times["lancelike"]
    raw, lancedb = ours.ratio(times["pylance"]), ours.ratio(times["lancedb"])
    return [
        Goal(f"search, {title}: time over pylance's", f"≤ {MOST_OVERHEAD}", f"{raw:.2f}", raw <= MOST_OVERHEAD),
        Goal(f"search, {title}: time over lancedb's", "< 1", f"{lancedb:.2f}", lancedb < 1),
    ]
