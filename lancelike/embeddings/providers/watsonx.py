"""Text embeddings of IBM's watsonx.ai."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import HTTPTextFunction, JSONClient, Model
from lancelike.embeddings.retrying import Verdict
from lancelike.embeddings.variables import process_variables
from lancelike.errors import VariableNotFoundError

API_VERSION = "2024-05-31"
TOKEN_PATH = "/identity/token"
DEFAULT_URL = "https://us-south.ml.cloud.ibm.com"
IAM_URL = "https://iam.cloud.ibm.com"
GRANT_TYPE = "urn:ibm:params:oauth:grant-type:apikey"
RENEWED_BEFORE_S = 120.0
"""A token is renewed this long before it runs out."""

MODELS = {
    "ibm/granite-embedding-278m-multilingual": Model(768, 512),
    "ibm/granite-embedding-107m-multilingual": Model(384, 512),
    "ibm/slate-125m-english-rtrvr-v2": Model(768, 512),
    "ibm/slate-30m-english-rtrvr-v2": Model(384, 512),
    "ibm/slate-125m-english-rtrvr": Model(768, 512),
    "ibm/slate-30m-english-rtrvr": Model(384, 512),
    "intfloat/multilingual-e5-large": Model(1024, 512),
    "sentence-transformers/all-minilm-l6-v2": Model(384, 256),
    "sentence-transformers/all-minilm-l12-v2": Model(384, 256),
}
CURRENT_MODELS = {
    name: MODELS[name].ndims
    for name in (
        "ibm/granite-embedding-278m-multilingual",
        "ibm/slate-125m-english-rtrvr-v2",
        "ibm/slate-30m-english-rtrvr-v2",
        "intfloat/multilingual-e5-large",
    )
}
"""Models that watsonx.ai offers to new users, and the length of their vectors; by LanceDB's name."""
MODELS_DIMS = {name: model.ndims for name, model in MODELS.items()}
"""The same of all known models, those that are withdrawn included; by LanceDB's name."""


class WatsonxEmbeddings(HTTPTextFunction):
    """Embeddings from watsonx.ai, within a project or a deployment space.

    Attributes:
        project_id: Project to charge; else `WATSONX_PROJECT_ID`.
        space_id: Deployment space to charge in place of a project; else `WATSONX_SPACE_ID`.
        url: Address of the service in your region; `base_url` goes before it.
        params: Further parameters of the request, such as `{"truncate_input_tokens": 512}`.
        iam_url: Where the key is turned into a token.
    """

    models: ClassVar = MODELS
    key_variables: ClassVar = ("WATSONX_API_KEY", "WATSONX_APIKEY")
    extra: ClassVar = "watsonx"
    limits: ClassVar = "1000 inputs a request; a longer text is an error, or is cut off by choice"
    transport_settings: ClassVar = frozenset({"stated_ndims", "iam_url", "space_id"})

    name: str = "ibm/slate-125m-english-rtrvr"
    batch_size: int = Field(256, ge=1, le=1000)
    base_url: str = ""
    project_id: str | None = None
    space_id: str | None = None
    url: str | None = None
    params: dict[str, Any] | None = None
    iam_url: str = IAM_URL

    @staticmethod
    def model_names() -> list[str]:
        """Names of the models that watsonx.ai offers to new users."""
        return list(CURRENT_MODELS)

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        if self.project_id and self.space_id:
            raise ValueError("give project_id or space_id, not both")
        self.base_url = self.base_url or self.url or DEFAULT_URL
        return self

    def classify_error(self, error: Exception) -> Verdict:
        """`"give up"` also for the 400 with which a key is refused a token."""
        asked = str(getattr(getattr(error, "response", None), "url", ""))
        verdict = super().classify_error(error)
        return "give up" if verdict == "bisect" and asked.startswith(f"{self.iam_url}{TOKEN_PATH}") else verdict

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        scope = charged_scope(self.project_id, self.space_id)
        body = {"model_id": self.name, "inputs": texts, "parameters": self.params, **scope}
        self._client.set_header("Authorization", f"Bearer {self._login.token()}")
        results = self._client.post(f"/ml/v1/text/embeddings?version={API_VERSION}", body)["results"]
        return [result["embedding"] for result in results]

    def _headers(self) -> dict[str, str]:
        return {}

    @cached_property
    def _login(self) -> Login:
        return Login(JSONClient(self._require("requests"), self.iam_url, {}, self.timeout_s), str(self._key()))


def charged_scope(project_id: str | None, space_id: str | None) -> dict[str, str]:
    """The project or deployment space to charge, as requests name it: as given, else as the variables say.

    Raises:
        VariableNotFoundError: Neither is given or set.
    """
    for setting, given in (("project_id", project_id), ("space_id", space_id)):
        if given:
            return {setting: given}
    for setting in ("project_id", "space_id"):
        if value := process_variables.first([f"WATSONX_{setting.upper()}"]):
            return {setting: value}
    raise VariableNotFoundError("WATSONX_PROJECT_ID")


class Login:
    """Turns a key into tokens, each of which is good for an hour or so."""

    def __init__(self, iam: JSONClient, key: str) -> None:
        self._iam, self._form = iam, {"grant_type": GRANT_TYPE, "apikey": key}
        self._token, self._renew_at = "", 0.0

    def token(self) -> str:
        """A token that is good for some time yet."""
        if time.monotonic() >= self._renew_at:
            reply = self._iam.post_form(TOKEN_PATH, self._form)
            self._token = str(reply["access_token"])
            self._renew_at = time.monotonic() + float(reply.get("expires_in", 3600)) - RENEWED_BEFORE_S
        return self._token
