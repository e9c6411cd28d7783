"""Models behind Hugging Face's Inference Providers and Inference Endpoints."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import KeyedTextFunction, Model, made_once, without_none


class HuggingFaceAPIEmbeddings(KeyedTextFunction):
    """Embeddings of a model of the hub, from a provider of inference, or with `base_url` from an endpoint.

    A model that answers a vector for each token gets their mean.

    Attributes:
        provider: Who runs the model: `"hf-inference"`, `"together"`, ..., `"auto"`.
        normalize: Make the vectors of unit length; None leaves it to the server.
        truncate: Cut off texts over the model's length; None leaves it to the server.
        source_prompt_name: The model's own prompt for texts that are stored.
        query_prompt_name: The model's own prompt for texts that are searched for.
    """

    models: ClassVar = {
        "sentence-transformers/all-MiniLM-L6-v2": Model(384, 256),
        "sentence-transformers/all-mpnet-base-v2": Model(768, 384),
        "BAAI/bge-small-en-v1.5": Model(384, 512),
        "BAAI/bge-base-en-v1.5": Model(768, 512),
        "BAAI/bge-large-en-v1.5": Model(1024, 512),
        "BAAI/bge-m3": Model(1024, 8192),
        "intfloat/multilingual-e5-large": Model(1024, 512),
        "thenlper/gte-large": Model(1024, 512),
    }
    key_variables: ClassVar = ("HF_TOKEN", "HUGGINGFACE_API_KEY")
    extra: ClassVar = "huggingface-api"
    licence: ClassVar = "Apache-2.0"
    price_unit: ClassVar = "second of compute"
    roles: ClassVar = ("source", "query")
    limits: ClassVar = "what becomes of a longer text is the server's choice"
    transport_settings: ClassVar = frozenset({"stated_ndims", "provider"})

    name: str = "sentence-transformers/all-MiniLM-L6-v2"
    batch_size: int = Field(32, ge=1)
    provider: str = "hf-inference"
    normalize: bool | None = None
    truncate: bool | None = None
    source_prompt_name: str | None = None
    query_prompt_name: str | None = None

    def _known_ndims(self) -> int | None:
        """None for an endpoint, whose model need not be `name`."""
        return None if self.base_url else super()._known_ndims()

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        prompt_name = self.source_prompt_name if role == "source" else self.query_prompt_name
        settings = without_none({"normalize": self.normalize, "truncate": self.truncate, "prompt_name": prompt_name})
        vectors = np.asarray(self._client.feature_extraction(texts, **settings))
        return vectors.mean(axis=1) if vectors.ndim == 3 else vectors

    @made_once
    def _client(self) -> Any:
        hub = self._require("huggingface_hub")
        if self.base_url:
            return hub.InferenceClient(model=self.base_url, token=self._key(optional=True), timeout=self.timeout_s)
        token = self._key(optional=True) or hub.get_token() or self._key()
        return hub.InferenceClient(model=self.name, provider=self.provider, token=token, timeout=self.timeout_s)
