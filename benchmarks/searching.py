"""Searches by vector, of the goals: with no index, and through those that are built with no settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import lancelike
from benchmarks.chroma import ChromaProcess
from benchmarks.contestants import K
from benchmarks.data import Clustered, as_arrow, clustered
from benchmarks.elsewhere import Approximate, ChromaRows, Numpy, approximate, build_faiss_pq, exact, missing, reach
from benchmarks.growth import Resident
from benchmarks.held import memory_of_searches
from benchmarks.indexed import BATCH, CALLERS, CALLS, NEW_SHARE, crowd
from benchmarks.lines import LIBRARIES, Line, asked_both_ways, calls, filled, folder_of, found, timed, timed_cold
from benchmarks.scale import Scale, fresh_folder
from benchmarks.search import mean_recall
from benchmarks.sentences import MODEL, real_sentences, sentence_vectors

SCAN_GOALS = {200_000: 15.0, 50_000: 4.0, 10_000: 1.0, 1_000: 0.6}
"""Milliseconds, by rows."""
MOST_SCANNED = 20
"""Different queries of the scans."""
PROBES, REFINE = 20, 10
CLUSTERED_RECALL, REAL_RECALL = 0.95, 0.98


@dataclass(frozen=True, slots=True)
class Asked:
    """A table, asked as the others are."""

    name: str
    table: Any

    def search(self, vectors: NDArray[np.float32]) -> pa.Table:
        return found(self.table, vectors)

    def add(self, rows: pa.Table) -> None:
        self.table.add(rows)


def scans(scale: Scale, _: ChromaProcess | None) -> Iterator[Line]:
    most = scale.goal_rows
    data = clustered(most, scale.queries)
    some = {"jobs": min(MOST_SCANNED, scale.queries), "passes": scale.passes}
    for rows in sorted({most, *(size for size in SCAN_GOALS if size < most)}, reverse=True):
        tables = filled(scale, f"scan-{rows}", as_arrow(data.vectors[:rows]))
        asked = as_asked(tables) | {each.name: each for each in exact(data.vectors[:rows])}
        asking = asked_both_ways(calls(asked, partial(one, data.queries)), **some)
        goal_rows = rows if rows in SCAN_GOALS else 200_000
        yield Line(f"no index, {rows:,} rows", goal=SCAN_GOALS[goal_rows], size=goal_rows, measured_size=rows, **asking)
        if rows == most:
            yield from filtered(tables, data, some)


def filtered(tables: Mapping[str, Any], data: Clustered, some: Mapping[str, int]) -> Iterator[Line]:
    """Under a filter that was never asked for before, and under one that always is."""
    rows, queries, numpy = len(data.vectors), data.queries, Numpy(data.vectors)
    ids, asked = np.arange(rows), count()

    def below(is_new: bool) -> int:
        return rows // 100 + (next(asked) if is_new else 0)

    def ask(is_new: bool, table: Any, query: int) -> pa.Table:
        return table.search(queries[query]).where(f"id < {below(is_new)}").limit(K).to_arrow()

    def ask_numpy(is_new: bool, query: int) -> NDArray[np.int64]:
        return numpy.search_among(queries[query], np.flatnonzero(ids < below(is_new)))

    for title, is_new in (("1% filter", True), ("1% filter, the same again", False)):
        asking = calls(tables, partial(ask, is_new)) | {numpy.name: partial(ask_numpy, is_new)}
        found = asked_both_ways(asking, **some)
        yield Line(f"no index, {title}, {rows:,} rows", goal=5, size=200_000, measured_size=rows, **found)


def as_asked(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Asked(name, table) for name, table in tables.items()}


def one(queries: NDArray[np.float32], each: Any, query: int) -> object:
    return each.search(queries[query])


def indexed(scale: Scale, _: ChromaProcess | None) -> Iterator[Line]:
    rows, new = scale.goal_rows, int(NEW_SHARE * scale.goal_rows)
    data = clustered(rows + new, max(scale.queries, BATCH))
    before = Clustered(data.vectors[:rows], data.queries[: scale.queries])
    tables = filled(scale, "indexed", as_arrow(before.vectors), index_policy="manual")
    others: dict[str, Approximate] = {}
    size = {"size": 200_000, "measured_size": rows}
    some = {"jobs": scale.queries, "passes": scale.passes}

    def build(kind: type[Approximate], _: int) -> None:
        others[kind.name] = kind(before.vectors)

    building = calls(tables, default_index) | calls({kind.name: kind for kind in approximate()}, build)
    yield Line(f"default index build, {rows:,} rows", timed_cold(building), 9_000, **size)
    prewarm(tables)
    kth = before.kth_distances(K)
    recall = recalls(tables, before, kth)
    recall |= {name: reach(each, before, kth, CLUSTERED_RECALL) for name, each in others.items()}
    facts = size | {"recall": recall["lancelike"], "least_recall": CLUSTERED_RECALL, "note": told(recall)}
    asked = as_asked(tables) | others
    title = f"default index, clustered, {rows:,} rows"
    memory = [memory_told(name, memory_of_searches(name, folder_of(scale, "indexed", name))) for name in tables]
    memory += [memory_told(name, Resident(each.num_bytes(), 0)) for name, each in others.items()]
    note = f"{told(recall)}; memory: {', '.join(memory)}"
    asking = asked_both_ways(calls(asked, partial(one, data.queries)), **some)
    yield Line(title, goal=2, **asking, **{**facts, "note": note})
    for callers, goal in ((1, 1_000), (CALLERS, 2_000)):
        crowds = {name: crowd(data, each, callers) for name, each in asked.items()}
        times = timed(calls(crowds, lambda run_all, _: run_all()), passes=scale.passes)
        title = f"queries per second, {callers} thread{'s' if callers > 1 else ''}"
        yield Line(title, times, goal, units=callers * CALLS, **facts)
    batches = calls(asked, lambda each, _: each.search(data.queries[:BATCH]))
    yield Line(f"a batch of {BATCH} queries", timed(batches, passes=scale.passes), 30, **facts)
    for table in tables.values():
        table.add(as_arrow(data.vectors[rows:], rows))
    asking = asked_both_ways(calls(as_asked(tables), partial(one, data.queries)), **some)
    after = Clustered(data.vectors, before.queries)
    recall = recalls(tables, after, after.kth_distances(K))
    facts |= {"recall": recall["lancelike"], "note": told(recall)}
    yield Line(f"{new:,} new rows after the index", goal=2, **asking, **facts)


def default_index(table: Any, _: int = 0) -> None:
    """What each library builds when it is told the column."""
    if isinstance(table, lancelike.Table):
        table.create_index("vector")
    else:
        table.create_index(vector_column_name="vector")


def prewarm(tables: Mapping[str, Any]) -> None:
    for table in tables.values():
        table.prewarm_index("vector_idx")


def recalls(
    tables: Mapping[str, Any],
    data: Clustered,
    kth: NDArray[np.float64],
    ask: Callable[[Any, NDArray[np.float32]], pa.Table] = found,
) -> dict[str, float]:
    """What share of the nearest each finds; *kth* are `data.kth_distances(K)`."""
    return {name: mean_recall([ask(each, query) for query in data.queries], data, kth) for name, each in tables.items()}


def told(recall: Mapping[str, float]) -> str:
    return "recall: " + ", ".join(f"{name} {share:.3f}" for name, share in recall.items())


def memory_told(name: str, grown: Resident) -> str:
    files = f" and {grown.file / 2**20:,.0f} of files" if grown.file >= 2**20 else ""
    return f"{name} {grown.anonymous / 2**20:,.0f} MiB{files}"


def pq(scale: Scale, _: ChromaProcess | None) -> Iterator[Line]:
    """Both through Lance's index, so that the codes count."""
    rows = scale.goal_pq_rows
    data = clustered(rows, scale.queries)
    tables = filled(scale, "pq", as_arrow(data.vectors), vector_cache_bytes=0)
    partitions = rows * 256 // 200_000
    configs = {name: lib.index.IvfPq(num_partitions=partitions, num_sub_vectors=48) for name, lib in LIBRARIES.items()}

    def build(name: str, _: int) -> None:
        tables[name].create_index("vector", config=configs[name])

    def refined(table: Any, vector: NDArray[np.float32]) -> pa.Table:
        return table.search(vector).nprobes(PROBES).refine_factor(REFINE).limit(K).to_arrow()

    building = calls({name: name for name in tables}, build)
    if "faiss" not in missing():
        building["faiss"] = lambda _: build_faiss_pq(data.vectors, partitions, 48)
    times = timed_cold(building)
    recall = recalls(tables, data, data.kth_distances(K), refined)
    note = f"{told(recall)} with nprobes {PROBES}, refine_factor {REFINE}"
    title = f"IVF_PQ build ({partitions}, 48), {rows:,} rows"
    yield Line(title, times, 10_000, size=200_000, measured_size=rows, note=note)


