"""The builder behind `AsyncTable.merge_insert`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from lancelike.aio.threads import write
from lancelike.ingest import MergeClauses
from lancelike.merge import LanceMergeInsertBuilder, MergeInsertBuilder
from lancelike.types import MergeResult, OnBadVectors, OnEmbeddingError, Rows

__all__ = ["AsyncMergeInsertBuilder"]


class AsyncMergeInsertBuilder(MergeInsertBuilder):
    """Says what a merge does with rows on either side; `execute`, awaited, does it."""

    def __init__(self, on: Sequence[str], merging: Callable[[MergeClauses], LanceMergeInsertBuilder]) -> None:
        super().__init__(on)
        self._merging = merging

    async def execute(
        self,
        new_data: Rows,
        on_bad_vectors: OnBadVectors = "error",
        fill_value: float = 0.0,
        timeout: timedelta | None = None,
        *,
        on_embedding_error: OnEmbeddingError = "raise",
        budget_tokens: int | None = None,
        progress: Any = None,
    ) -> MergeResult:
        """Embed *new_data* as `AsyncTable.add` does, and merge it in one commit.

        Arguments and errors are those of `LanceMergeInsertBuilder.execute`.
        """
        clauses = self._clauses
        return await write(
            lambda: self._merging(clauses).execute(
                new_data,
                on_bad_vectors,
                fill_value,
                timeout,
                on_embedding_error=on_embedding_error,
                budget_tokens=budget_tokens,
                progress=progress,
            )
        )
