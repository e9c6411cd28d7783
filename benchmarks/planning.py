"""What a table of many rows will take: counted where it can be counted, and else a range from two laws of growth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from benchmarks.contestants import K
from benchmarks.data import NDIMS, ROWS_PER_CLUSTER, SCHEMA
from benchmarks.growth import QUERIES, Measured
from benchmarks.report import Section, Table, ms
from lancelike.storage.indexable import default_config, default_partition_size
from lancelike.storage.memory import MOST_BYTES

PLANNED = (10_000_000, 100_000_000, 1_000_000_000)
ROWS_OF_A_FILE = 1 << 20
"""Lance's default: vectors in several files have the file's number beside their place."""
INDEX_CACHE_BYTES = 6 << 30
"""What Lance holds of indices at most, if nobody says otherwise."""

Law: TypeAlias = Callable[[Sequence[Measured], Callable[[Measured], float], int], float]
"""What a figure will be at a number of rows, given measured sizes and the figure of each."""


def counted_bytes(rows: int) -> int:
    """What lancelike holds of a table like this one: int8 codes, and what goes with them, part by part of `HELD`."""
    partitions = rows // default_partition_size(rows, NDIMS)
    return round(rows * sum(each for each, _ in held_by_row(rows).values())) + partitions * (4 * NDIMS + 8)


def held_bytes(rows: int) -> int:
    """Of a row, without the centroids."""
    return round(sum(each for each, _ in held_by_row(rows).values()))


def held_by_row(rows: int) -> dict[str, tuple[float, str]]:
    """Bytes of a row, and what they are for."""
    text = 4 + len("row ") + len(str(rows - 1))
    return {
        "codes": (NDIMS, f"{NDIMS} int8; searches compare with these first"),
        "scale and norm": (8, "2 float32, to make distances of codes"),
        "row id and address": (16, "2 uint64"),
        "place in its file": (8 + 4 * (rows > ROWS_OF_A_FILE), "and the file's number, where there are several"),
        "order by address": (8, "to find rows that a filter leaves"),
        "columns beside": (8 + 8 + text, "id, address and text, so that answers need no reading"),
    }


def proportional(sizes: Sequence[Measured], figure: Callable[[Measured], float], rows: int) -> float:
    return figure(sizes[-1]) * rows / sizes[-1].rows


def cached(sizes: Sequence[Measured], figure: Callable[[Measured], float], rows: int) -> float:
    return min(proportional(sizes, figure, rows), INDEX_CACHE_BYTES)


def by_power(exponent: float) -> Law:
    """As rows to the *exponent*, from the largest size on."""

    def law(sizes: Sequence[Measured], figure: Callable[[Measured], float], rows: int) -> float:
        return figure(sizes[-1]) * math.pow(rows / sizes[-1].rows, exponent)

    return law


def counted(_: Sequence[Measured], __: Callable[[Measured], float], rows: int) -> float:
    return counted_bytes(rows)


def vectors_bytes(_: Sequence[Measured], __: Callable[[Measured], float], rows: int) -> float:
    return 4 * NDIMS * rows


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was measured at each size.

    Attributes:
        name: In tables.
        of: Its value.
        shown: The value in words.
        least: Law that it follows if all goes well.
        most: And if it doesn't; None: there is one law.
    """

    name: str
    of: Callable[[Measured], float]
    shown: Callable[[float], str]
    least: Law
    most: Law | None = None

    def foretold(self, sizes: Sequence[Measured], rows: int) -> str:
        ends = [law(sizes, self.of, rows) for law in (self.least, self.most) if law is not None]
        words = list(dict.fromkeys(map(self.shown, sorted(ends))))
        return " – ".join(words)


@dataclass(frozen=True, slots=True)
class Fit:
    """A power of the rows, by least squares over the logarithms of what was measured.

    Attributes:
        exponent: Of the rows.
        factor: What it is multiplied by.
        error: The largest share by which it misses a size that it was fitted to.
    """

    exponent: float
    factor: float
    error: float

    @classmethod
    def of(cls, sizes: Sequence[Measured], figure: Callable[[Measured], float]) -> Fit:
        rows, figures = np.array([each.rows for each in sizes]), np.array([max(1e-9, figure(each)) for each in sizes])
        exponent, logarithm = np.polyfit(np.log(rows), np.log(figures), 1)
        factor = float(np.exp(logarithm))
        return cls(float(exponent), factor, float(np.abs(factor * rows**exponent / figures - 1).max()))

    def at(self, rows: int) -> float:
        return self.factor * math.pow(rows, self.exponent)


