"""What a call would embed, without embedding it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.embeddings.batching import Answer, pack
from lancelike.ledger.due import Due
from lancelike.ledger.embedder import Asked, Embedder
from lancelike.ledger.ledger import Ledger
from lancelike.storage.key_index import Keys
from lancelike.types import EmbeddingPlan


class Planner(Embedder):
    """Stands where an `Embedder` does and counts as it would, for a run in which nothing fails. Its vectors are zeros.

    Args:
        ledger: What was paid for before.
        schema: The table's schema.
    """

    def __init__(self, ledger: Ledger, schema: pa.Schema) -> None:
        super().__init__(ledger)
        self._zeros = {field.name: _zeros(field.type) for field in schema if pa.types.is_nested(field.type)}
        self._zero = np.zeros(0, np.float32)

    def plan(self) -> EmbeddingPlan:
        """What would have been done so far."""
        done = self.receipt()
        return EmbeddingPlan(
            rows=done.rows,
            texts=done.texts,
            reused=done.reused,
            to_embed=done.embedded,
            tokens=done.tokens,
            requests=done.requests,
        )

    def _answers(self, binding: Any, inputs: Sequence[Any]) -> list[Answer]:
        self._zero = self._zeros[binding.vector_column]
        return super()._answers(binding, inputs)

    def _known(self, asked: Asked, keys: Keys) -> list[Answer | None]:
        return [self._zero if known else None for known in asked.kept.knows(keys)]

    def _pay(self, asked: Asked, due: Due) -> list[Answer | None]:
        to_embed = due.at(np.flatnonzero(due.new).tolist())  # the others were embedded earlier in the run
        for request in pack(asked.function, to_embed.inputs):
            self._calls.requests += 1
            self._spend(asked.function, [to_embed.inputs[place] for place in request])
        self._embedded += int(due.counted.sum())
        return [self._zero] * len(due.inputs)

    def _record(self, asked: Asked, keys: Keys, vectors: Sequence[Any]) -> None:
        """Nothing: what was not paid for is not kept."""


def _zeros(kind: pa.DataType) -> NDArray[np.float32]:
    if pa.types.is_fixed_size_list(kind):
        return np.zeros(kind.list_size, np.float32)
    inner = getattr(kind, "value_type", None)
    size = inner.list_size if inner is not None and pa.types.is_fixed_size_list(inner) else 0
    return np.zeros((1, size), np.float32)
