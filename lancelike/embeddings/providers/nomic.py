"""Nomic's text embeddings, from its Atlas service."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import HTTPTextFunction, Model


class NomicEmbeddings(HTTPTextFunction):
    """Embeddings from Nomic.

    Attributes:
        dim: Shortens the vectors of v1.5 and later models.
        source_task_type: What texts that are stored are for.
        query_task_type: What texts that are searched for are for.
        long_text_mode: What the service does with texts over the model's length: cut them off, or take the mean of
            their parts; it has no way to refuse them.
    """

    models: ClassVar = {
        "nomic-embed-text-v1.5": Model(768, 8192),
        "nomic-embed-text-v1": Model(768, 8192),
        "gte-multilingual-base": Model(768, 8192),
    }
    key_variables: ClassVar = ("NOMIC_API_KEY",)
    extra: ClassVar = "nomic"
    roles: ClassVar = ("source", "query")
    limits: ClassVar = "a longer text is cut into parts whose mean is taken, or cut off by choice"

    name: str = "nomic-embed-text-v1.5"
    base_url: str = "https://api-atlas.nomic.ai/v1"
    batch_size: int = Field(50, ge=1)
    dim: int | None = Field(None, ge=1)
    source_task_type: str = "search_document"
    query_task_type: str = "search_query"
    long_text_mode: Literal["truncate", "mean"] = "mean"

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else that of the model, which is asked once where it isn't known."""
        return self.dim or super().ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        body = {
            "model": self.name,
            "texts": texts,
            "task_type": self.source_task_type if role == "source" else self.query_task_type,
            "dimensionality": self.dim,
            "long_text_mode": self.long_text_mode,
        }
        vectors: Embeddings = self._client.post("/embedding/text", body)["embeddings"]
        return vectors
