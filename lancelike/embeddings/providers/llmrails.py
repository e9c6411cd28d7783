"""LLMRails' embeddings: the service has given no sign of life since 2023, and tables made with it can be read on."""

from __future__ import annotations

from typing import ClassVar

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import HTTPTextFunction, in_order


class LLMRailsEmbeddings(HTTPTextFunction):
    """Embeddings from a server that speaks the protocol of LLMRails, which is itself gone.

    Attributes:
        base_url: Address of the server; the default is where LLMRails was.
    """

    key_variables: ClassVar = ("LLM_RAILS_API_KEY", "LLMRAILS_API_KEY")
    extra: ClassVar = "llmrails"
    limits: ClassVar = "the service is gone"

    name: str = "embedding-english-v1"
    base_url: str = "https://api.llmrails.com/v1"

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        return in_order(self._client.post("/embeddings", {"input": texts, "model": self.name})["data"])

    def _headers(self) -> dict[str, str]:
        return {"X-API-KEY": str(self._key())}
