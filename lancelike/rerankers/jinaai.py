"""Jina's rerankers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Unpack

from lancelike.embeddings.providers.remote import JSONClient, made_once
from lancelike.rerankers.remote import RemoteReranker, ServiceSettings


class JinaReranker(RemoteReranker):
    """Ranks with a reranker of Jina.

    Args:
        model_name: The model.
        column: The column with the texts; a search must select it.
        top_n: Return so many rows, the best; None: all.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        api_key: The key, or `"$var:NAME"`; None: that of `JINA_API_KEY` or `JINAAI_API_KEY`.
        service: How the service is reached; see `ServiceSettings`.
    """

    extra: ClassVar = "jina"
    key_variables: ClassVar = ("JINA_API_KEY", "JINAAI_API_KEY")
    max_documents: ClassVar = 512
    default_url: ClassVar = "https://api.jina.ai/v1"

    def __init__(
        self,
        model_name: str = "jina-reranker-v2-base-multilingual",
        column: str = "text",
        top_n: int | None = None,
        return_score: str = "relevance",
        api_key: str | None = None,
        **service: Unpack[ServiceSettings],
    ) -> None:
        super().__init__(model_name, column, top_n, return_score, api_key, **service)

    def _ask(self, query: str, documents: Sequence[str]) -> Iterable[tuple[int, float]]:
        body = {"model": self.model_name, "query": query, "documents": list(documents), "return_documents": False}
        results = self._client.post("/rerank", body)["results"]
        return [(result["index"], result["relevance_score"]) for result in results]

    @made_once
    def _client(self) -> JSONClient:
        headers = {"Authorization": f"Bearer {self._key()}"}
        return JSONClient(self._require("requests"), str(self.base_url), headers, self.timeout_s)
