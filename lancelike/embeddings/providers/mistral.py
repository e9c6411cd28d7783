"""Mistral's embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import KeyedTextFunction, Model, in_order, made_once, without_none


class MistralEmbeddings(KeyedTextFunction):
    """Embeddings from Mistral.

    Attributes:
        dim: Shortens the vectors of codestral-embed.
    """

    models: ClassVar = {
        "mistral-embed": Model(1024, 8192),
        "mistral-embed-2312": Model(1024, 8192),
        "codestral-embed": Model(1536, 8192),
        "codestral-embed-2505": Model(1536, 8192),
    }
    key_variables: ClassVar = ("MISTRAL_API_KEY",)
    extra: ClassVar = "mistral"
    limits: ClassVar = "256 inputs and 16,000 tokens a request; a longer text is an error"

    name: str = "mistral-embed"
    batch_size: int = Field(256, ge=1, le=256)
    max_batch_tokens: int | None = Field(12_000, ge=1)  # of 16,000, as tokens are guessed
    dim: int | None = Field(None, ge=1)

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else that of the model, which is asked once where it isn't known."""
        return self.dim or super().ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        shape = without_none({"output_dimension": self.dim})
        return in_order(self._client.embeddings.create(model=self.name, inputs=texts, **shape).data)

    @made_once
    def _client(self) -> Any:
        mistral = self._require("mistralai.client")
        return mistral.Mistral(
            api_key=self._key(), server_url=self.base_url, retry_config=None, timeout_ms=round(self.timeout_s * 1000)
        )
