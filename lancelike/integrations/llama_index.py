"""Embedding functions as LlamaIndex has them.

```python
from lancelike.integrations.llama_index import LancelikeEmbedding

Settings.embed_model = LancelikeEmbedding("default")
```
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import Field, PrivateAttr

from lancelike._optional import require
from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources

require("llama_index.core", extra="llama-index", needed_by="lancelike.integrations.llama_index")

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding  # noqa: E402 - after the check

__all__ = ["LancelikeEmbedding"]

LARGEST_BATCH = 2048
"""The most that LlamaIndex lets a batch be."""


class LancelikeEmbedding(BaseEmbedding):
    """Any embedding function of lancelike as a LlamaIndex `BaseEmbedding`; retries and batches are the function's.

    Attributes:
        function_name: The function's registered name.
        function_settings: Its settings as a table stores them, with no secret, so that `from_dict` makes it again.
    """

    function_name: str
    function_settings: dict[str, Any] = Field(default_factory=dict)
    _function: EmbeddingFunction = PrivateAttr()

    def __init__(
        self,
        function: EmbeddingFunction | str | None = None,
        *,
        function_name: str | None = None,
        function_settings: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Wrap *function*, or the one registered under its name.

        Args:
            function: The function, or its registered name.
            function_name: The name, where *function* is not given.
            function_settings: The settings of a function given by name.
            fields: Those of `BaseEmbedding`: `embed_batch_size`, `callback_manager`, ...; others are settings of a
                function given by name, as in `LancelikeEmbedding("hash", dim=8)`.

        Raises:
            TypeError: There are settings beside a function that is made already.
        """
        settings = {name: fields.pop(name) for name in fields.keys() - type(self).model_fields.keys()}
        settings = {**(function_settings or {}), **settings}
        if function is None or isinstance(function, str):
            function = get_registry().make(function or function_name or "default", settings)
        elif settings:
            raise TypeError(f"{', '.join(sorted(settings))}: give these to the function's own create()")
        stored = function.stored()
        known: dict[str, Any] = {
            "model_name": str(getattr(function, "name", function.label)),
            "embed_batch_size": min(function.batch_size, LARGEST_BATCH),
            "function_name": stored["name"],
            "function_settings": stored["model"],
        }
        super().__init__(**{**known, **fields})
        self._function = function

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises it."""
        return "LancelikeEmbedding"

    def _get_query_embedding(self, query: str) -> Embedding:
        vector: Embedding = embed_query(self._function, query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return [[] if vector is None else vector.tolist() for vector in embed_sources(self._function, texts)]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
