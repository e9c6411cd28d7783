"""Hugging Face's Text Embeddings Inference, a server of one's own."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import HTTPTextFunction
from lancelike.errors import EmbeddingFunctionUnavailable


class TEIEmbeddings(HTTPTextFunction):
    """Embeddings from a Text Embeddings Inference server, which says itself how many texts it takes at a time.

    Attributes:
        name: The model that the server must have, or None for whichever it has.
        base_url: Address of the server.
        normalize: Make the vectors of unit length.
        truncate: Cut off texts over the model's length, in place of an error.
        source_prompt_name: The model's own prompt for texts that are stored.
        query_prompt_name: The model's own prompt for texts that are searched for.
        dim: Shortens the vectors of the models that can.
    """

    key_variables: ClassVar = ("TEI_API_KEY",)
    extra: ClassVar = "tei"
    licence: ClassVar = None
    price_unit: ClassVar = None
    roles: ClassVar = ("source", "query")
    limits: ClassVar = "as many inputs a request as the server says; a longer text is an error, or is cut off by choice"

    name: str = ""
    base_url: str = "http://localhost:8080"
    normalize: bool = True
    truncate: bool = False
    source_prompt_name: str | None = None
    query_prompt_name: str | None = None
    dim: int | None = Field(None, ge=1)

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else what the server answers, asked once."""
        return self.dim or super().ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        size = int(self._info["max_client_batch_size"])
        return [
            vector for start in range(0, len(texts), size) for vector in self._post(texts[start : start + size], role)
        ]

    def _post(self, texts: list[str], role: Role) -> list[list[float]]:
        body = {
            "inputs": texts,
            "normalize": self.normalize,
            "truncate": self.truncate,
            "prompt_name": self.source_prompt_name if role == "source" else self.query_prompt_name,
            "dimensions": self.dim,
        }
        vectors: list[list[float]] = self._client.post("/embed", body)
        return vectors

    @cached_property
    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = self._client.get("/info")
        if self.name and info["model_id"] != self.name:
            raise EmbeddingFunctionUnavailable(
                f"the server at {self.base_url} has the model {info['model_id']!r}, not {self.name!r}",
                function=self.label,
            )
        return info

    def _key(self, *, optional: bool = True) -> str | None:
        """A server asks for a key only where it was started with one."""
        return super()._key(optional=True)
