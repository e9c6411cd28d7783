"""How a table is: what searches have to scan, which vectors are missing or stale, how its files lie; and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lancelike.lifecycle.freshness import UNKNOWN
from lancelike.lifecycle.indexing import MOST_UNINDEXED
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Dataset, maintenance, versions
from lancelike.storage import index as indices
from lancelike.storage.indexable import vector_columns
from lancelike.storage.outgrown import outgrown_indices

_ROWS_TO_INDEX = 100_000
"""Rows from which an index pays: a scan of as many takes Lance about 150 ms in 384 dimensions."""
_MANY_SEGMENTS = 16
_MANY_FRAGMENTS = 64
_MANY_VERSIONS = 1_000
_FULL_PARTITION_ROWS = 100_000
"""A partition is searched whole; where their number was given, this is when it can't be meant any more."""


@dataclass(frozen=True, slots=True)
class TableHealth:
    """A table's health.

    Attributes:
        rows: Rows of the version shown.
        unindexed: Rows that a search scans: the most that any index, or any vector column for want of one, leaves out.
        stale: Vectors that no longer match their source, or were never made; those that failed are not among them.
        failed: Vectors that a function refused to make and that can be tried again.
        small_fragments: Fragments of less than 100 000 rows.
        versions: Versions kept.
        bytes: Size of the data files and indices of the version shown.
        advice: What to do, most urgent first; empty if all is well.
    """

    rows: int
    unindexed: int
    stale: int
    failed: int
    small_fragments: int
    versions: int
    bytes: int
    advice: tuple[str, ...] = ()


def examine_health(
    dataset: Dataset, bindings: Sequence[EmbeddingFunctionConfig], errors: pa.Table, unfit: pa.Table
) -> TableHealth:
    """The health of the version shown.

    Args:
        dataset: The table.
        bindings: Its bindings.
        errors: What `embedding_errors` lists.
        unfit: What `verify` finds.
    """
    stats, covered = maintenance.stats(dataset), indices.coverage(dataset)
    rows, small_fragments = stats.num_rows, stats.fragment_stats.num_small_fragments
    searched = {*vector_columns(dataset.schema), *(binding.vector_column for binding in bindings)}
    bare = sorted(searched & set(dataset.schema.names) - {column for index in covered for column in index.columns})
    failed = errors.num_rows
    is_unknown = pc.equal(unfit["reason"], UNKNOWN)
    unknown = len(unfit.filter(is_unknown))
    stale = len(_cells(unfit.filter(pc.invert(is_unknown))) - _cells(errors))
    kept = len(versions.list_versions(dataset))
    advice = [
        *_advice_on_vectors(stale, failed, unknown),
        *_advice_on_indices(dataset, covered, bare, rows),
        *_advice_on_files(small_fragments, kept),
    ]
    return TableHealth(
        rows=rows,
        unindexed=max([index.unindexed for index in covered] + [rows for _ in bare], default=0),
        stale=stale,
        failed=failed,
        small_fragments=small_fragments,
        versions=kept,
        bytes=stats.total_bytes,
        advice=tuple(advice),
    )


def _cells(listed: pa.Table) -> set[tuple[int, str]]:
    return set(zip(listed["row_id"].to_pylist(), listed["vector_column"].to_pylist(), strict=True))


def _advice_on_vectors(stale: int, failed: int, unknown: int) -> Iterator[str]:
    if stale:
        yield f"{_many(stale, 'vector')} not match the source: verify() lists them, refresh() makes them anew"
    if unknown:
        yield (
            f"{unknown} vectors can't be told to match the source, as another program deleted the versions that would "
            "tell: verify() lists them, refresh(unknown=True) makes them anew"
        )
    if failed:
        yield f"{_many(failed, 'source')} fail to be embedded: embedding_errors() says why, retry_failed() tries again"


def _advice_on_indices(
    dataset: Dataset, covered: Sequence[indices.Coverage], bare: Collection[str], rows: int
) -> Iterator[str]:
    for column in bare:
        if rows >= _ROWS_TO_INDEX:
            yield f"a search of {column!r} scans {rows} rows: create_index({column!r}) builds an index"
    outgrown = {index.name: index for index in outgrown_indices(dataset)}
    for index in covered:
        if (index.is_of_vectors or index.is_full_text) and dataset.lists_deleted(index.name):
            yield (
                f"index {index.name!r} lists deleted rows that another program compacted away, so that each search "
                "looks which rows there are: optimize() mends it"
            )
        if index.unindexed > MOST_UNINDEXED:
            yield f"index {index.name!r} leaves {index.unindexed} rows to be scanned: optimize() adds them"
        if len(index.segments) > _MANY_SEGMENTS:
            yield f"index {index.name!r} is in {len(index.segments)} segments, each searched: optimize() merges them"
        found = outgrown.get(index.name)
        partitions = indices.num_partitions(dataset, index.name) if rows >= _FULL_PARTITION_ROWS else None
        if found or (partitions and rows / partitions > _FULL_PARTITION_ROWS):
            has = f"{found.partitions if found else partitions} partitions for {rows} rows"
            call = "optimize()" if found and not found.is_tuned else f"create_index({index.columns[0]!r})"
            yield f"index {index.name!r} was trained when the table was small, and has {has}: {call} trains it again"


def _advice_on_files(small_fragments: int, kept: int) -> Iterator[str]:
    if small_fragments >= _MANY_FRAGMENTS:
        yield f"the rows lie in {small_fragments} small fragments: optimize() merges them"
    if kept >= _MANY_VERSIONS:
        yield f"{kept} versions are kept: optimize() drops those older than 7 days"


def _many(count: int, what: str) -> str:
    return f"1 {what} does" if count == 1 else f"{count} {what}s do"
