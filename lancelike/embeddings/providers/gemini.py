"""Google's embeddings of texts and images: the Gemini API, and Vertex AI."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.loading import Loaded
from lancelike.embeddings.providers.remote import KeyedTextFunction, Model, made_once
from lancelike.embeddings.providers.remote_images import RemoteImageFunction
from lancelike.embeddings.retrying import Verdict, retry_after_s
from lancelike.media.formats import mime_type
from lancelike.types import Vectors

QUERY_FORM = "task: {task} | query: {text}"
DOCUMENT_FORM = "title: {title} | text: {text}"
TASK_NAMES = {
    "retrieval_query": "search result",
    "question_answering": "question answering",
    "fact_verification": "fact checking",
    "code_retrieval_query": "code retrieval",
    "classification": "classification",
    "clustering": "clustering",
    "semantic_similarity": "sentence similarity",
}
"""How a text names its task to a model that takes no task type."""
DEFAULT_DIM = 768
"""LanceDB's, so that both make the same vectors; these models' own is 3072."""

IMAGES_BYTES = 20_000_000
"""Most bytes of the images of a request, in base64."""


class GeminiText(RemoteImageFunction, KeyedTextFunction):
    """Embeddings from Google.

    Models of the second generation have no task types: what they are for is written before each text. They take images
    as well, of which nothing is said. Vertex AI is told to refuse a text over the model's length; the Gemini API can't
    be told, and may cut it off in silence, which `max_input_tokens` prevents.

    Attributes:
        dim: Length of the vectors; 768 by default for Gemini's models, which take up to 3072.
        query_task_type: What texts that are searched for are for.
        source_task_type: What texts that are stored are for.
        title: Title of the texts that are stored.
        normalize: Make the vectors of unit length, as Google's are at their full length only.
        vertexai: Ask Vertex AI with Google Cloud's credentials in place of the Gemini API with a key.
        project: Google Cloud's project for Vertex AI; else `GOOGLE_CLOUD_PROJECT`.
        location: Google Cloud's location for Vertex AI; else `GOOGLE_CLOUD_LOCATION`.
    """

    models: ClassVar = {
        "gemini-embedding-001": Model(3072, 2048),
        "gemini-embedding-2": Model(3072, 8192),
        "gemini-embedding-2-preview": Model(3072, 8192),
        "gemini-embedding-exp-03-07": Model(3072, 8192),
        "text-embedding-005": Model(768, 2048),
        "text-embedding-004": Model(768, 2048),
        "text-multilingual-embedding-002": Model(768, 2048),
        "embedding-001": Model(768, 2048),
    }
    key_variables: ClassVar = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
    extra: ClassVar = "gemini"
    image_models: ClassVar = ("gemini-embedding-2*",)
    max_request_bytes: ClassVar = IMAGES_BYTES
    roles: ClassVar = ("source", "query")
    limits: ClassVar = (
        "100 inputs and 20 MB of images a request; a longer text is an error at Vertex AI, and may be cut off by the "
        "Gemini API"
    )
    transport_settings: ClassVar = frozenset({"stated_ndims", "location", "project", "vertexai"})

    name: str = "gemini-embedding-001"
    batch_size: int = Field(100, ge=1, le=100)
    max_source_bytes: int = Field(IMAGES_BYTES * 3 // 4, ge=1)
    dim: int | None = Field(None, ge=1)
    query_task_type: str = "retrieval_query"
    source_task_type: str = "retrieval_document"
    title: str | None = None
    normalize: bool = True
    vertexai: bool = False
    project: str | None = None
    location: str | None = None

    @classmethod
    def _describe(cls) -> FunctionDescription:
        return replace(super()._describe(), ndims=DEFAULT_DIM)

    @model_validator(mode="after")
    def _is_reached(self) -> Self:
        if self._model.startswith("multimodalembedding"):
            raise ValueError(
                f"Google's package can't ask {self.name} for images: take the function 'vertex-multimodal'"
            )
        return self

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else 768 for Gemini's models, else that of the model."""
        return self._sent_dim() or super().ndims()

    def classify_error(self, error: Exception) -> Verdict:
        """`"give up"` also for the 400 with which Google refuses a key."""
        return "give up" if "API_KEY_INVALID" in str(error) else super().classify_error(error)

    def _known_ndims(self) -> int | None:
        model = self.models.get(self._model)
        return None if model is None else model.ndims

    @property
    def _model(self) -> str:
        return self.name.removeprefix("models/")

    def _sent_dim(self) -> int | None:
        default = DEFAULT_DIM if self._model.startswith("gemini-embedding") and not self.stated_ndims else None
        return self.dim or default

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        return self._embed_mixed([Loaded("text", text) for text in texts], role)

    def _embed_mixed(self, inputs: list[Loaded], role: Role) -> Embeddings:
        task = self.source_task_type if role == "source" else self.query_task_type
        told_in_text = self._model.startswith("gemini-embedding-2")
        settings: dict[str, Any] = {} if told_in_text else {"task_type": task.upper()}
        if self.title and task == "retrieval_document" and not told_in_text:
            settings["title"] = self.title
        if self._sent_dim():
            settings["output_dimensionality"] = self._sent_dim()
        if self.vertexai:
            settings["auto_truncate"] = False
        parts = [self._part(each, task if told_in_text else None) for each in inputs]
        return self._scaled([vector.values for vector in self._request(parts, settings)])

    def _part(self, loaded: Loaded, written_task: str | None) -> dict[str, Any]:
        if loaded.modality == "image":
            return {"inline_data": {"mime_type": mime_type(loaded.value), "data": loaded.value}}
        return {"text": loaded.value if written_task is None else self._with_task(loaded.value, written_task)}

    def _request(self, parts: list[dict[str, Any]], settings: Mapping[str, Any]) -> list[Any]:
        # One content each: of a list of strings, the second generation makes a single vector.
        contents = [{"parts": [part]} for part in parts]
        try:
            reply = self._client.models.embed_content(model=self.name, contents=contents, config=dict(settings))
        except Exception as error:
            note_retry_delay(error)
            raise
        return list(reply.embeddings)

    def _with_task(self, text: str, task: str) -> str:
        if task == "retrieval_document":
            return DOCUMENT_FORM.format(title=self.title or "none", text=text)
        return QUERY_FORM.format(task=TASK_NAMES.get(task, task.replace("_", " ")), text=text)

    def _scaled(self, rows: list[list[float]]) -> Vectors:
        vectors = np.array(rows, dtype=np.float32)
        if self.normalize and vectors.ndim == 2:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return vectors

    @made_once
    def _client(self) -> Any:
        genai = self._require("google.genai")
        options: dict[str, Any] = {"timeout": round(self.timeout_s * 1000)}  # milliseconds
        if self.base_url:
            options["base_url"] = self.base_url
        if self.vertexai:
            return genai.Client(vertexai=True, project=self.project, location=self.location, http_options=options)
        return genai.Client(vertexai=False, api_key=self._key(), http_options=options)


