"""How time, memory and disk grow with a table's rows, each size built and searched in processes of their own."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from lance import LanceDataset
from numpy.typing import NDArray

import lancelike
from benchmarks.contestants import K
from benchmarks.data import BATCH_ROWS, NDIMS, ROWS_PER_CLUSTER, SCHEMA, SPREAD, as_batch
from benchmarks.report import Section, say
from benchmarks.scale import Scale

QUERIES = 100
SMALL_ROWS = 2_000
"""Of a table that is searched first, so that what a process needs but once is not counted."""
UNBOUNDED = 2**40
SAMPLING_S = 0.02


@dataclass(frozen=True, slots=True)
class Built:
    """What it takes to build a table's index.

    Attributes:
        table_bytes: The table's data files.
        index_bytes: The files of the index that `create_index` makes when told nothing.
        partitions: Partitions of that index.
        build_s: Seconds that took.
        build_bytes: By how much the resident set grew at most meanwhile.
    """

    table_bytes: int
    index_bytes: int
    partitions: int
    build_s: float
    build_bytes: int


@dataclass(frozen=True, slots=True)
class Searched:
    """What it takes to search it, in a fresh process; times are medians, of all columns of the K nearest rows.

    Attributes:
        held_bytes: What lancelike holds, which `vector_cache_bytes` bounds.
        index_cache_bytes: What Lance holds of the index, which a `Session` bounds.
        anonymous_bytes: By how much the process's own memory grew when these were read: they, and what is lost beside.
        mapped_bytes: By how much its memory that is of files grew: vectors that stay where they are.
        exact_s: Seconds of a search of all vectors, in memory.
        indexed_s: Seconds of a search through the index, in memory.
        indexed_recall: Share of the K nearest that those found, ties counted.
        lance_s: Seconds of a search through Lance's index, with nothing in memory of ours.
        lance_recall: Share of the K nearest that those found, ties counted.
    """

    held_bytes: int
    index_cache_bytes: int
    anonymous_bytes: int
    mapped_bytes: int
    exact_s: float
    indexed_s: float
    indexed_recall: float
    lance_s: float
    lance_recall: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One table of `rows` vectors."""

    rows: int
    built: Built
    searched: Searched


Found = TypeVar("Found", Built, Searched)


def run(scale: Scale) -> Section:
    from benchmarks.planning import section

    return section([measured_apart(rows, scale.folder) for rows in scale.growth_rows])


def measured_apart(rows: int, parent: Path) -> Measured:
    """What fresh processes find: one that builds, and one that searches."""
    say(f"growth: {rows:,} rows")
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        return Measured(rows, _apart("build", Built, rows, folder), _apart("search", Searched, rows, folder))


def _apart(part: str, kind: type[Found], rows: int, folder: str) -> Found:
    command = [sys.executable, "-m", "benchmarks.growth", part, str(rows), folder]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    return kind(**json.loads(answer.stdout))


def build(rows: int, folder: str) -> Built:
    table = lancelike.connect(folder, index_policy="manual").create_table("rows", stream(rows), schema=SCHEMA)
    with Peak() as building:
        start = time.perf_counter()
        table.create_index("vector")
        build_s = time.perf_counter() - start
    return Built(
        table_bytes=size(Path(folder) / "rows.lance" / "data"),
        index_bytes=size(Path(folder) / "rows.lance" / "_indices"),
        partitions=partitions(folder, "vector_idx"),
        build_s=build_s,
        build_bytes=building.growth_bytes,
    )


