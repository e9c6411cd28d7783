"""Jina's embeddings of texts and images."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.loading import Loaded
from lancelike.embeddings.providers.remote import HTTPTextFunction, Model, in_order
from lancelike.embeddings.providers.remote_images import RemoteImageFunction, in_base64

TASKS = {
    "jina-embeddings-v3": ("retrieval.passage", "retrieval.query"),
    "jina-embeddings-v4": ("retrieval.passage", "retrieval.query"),
    "jina-embeddings-v5": ("retrieval.passage", "retrieval.query"),
    "jina-code-embeddings": ("nl2code.passage", "nl2code.query"),
}
"""Start of the names of the models that have tasks -> the tasks of stored texts and of queries."""


class JinaEmbeddings(RemoteImageFunction, HTTPTextFunction):
    """Embeddings from Jina; the clip models, v4 and v5's omni models take images as well as texts.

    Attributes:
        dim: Shortens the vectors of v3 and later models, and of jina-clip-v2.
        source_task: What texts that are stored are for; None for the model's own way, `""` for none.
        query_task: What texts that are searched for are for; None for the model's own way, `""` for none.
        truncate: Cut off texts over the model's length, in place of an error.
        late_chunking: Take the texts of a request as the parts of one document, each seen in its context.
    """

    models: ClassVar = {
        "jina-embeddings-v5-omni-small": Model(1024, 32_768),
        "jina-embeddings-v5-omni-nano": Model(768, 8192),
        "jina-embeddings-v5-text-small": Model(1024, 32_768),
        "jina-embeddings-v5-text-nano": Model(768, 8192),
        "jina-embeddings-v4": Model(2048, 32_768),
        "jina-embeddings-v3": Model(1024, 8192),
        "jina-embeddings-v2-base-en": Model(768, 8192),
        "jina-embeddings-v2-base-de": Model(768, 8192),
        "jina-embeddings-v2-base-es": Model(768, 8192),
        "jina-embeddings-v2-base-zh": Model(768, 8192),
        "jina-embeddings-v2-base-code": Model(768, 8192),
        "jina-embeddings-v2-small-en": Model(512, 8192),
        "jina-code-embeddings-1.5b": Model(1536, 32_768),
        "jina-code-embeddings-0.5b": Model(896, 32_768),
        "jina-clip-v2": Model(1024, 8192),
        "jina-clip-v1": Model(768, 8192),
    }
    key_variables: ClassVar = ("JINA_API_KEY", "JINAAI_API_KEY")
    extra: ClassVar = "jina"
    image_models: ClassVar = ("jina-clip-*", "jina-embeddings-v4*", "jina-embeddings-v5-omni-*")
    roles: ClassVar = ("source", "query")
    limits: ClassVar = "2048 inputs a request; a longer text is an error, or is cut off by choice"

    name: str = "jina-clip-v1"
    base_url: str = "https://api.jina.ai/v1"
    batch_size: int = Field(128, ge=1, le=2048)
    dim: int | None = Field(None, ge=1)
    source_task: str | None = None
    query_task: str | None = None
    truncate: bool = False
    late_chunking: bool = False

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else that of the model, which is asked once where it isn't known."""
        return self.dim or super().ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        return self._request(texts, role)

    def _embed_mixed(self, inputs: list[Loaded], role: Role) -> Embeddings:
        items = [{"image": in_base64(v)} if modality == "image" else {"text": v} for modality, v in inputs]
        return self._request(items, role)

    def _request(self, inputs: list[Any], role: Role) -> Embeddings:
        body = {
            "model": self.name,
            "input": inputs,
            "task": self._task(role),
            "dimensions": self.dim,
            "truncate": self.truncate,
            "late_chunking": self.late_chunking or None,
        }
        return in_order(self._client.post("/embeddings", body)["data"])

    def _task(self, role: Role) -> str | None:
        given = self.source_task if role == "source" else self.query_task
        source, query = next((tasks for start, tasks in TASKS.items() if self.name.startswith(start)), (None, None))
        return (source if role == "source" else query) if given is None else given or None
