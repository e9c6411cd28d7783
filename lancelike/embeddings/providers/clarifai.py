"""Clarifai's embedding models, through the OpenAI form of its API."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lancelike.embeddings.providers.openai import OpenAIEmbeddings
from lancelike.embeddings.providers.remote import Model

ADDRESS = "https://clarifai.com/{user}/{app}/models/{model}"


class ClarifaiEmbeddings(OpenAIEmbeddings):
    """Embeddings from Clarifai.

    Attributes:
        name: Address of the model, `https://clarifai.com/USER/APP/models/MODEL`, or `USER/APP/MODEL`.
    """

    models: ClassVar = {
        ADDRESS.format(user="clarifai", app="main", model="BAAI-bge-base-en"): Model(768, 512),
        ADDRESS.format(user="openai", app="embed", model="text-embedding-ada"): Model(1536, 8191),
    }
    key_variables: ClassVar = ("CLARIFAI_PAT",)
    extra: ClassVar = "clarifai"
    licence: ClassVar = "MIT"
    limits: ClassVar = "128 inputs a request; a longer text is an error"
    price_unit: ClassVar = "request"

    name: str = ADDRESS.format(user="clarifai", app="main", model="BAAI-bge-base-en")
    batch_size: int = Field(128, ge=1, le=128)
    base_url: str | None = "https://api.clarifai.com/v2/ext/openai/v1"

    def model_post_init(self, context: Any, /) -> None:
        """Write a model's short name out."""
        super().model_post_init(context)
        parts = self.name.split("/")
        if len(parts) == 3:
            self.name = ADDRESS.format(user=parts[0], app=parts[1], model=parts[2])

    def _make_client(self, openai: Any, settings: dict[str, Any]) -> Any:
        return openai.OpenAI(api_key=self._key(), **settings)
