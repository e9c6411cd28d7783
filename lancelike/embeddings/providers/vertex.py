"""Vertex AI's embeddings of texts and images in one space, by a model that Google's own package doesn't reach."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.loading import Loaded
from lancelike.embeddings.providers.gemini import note_retry_delay
from lancelike.embeddings.providers.remote import JSONClient, Model, made_once
from lancelike.embeddings.providers.remote_images import RemoteImageFunction, in_base64
from lancelike.embeddings.retrying import Verdict
from lancelike.embeddings.variables import process_variables
from lancelike.errors import EmbeddingFunctionUnavailable, VariableNotFoundError
from lancelike.media.formats import mime_type

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
DEFAULT_LOCATION = "us-central1"
TEXT_TOKENS = 32
"""Most tokens of a text: Google cuts off what is beyond, and doesn't say so."""
IMAGE_BYTES = 15_000_000
"""Most bytes of an image, which has a third more in base64: 20 MB are taken."""
CREDENTIALS_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


class VertexMultimodalEmbeddings(RemoteImageFunction):
    """Embeddings of texts and images from Vertex AI's `multimodalembedding@001`.

    The service takes one input a call, which is why many calls are under way at once. Google retires the model on 1
    April 2027; `gemini-embedding-2`, a model of `gemini-text`, is there to follow it.

    A text that seems to have more than 32 tokens, which are guessed, one for four bytes, is dealt with as `on_long`
    says: the service would cut it off in silence. `max_input_tokens` states another bound.

    Attributes:
        dim: Length of the vectors; the model's own is 1408.
        project: Google Cloud's project; else `GOOGLE_CLOUD_PROJECT`, else that of the credentials.
        location: Google Cloud's location; else `GOOGLE_CLOUD_LOCATION`, else us-central1.
        access_token: A token of Google Cloud's, as `"$var:NAME"`, in place of the credentials that google-auth finds,
            and renews.
    """

    models: ClassVar = {"multimodalembedding@001": Model(1408, TEXT_TOKENS)}
    image_models: ClassVar = ("*",)
    extra: ClassVar = "gemini"
    limits: ClassVar = (
        "one input a call, an image of 20 MB in base64; a longer text is an error, cut off, or averaged, as on_long "
        "says"
    )
    price_unit: ClassVar = "image, and character of a text"
    transport_settings: ClassVar = frozenset({"stated_ndims", "project", "location"})

    name: str = "multimodalembedding@001"
    batch_size: int = Field(1, ge=1)
    max_concurrency: int = Field(8, ge=1)
    max_source_bytes: int = Field(IMAGE_BYTES, ge=1)
    dim: Literal[128, 256, 512, 1408] | None = None
    project: str | None = None
    location: str | None = None
    access_token: str | None = None

    @classmethod
    def _describe(cls) -> FunctionDescription:
        variables = (CREDENTIALS_VARIABLE, "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION")
        return replace(super()._describe(), variables=variables)

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else that of the model, which is asked once where it isn't known."""
        return self.dim or super().ndims()

    def input_limit(self) -> int | None:
        """Most tokens of one text that count, as they are guessed: 32, unless `max_input_tokens` is given."""
        return self.max_input_tokens or TEXT_TOKENS

    def classify_error(self, error: Exception) -> Verdict:
        """`"give up"` also for credentials that Google refuses to renew."""
        verdict, may_pass = super().classify_error(error), getattr(error, "retryable", None)  # google-auth's errors
        if may_pass is None or verdict == "retry":
            return verdict
        return "retry" if may_pass else "give up"

    def redact(self, text: str) -> str:
        """*text* with the function's secrets replaced by `***`, the token in use among them."""
        credentials, _ = self.__dict__.get("_account", (None, None))
        text, token = super().redact(text), getattr(credentials, "token", None)
        return text.replace(token, "***") if token else text

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        return [self._vector_of(Loaded("text", text)) for text in texts]

    def _embed_mixed(self, inputs: list[Loaded], role: Role) -> Embeddings:
        return [self._vector_of(each) for each in inputs]

    def _vector_of(self, loaded: Loaded) -> list[float]:
        if loaded.modality == "image":
            image = {"bytesBase64Encoded": in_base64(loaded.value), "mimeType": mime_type(loaded.value)}
            return self._predicted({"image": image})["imageEmbedding"]
        return self._predicted({"text": loaded.value})["textEmbedding"]

    def _predicted(self, instance: dict[str, Any]) -> dict[str, list[float]]:
        parameters = {"dimension": self.dim} if self.dim else None
        try:
            reply = self._client.post(f"/{self.name}:predict", {"instances": [instance], "parameters": parameters})
        except Exception as error:
            note_retry_delay(error)
            raise
        [prediction] = reply["predictions"]
        return dict(prediction)

    @made_once
    def _client(self) -> JSONClient:
        location = self.location or process_variables.first(["GOOGLE_CLOUD_LOCATION"]) or DEFAULT_LOCATION
        headers, session = self._authorized()
        address = self.base_url or f"https://{location}-aiplatform.googleapis.com"
        models = f"/v1/projects/{self._charged_project()}/locations/{location}/publishers/google/models"
        return JSONClient(
            self._require("requests"), address.rstrip("/") + models, headers, self.timeout_s, session=session
        )

    def _authorized(self) -> tuple[dict[str, str], Any]:
        """Headers of each request, and a session that signs them, None where a token is given."""
        transport = self._require("google.auth.transport.requests")
        if self.access_token is None:
            return {}, transport.AuthorizedSession(self._account[0])
        return {"Authorization": f"Bearer {process_variables.resolve(self.access_token)}"}, None

    def _charged_project(self) -> str:
        project = self.project or process_variables.first(["GOOGLE_CLOUD_PROJECT"])
        if project is None and self.access_token is None:
            project = self._account[1]
        if project is None:
            raise VariableNotFoundError("GOOGLE_CLOUD_PROJECT")
        return project

    @made_once
    def _account(self) -> tuple[Any, str | None]:
        """Google Cloud's credentials, as google-auth finds them, and the project that they name."""
        auth = self._require("google.auth")
        try:
            credentials, project = auth.default(scopes=[SCOPE])
        except auth.exceptions.DefaultCredentialsError as error:
            if os.environ.get(CREDENTIALS_VARIABLE):
                raise
            raise EmbeddingFunctionUnavailable(
                f"{self.label} finds no credentials of Google Cloud",
                function=self.label,
                hint="sign in with `gcloud auth application-default login`, or set the environment variable "
                f"{CREDENTIALS_VARIABLE} to a file of them",
            ) from error
        return credentials, project
