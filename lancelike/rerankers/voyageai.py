"""Voyage AI's rerankers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Unpack

from lancelike.embeddings.providers.remote import made_once
from lancelike.rerankers.remote import RemoteReranker, ServiceSettings


class VoyageAIReranker(RemoteReranker):
    """Ranks with a reranker of Voyage AI.

    Args:
        model_name: The model, such as `rerank-2.5` or `rerank-2.5-lite`.
        column: The column with the texts; a search must select it.
        top_n: Return so many rows, the best; None: all.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        api_key: The key, or `"$var:NAME"`; None: that of `VOYAGE_API_KEY`.
        truncation: Let the service cut off a text that is longer than the model takes; False: it is an error.
        service: How the service is reached; see `ServiceSettings`.
    """

    extra: ClassVar = "voyageai"
    key_variables: ClassVar = ("VOYAGE_API_KEY",)

    def __init__(
        self,
        model_name: str,
        column: str = "text",
        top_n: int | None = None,
        return_score: str = "relevance",
        api_key: str | None = None,
        truncation: bool | None = True,
        **service: Unpack[ServiceSettings],
    ) -> None:
        super().__init__(model_name, column, top_n, return_score, api_key, **service)
        self.truncation = truncation

    def _ask(self, query: str, documents: Sequence[str]) -> Iterable[tuple[int, float]]:
        reply = self._client.rerank(query, list(documents), model=self.model_name, truncation=bool(self.truncation))
        return [(result.index, result.relevance_score) for result in reply.results]

    @made_once
    def _client(self) -> Any:
        voyageai = self._require("voyageai")
        return voyageai.Client(api_key=self._key(), max_retries=0, timeout=self.timeout_s, base_url=self.base_url)
