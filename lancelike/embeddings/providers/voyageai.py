"""Voyage AI's embeddings of texts and images."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.loading import Loaded
from lancelike.embeddings.providers.remote import KeyedTextFunction, Model, made_once
from lancelike.embeddings.providers.remote_images import RemoteImageFunction, data_uri

PIXELS_PER_TOKEN = 560
IMAGES_PIXELS = 280_000 * PIXELS_PER_TOKEN
"""Most pixels of the images of a request, whose limit is 320,000 tokens, the texts' among them."""


class VoyageAIEmbeddingFunction(RemoteImageFunction, KeyedTextFunction):
    """Embeddings from Voyage AI; the multimodal models take images as well as texts.

    A contextualized model gets each text as a document of its own.

    Attributes:
        output_dimension: Length of the vectors of the models that have several.
        truncation: Cut off texts over the model's length, in place of an error.
    """

    models: ClassVar = {
        "voyage-4-large": Model(1024, 32_000),
        "voyage-4": Model(1024, 32_000),
        "voyage-4-lite": Model(1024, 32_000),
        "voyage-3.5": Model(1024, 32_000),
        "voyage-3.5-lite": Model(1024, 32_000),
        "voyage-3-large": Model(1024, 32_000),
        "voyage-3": Model(1024, 32_000),
        "voyage-3-lite": Model(512, 32_000),
        "voyage-code-3": Model(1024, 32_000),
        "voyage-context-3": Model(1024, 32_000),
        "voyage-multimodal-3.5": Model(1024, 32_000),
        "voyage-multimodal-3": Model(1024, 32_000),
        "voyage-finance-2": Model(1024, 32_000),
        "voyage-multilingual-2": Model(1024, 32_000),
        "voyage-law-2": Model(1024, 16_000),
        "voyage-large-2-instruct": Model(1024, 16_000),
        "voyage-large-2": Model(1536, 16_000),
        "voyage-code-2": Model(1536, 16_000),
        "voyage-2": Model(1024, 4000),
        "voyage-02": Model(1024, 4000),
        "voyage-01": Model(1024, 4096),
        "voyage-lite-02-instruct": Model(1024, 4000),
    }
    key_variables: ClassVar = ("VOYAGE_API_KEY",)
    extra: ClassVar = "voyageai"
    image_models: ClassVar = ("voyage-multimodal-*",)
    image_formats: ClassVar = frozenset({"JPEG", "PNG", "WEBP"})
    max_request_pixels: ClassVar = IMAGES_PIXELS
    roles: ClassVar = ("source", "query")
    limits: ClassVar = (
        "1000 inputs and 120,000 tokens a request, of a multimodal model 320,000, one for 560 pixels; a longer text is "
        "an error, or is cut off by choice; 20 MB and 16 million pixels an image"
    )

    batch_size: int = Field(128, ge=1, le=1000)
    max_batch_tokens: int | None = Field(80_000, ge=1)  # of 120,000, as tokens are guessed
    max_source_bytes: int = Field(20_000_000, ge=1)
    max_pixels: int = Field(16_000_000, ge=1)
    output_dimension: int | None = Field(None, ge=1)
    truncation: bool = False

    def ndims(self) -> int:
        """Length of the vectors: `output_dimension`, else that of the model, which is asked once if unknown."""
        return self.output_dimension or super().ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        settings = self._settings(role)
        if "context" in self.name:
            results = self._client.contextualized_embed(inputs=[[text] for text in texts], **settings).results
            return [result.embeddings[0] for result in results]
        if "multimodal" in self.name:
            reply = self._client.multimodal_embed([[text] for text in texts], truncation=self.truncation, **settings)
        else:
            reply = self._client.embed(texts, truncation=self.truncation, **settings)
        vectors: Embeddings = reply.embeddings
        return vectors

    def _embed_mixed(self, inputs: list[Loaded], role: Role) -> Embeddings:
        contents = [{"content": [_segment(each)]} for each in inputs]
        reply = self._client.multimodal_embed(contents, truncation=self.truncation, **self._settings(role))
        vectors: Embeddings = reply.embeddings
        return vectors

    def _settings(self, role: Role) -> dict[str, Any]:
        return {
            "model": self.name,
            "input_type": "document" if role == "source" else "query",
            "output_dimension": self.output_dimension,
        }

    @made_once
    def _client(self) -> Any:
        voyageai = self._require("voyageai")
        return voyageai.Client(api_key=self._key(), max_retries=0, timeout=self.timeout_s, base_url=self.base_url)


def _segment(loaded: Loaded) -> dict[str, str]:
    if loaded.modality == "image":
        return {"type": "image_base64", "image_base64": data_uri(loaded.value)}
    return {"type": "text", "text": loaded.value}