class PaLMText(GeminiText):
    """The name of the PaLM API's embeddings, which Google has shut down: now Gemini's, with a warning."""

    def model_post_init(self, context: Any, /) -> None:
        """Say which service answers."""
        super().model_post_init(context)
        warnings.warn(
            f"Google's PaLM API is gone: 'palm' asks Gemini's model {self.name}, whose vectors don't go with PaLM's; "
            "say 'gemini-text'",
            FutureWarning,
            stacklevel=2,
        )


def note_retry_delay(error: Exception) -> None:
    """Give *error* the wait that Google's body asks for as a header, where the reply has no such header."""
    body = _body_of(error)
    inner = body.get("error") if isinstance(body, Mapping) else None
    for detail in (inner.get("details") or []) if isinstance(inner, Mapping) else []:
        delay = str(detail.get("retryDelay", "")) if isinstance(detail, Mapping) else ""
        if delay.endswith("s") and retry_after_s(error) is None:
            error.headers = {"retry-after": delay[:-1]}  # type: ignore[attr-defined]  # where retry_after_s looks


def _body_of(error: Exception) -> Any:
    """The JSON that was answered: what Google's package keeps of it, or a reply of requests has."""
    if hasattr(error, "details"):
        return error.details
    try:
        return error.response.json()  # type: ignore[attr-defined]  # where there is one
    except (AttributeError, ValueError):
        return None