def section(sizes: Sequence[Measured]) -> Section:
    tables = [measured_table(sizes), fitted_table(sizes), held_table(sizes), planned_table(sizes), choices_table(sizes)]
    return Section("Figures", text(sizes), tables, page="planning")


def text(sizes: Sequence[Measured]) -> str:
    largest, basis = sizes[-1], basis_of(sizes)[-1]
    return (
        f"A table of {NDIMS} float32 in clusters of {ROWS_PER_CLUSTER} with a number and a short text, written as "
        "one stream; then `create_index` with the column alone; then, in a fresh process, searches. Times of searches "
        f"are medians of {QUERIES} different queries asked a second time, for all columns of the {K} nearest rows. "
        "*Memory for building* is what the resident set gained at most during `create_index`.\n\n"
        "Memory for searching is of four kinds. *Held* is what `vector_cache_bytes` bounds: 8-bit codes of the vectors "
        "and what goes with them, which every search reads. *Lance's index* is in Lance's own cache, at most 6 GiB "
        "unless `lancelike.Session` says otherwise. *Lost beside* is what else the process took of its own. *Vectors "
        "in their files* are mapped and not copied: pages of the system's cache, which it takes back when it needs "
        "them. All are read once, when a process begins, and then those of the rows whose codes come near the best. "
        "So memory has to be planned for the first three; the fourth may stay on a fast disk, for a read of it for "
        "each such row that isn't cached.\n\n"
        "*Fitted* is the power of the rows that misses what was measured least, by how much it misses one of these at "
        "most, and by how much one of all sizes but the largest misses that. Where an error is large, time or memory "
        "doesn't grow by one power, and what it says of more rows is worth as little.\n\n"
        "**The two tables at the end say what nobody has measured.** In *Foretold* disk is in proportion to rows, and "
        "so is the time of a search of all vectors. What is held is counted, byte by byte. The others lie between "
        f"two laws, both from {largest.rows:,} rows on:\n\n"
        "- Building takes time in proportion to rows while the number of partitions is the same: it is twice the root "
        f"of the rows, but from 1.7 million of {NDIMS} on as many as keep centroids below a million values. Of more "
        "than 100 million rows there are twice the root again, and Lance finds a row's partition in a graph; if it "
        "were by comparing with every centroid, time would grow as rows to the power of 1.5.\n\n"
        "- Memory for building stays as it is, since 64 rows a partition are trained on, or grows as the root of the "
        "rows.\n\n"
        "- What is lost beside stays as it is, or grows as rows do.\n\n"
        "- A search in memory through the index looks at as many rows as now, or at as large a part of them.\n\n"
        "- A search through Lance's index takes as long as now, or longer as the root of the rows.\n\n"
        f"To judge the laws, its first two columns have what they say of {largest.rows:,} rows when they know of "
        f"{basis.rows:,} and fewer, and what was measured. Recall isn't foretold.\n\n"
        "*What to choose* has the index that suits, and what the fits say of it. `connect()` alone holds "
        f"{mebibytes(MOST_BYTES)} at most: beyond {MOST_BYTES // held_bytes(largest.rows):,} rows like these, searches "
        "go through Lance's index unless `vector_cache_bytes=` says more. Memory is then that of Lance's index, time "
        "that of a search through it, and recall what `evaluate()` says and `tune()` raises.\n\n"
        "Earlier runs of this study fitted a power of the rows to the memory of the process that had built the index "
        "too. Some of what building had freed was used again, and did not show: more of it in small tables. That made "
        "1,800 or 3,000 GiB of the same billion rows."
    )


