"""Cohere's rerankers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Unpack

from lancelike.embeddings.providers.remote import made_once
from lancelike.embeddings.retrying import Verdict, status_of
from lancelike.rerankers.remote import RemoteReranker, ServiceSettings


class CohereReranker(RemoteReranker):
    """Ranks with a reranker of Cohere; a text over 4096 tokens is cut off by the service.

    Args:
        model_name: The model.
        column: The column with the texts; a search must select it.
        top_n: Return so many rows, the best; None: all.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        api_key: The key, or `"$var:NAME"`; None: that of `COHERE_API_KEY` or `CO_API_KEY`.
        service: How the service is reached; see `ServiceSettings`.
    """

    extra: ClassVar = "cohere"
    key_variables: ClassVar = ("COHERE_API_KEY", "CO_API_KEY")

    def __init__(
        self,
        model_name: str = "rerank-english-v3.0",
        column: str = "text",
        top_n: int | None = None,
        return_score: str = "relevance",
        api_key: str | None = None,
        **service: Unpack[ServiceSettings],
    ) -> None:
        super().__init__(model_name, column, top_n, return_score, api_key, **service)

    def classify_error(self, error: Exception) -> Verdict:
        """`"give up"` also for 498, Cohere's status for a token that is no good."""
        return "give up" if status_of(error) == 498 else super().classify_error(error)

    def _ask(self, query: str, documents: Sequence[str]) -> Iterable[tuple[int, float]]:
        reply = self._client.rerank(
            model=self.model_name, query=query, documents=list(documents), request_options={"max_retries": 0}
        )
        return [(result.index, result.relevance_score) for result in reply.results]

    @made_once
    def _client(self) -> Any:
        cohere = self._require("cohere")
        return cohere.ClientV2(api_key=self._key(), base_url=self.base_url, timeout=self.timeout_s)
