"""The two faces under one spelling, so that one suite runs over both: a scenario is written for the awaited one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa

import lancelike
from lancelike.embeddings import TextEmbeddingFunction
from lancelike.pydantic import LanceModel, Vector

Face: TypeAlias = Literal["blocking", "awaited"]
Scenario: TypeAlias = Callable[[Any], Awaitable[Any]]

AT_ONCE = {
    "merge_insert",
    "take_offsets",
    "take_row_ids",
    "where",
    "select",
    "limit",
    "offset",
    "order_by",
    "with_row_id",
    "distance_type",
    "rerank",
    "vector",
    "text",
    "when_matched_update_all",
    "when_not_matched_insert_all",
    "when_not_matched_by_source_delete",
    "to_query_object",
}
"""Methods that are awaited on neither face."""
PLAIN = (str, int, float, bool, bytes, type(None), list, dict, tuple, type, pa.Table, pa.Schema)


class Awaited:
    """A blocking object spelled as the awaited one: its methods and properties are coroutine functions."""

    def __init__(self, blocking: Any) -> None:
        self._blocking = blocking

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._blocking, name)
        if name in AT_ONCE:
            return lambda *args, **keywords: Awaited(value(*args, **keywords))
        if name in ("name", "tags", "branches"):
            return shown(value)

        async def awaited(*args: Any, **keywords: Any) -> Any:
            return shown(value(*args, **keywords) if callable(value) else value)

        return awaited

    async def __aiter__(self) -> AsyncIterator[Any]:
        for each in self._blocking:
            yield each


def shown(value: Any) -> Any:
    """*value*, or its awaited spelling where it is an object of the face."""
    is_of_face = not isinstance(value, PLAIN) and type(value).__name__ in (
        "DBConnection",
        "Table",
        "Tags",
        "Branches",
        "LanceEmptyQueryBuilder",
        "LanceVectorQueryBuilder",
        "LanceFtsQueryBuilder",
        "LanceHybridQueryBuilder",
        "LanceTakeQueryBuilder",
        "RecordBatchReader",
    )
    return Awaited(value) if is_of_face else value


def play(face: Face, scenario: Scenario, uri: str | Path, **connection: Any) -> Any:
    """What *scenario* comes to with a connection of that *face* to the database *uri*."""

    async def run() -> Any:
        if face == "awaited":
            return await scenario(await lancelike.connect_async(uri, **connection))
        return await scenario(Awaited(lancelike.connect(uri, **connection)))

    return asyncio.run(run())


def docs(function: TextEmbeddingFunction) -> type[LanceModel]:
    """A schema of `id`, `text`, and the vectors that *function* makes of it."""

    class Doc(LanceModel):
        id: int
        text: str | None = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]  # made per call

    return Doc