def basis_of(sizes: Sequence[Measured]) -> Sequence[Measured]:
    """The smaller half, from which the largest is foretold."""
    return sizes[: max(2, len(sizes) // 2)]


def measured_table(sizes: Sequence[Measured]) -> Table:
    header = ["rows", *(f"{each.rows:,}" for each in sizes)]
    lines = [[figure.name, *(figure.shown(figure.of(each)) for each in sizes)] for figure in FIGURES]
    recalls = [
        [f"recall@{K} through the index, in memory", *(f"{each.searched.indexed_recall:.3f}" for each in sizes)],
        [f"recall@{K} through Lance's index", *(f"{each.searched.lance_recall:.3f}" for each in sizes)],
        ["partitions", *(f"{each.built.partitions:,}" for each in sizes)],
    ]
    return Table("Measured", [header, *lines, *recalls])


def fitted_table(sizes: Sequence[Measured]) -> Table:
    header = ["", "rows to the power of", "error at most", "error at the largest, if fitted to the others"]
    lines = []
    for figure in FIGURES:
        fit, others, largest = Fit.of(sizes, figure.of), Fit.of(sizes[:-1], figure.of), sizes[-1]
        missed = others.at(largest.rows) / max(1e-9, figure.of(largest)) - 1
        lines.append([figure.name, f"{fit.exponent:.2f}", f"{fit.error:.0%}", f"{missed:+.0%}"])
    return Table("Fitted", [header, *lines])


def choices_table(sizes: Sequence[Measured]) -> Table:
    """What index, how much to hold, and what the fits say of it."""
    header = ["rows", *(f"{rows:,}" for rows in PLANNED)]
    kind = default_config(SCHEMA, "vector")
    lines = [
        ["index", *([f"{type(kind).__name__}, as `create_index()` builds it"] * len(PLANNED))],
        ["its partitions", *(f"{rows // default_partition_size(rows, NDIMS):,}" for rows in PLANNED)],
        ["rows in each", *(f"{default_partition_size(rows, NDIMS):,}" for rows in PLANNED)],
        ["`vector_cache_bytes=` to search in memory", *(mebibytes(counted_bytes(rows)) for rows in PLANNED)],
        ["held by `connect()` alone", *("yes" if counted_bytes(r) <= MOST_BYTES else "no" for r in PLANNED)],
    ]
    fits = [
        [f"{figure.name}, by its fit", *(figure.shown(Fit.of(sizes, figure.of).at(rows)) for rows in PLANNED)]
        for figure in FIGURES
        if figure.most is not None
    ]
    return Table("What to choose", [header, *lines, *fits])


def held_table(sizes: Sequence[Measured]) -> Table:
    rows = sizes[-1].rows
    parts = [[name, f"{size:g}", what] for name, (size, what) in held_by_row(rows).items()]
    each = ", ".join(f"{one.rows:,} rows {counted_bytes(one.rows) / one.searched.held_bytes - 1:+.1%}" for one in sizes)
    return Table(
        "Held in memory, bytes a row",
        [["", "bytes", ""], *parts, ["all", f"{counted_bytes(rows) / rows:.1f}", f"counted over measured: {each}"]],
    )


def planned_table(sizes: Sequence[Measured]) -> Table:
    largest, basis = sizes[-1], basis_of(sizes)
    header = ["rows", f"{largest.rows:,}, foretold", "measured", *(f"{rows:,}" for rows in PLANNED)]
    lines = [
        [
            figure.name,
            *(figure.foretold(basis, largest.rows), figure.shown(figure.of(largest))),
            *(figure.foretold(sizes, rows) for rows in PLANNED),
        ]
        for figure in FIGURES
    ]
    return Table("Foretold", [header, *lines])


def mebibytes(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB" if count < 10 * 2**30 else f"{count / 2**30:,.0f} GiB"


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{ms(seconds)} ms"
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 120 * length:
            return f"{seconds / length:,.{int(seconds < 10 * length)}f} {unit}"
    return f"{seconds / 86400:,.0f} days"


FIGURES = (
    Figure("table on disk", lambda each: each.built.table_bytes, mebibytes, proportional),
    Figure("index on disk", lambda each: each.built.index_bytes, mebibytes, proportional),
    Figure("building the index", lambda each: each.built.build_s, duration, proportional, by_power(1.5)),
    Figure("memory for building", lambda each: each.built.build_bytes, mebibytes, by_power(0), by_power(0.5)),
    Figure("memory: held", lambda each: each.searched.held_bytes, mebibytes, counted),
    Figure("memory: Lance's index", lambda each: each.searched.index_cache_bytes, mebibytes, cached),
    Figure(
        "memory: lost beside",
        lambda each: each.searched.anonymous_bytes - each.searched.held_bytes - each.searched.index_cache_bytes,
        mebibytes,
        by_power(0),
        proportional,
    ),
    Figure("vectors in their files", lambda each: each.searched.mapped_bytes, mebibytes, vectors_bytes),
    Figure("search of all vectors, in memory", lambda each: each.searched.exact_s, duration, proportional),
    Figure(
        "search through the index, in memory",
        lambda each: each.searched.indexed_s,
        duration,
        by_power(0),
        proportional,
    ),
    Figure("search through Lance's index", lambda each: each.searched.lance_s, duration, by_power(0), by_power(0.5)),
)