def real(scale: Scale, chroma: ChromaProcess | None) -> Iterator[Line]:
    vectors = sentence_vectors(real_sentences(scale.goal_sentences + scale.queries))
    order = np.random.default_rng(0).permutation(len(vectors))
    data = Clustered(vectors[order[scale.queries :]], vectors[order[: scale.queries]])
    tables = filled(scale, "real", as_arrow(data.vectors))
    for table in tables.values():
        default_index(table)
    prewarm(tables)
    others = {kind.name: kind(data.vectors) for kind in approximate()}
    kth = data.kth_distances(K)
    recall = recalls(tables, data, kth) | {name: reach(each, data, kth, REAL_RECALL) for name, each in others.items()}
    asking = calls(as_asked(tables) | others, partial(one, data.queries))
    if chroma is not None:
        collection = ChromaRows(chroma, fresh_folder(scale.folder / "goals-real-chroma"), data.vectors, data.queries)
        recall[collection.name] = collection.recall(data, kth)
        asking[collection.name] = collection.search
    found = asked_both_ways(asking, jobs=scale.queries, passes=scale.passes)
    rows = len(data.vectors)
    title = f"default index, {rows:,} sentences ({MODEL})"
    facts = {"recall": recall["lancelike"], "least_recall": REAL_RECALL, "note": told(recall)}
    yield Line(title, goal=1, size=30_000, measured_size=rows, **found, **facts)
