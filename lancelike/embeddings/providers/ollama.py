"""Models that an Ollama server runs."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import RemoteTextFunction, made_once


class OllamaEmbeddings(RemoteTextFunction):
    """Embeddings from an Ollama server, which is asked once for the length of its model's vectors.

    Many of its models want a prefix before each text, as nomic-embed-text wants `"search_document: "` and
    `"search_query: "`: give them as `source_prompt` and `query_prompt`.

    Attributes:
        host: Address of the server; `base_url` goes before it.
        options: Ollama's options of the model, such as `{"num_ctx": 8192}`.
        keep_alive: How long the server keeps the model in memory, as `"5m"` or in seconds.
        ollama_client_kwargs: Further settings of the package's client, such as headers.
        dim: Shortens the vectors of the models that can.
        truncate: Cut off texts over the model's length, in place of an error.
    """

    extra: ClassVar = "ollama"
    licence: ClassVar = "Apache-2.0"
    price_unit: ClassVar = None
    limits: ClassVar = "a longer text is an error, or is cut off by choice"
    transport_settings: ClassVar = frozenset({"stated_ndims", "keep_alive", "ollama_client_kwargs"})

    name: str = "nomic-embed-text"
    batch_size: int = Field(64, ge=1)
    max_concurrency: int = Field(1, ge=1)
    host: str = "http://localhost:11434"
    options: dict[str, Any] | None = None
    keep_alive: float | str | None = None
    ollama_client_kwargs: dict[str, Any] | None = None
    dim: int | None = Field(None, ge=1)
    truncate: bool = False

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else what the server answers, asked once."""
        return self.dim or super().ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        reply = self._client.embed(
            model=self.name,
            input=texts,
            truncate=self.truncate,
            options=self.options,
            keep_alive=self.keep_alive,
            dimensions=self.dim,
        )
        vectors: Embeddings = reply.embeddings
        return vectors

    @made_once
    def _client(self) -> Any:
        settings = {"timeout": self.timeout_s, **(self.ollama_client_kwargs or {})}
        return self._require("ollama").Client(host=self.base_url or self.host, **settings)