def search(rows: int, folder: str) -> Searched:
    queries = np.concatenate([batch["vector"].values.to_numpy().reshape(-1, NDIMS) for batch in asked(rows)])
    search_small(folder, queries[0])
    session = lancelike.Session()
    before = Resident.trimmed()
    held = lancelike.connect(folder, index_policy="manual", vector_cache_bytes=UNBOUNDED, session=session)
    table = held.open_table("rows")
    table.prewarm_index("vector_idx")
    indexed_s, indexed = timed(lambda query: table.search(query).limit(K).to_arrow(), queries)
    after, index_cache_bytes = Resident.trimmed(), session.size_bytes
    exact_s, exact = timed(lambda query: table.search(query).limit(K).bypass_vector_index().to_arrow(), queries)
    bare = lancelike.connect(folder, vector_cache_bytes=0, session=session).open_table("rows")
    lance_s, through_lance = timed(lambda query: bare.search(query).limit(K).to_arrow(), queries)
    return Searched(
        held_bytes=held._vector_cache.held_bytes,
        index_cache_bytes=index_cache_bytes,
        anonymous_bytes=after.anonymous - before.anonymous,
        mapped_bytes=after.file - before.file,
        exact_s=exact_s,
        indexed_s=indexed_s,
        indexed_recall=recall(indexed, exact),
        lance_s=lance_s,
        lance_recall=recall(through_lance, exact),
    )


def search_small(folder: str, query: NDArray[np.float32]) -> None:
    table = lancelike.connect(f"{folder}/small", index_policy="manual").create_table("rows", stream(SMALL_ROWS))
    table.create_index("vector")
    table.prewarm_index("vector_idx")
    table.search(query).limit(K).to_arrow()


def stream(rows: int) -> pa.RecordBatchReader:
    """Rows of `SCHEMA` in clusters of about `ROWS_PER_CLUSTER`, made as they are read."""
    return pa.RecordBatchReader.from_batches(SCHEMA, batches(rows, rows, seed=1))


def asked(rows: int) -> Iterator[pa.RecordBatch]:
    """QUERIES rows more, drawn like those of a table of *rows*."""
    return batches(QUERIES, rows, seed=2)


def batches(count: int, rows: int, seed: int) -> Iterator[pa.RecordBatch]:
    centres = np.random.default_rng(0).standard_normal((max(1, rows // ROWS_PER_CLUSTER), NDIMS), dtype=np.float32)
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH_ROWS):
        points = centres[rng.integers(len(centres), size=min(BATCH_ROWS, count - start))]
        points += SPREAD * rng.standard_normal(points.shape, dtype=np.float32)
        yield as_batch(points, start)


def timed(
    search: Callable[[NDArray[np.float32]], pa.Table], queries: NDArray[np.float32]
) -> tuple[float, list[pa.Table]]:
    """The median seconds of a search, each query asked once before."""
    answers = [search(query) for query in queries]
    seconds = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), answers


def recall(found: list[pa.Table], exact: list[pa.Table]) -> float:
    """Share of the rows found that are no further than the last exact one."""
    shares = [
        np.mean(each["_distance"].to_numpy() <= true["_distance"].to_numpy()[-1] * (1 + 1e-5))
        for each, true in zip(found, exact, strict=True)
    ]
    return float(np.mean(shares))


def partitions(folder: str, index: str) -> int:
    os.environ["LANCE_INCLUDE_VECTOR_CENTROIDS"] = "false"
    statistics = LanceDataset(f"{folder}/rows.lance").stats.index_stats(index)
    return int(max(part["num_partitions"] for part in statistics["indices"]))


def size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes that a process has in memory: its own, and of files."""

    anonymous: int
    file: int

    @classmethod
    def trimmed(cls) -> Resident:
        """Without what was freed: a process keeps that, and what it takes next doesn't show."""
        ctypes.CDLL(None).malloc_trim(0)
        return cls.now()

    @classmethod
    def now(cls) -> Resident:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return cls(*(int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")))

    @property
    def total(self) -> int:
        return self.anonymous + self.file


class Peak:
    """Watches the resident set while its block runs."""

    def __enter__(self) -> Peak:
        self._before = self._most = Resident.trimmed().total
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLING_S):
            self._most = max(self._most, Resident.now().total)

    @property
    def growth_bytes(self) -> int:
        return self._most - self._before


if __name__ == "__main__":
    parts: dict[str, Callable[[int, str], Any]] = {"build": build, "search": search}
    print(json.dumps(asdict(parts[sys.argv[1]](int(sys.argv[2]), sys.argv[3]))))
