"""What adding rows would ask of the embedding functions."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lancelike.ingest import ingest
from lancelike.ledger import Planner
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import EmbeddingPlan, Rows


def plan_add(
    data: Rows, schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig], planner: Planner
) -> EmbeddingPlan:
    """What adding *data* would embed and reuse, from the same steps as adding it; no function is called.

    Args:
        data: As in `ingest`; an iterator is used up.
        schema: The table's schema.
        bindings: The table's bindings.
        planner: Counts.

    Raises:
        BadDataError: *data* could not be added.
        EmbeddingFunctionUnavailable: A function that would be needed can't be made here.
    """
    for _ in ingest(data, schema, bindings, embedder=planner):
        pass
    return planner.plan()
