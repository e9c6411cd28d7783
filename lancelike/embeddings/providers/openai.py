"""OpenAI's embeddings, Azure's, and those of any server that speaks OpenAI's protocol."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import KeyedTextFunction, Model, in_order, made_once, without_none
from lancelike.embeddings.retrying import Verdict
from lancelike.errors import VariableNotFoundError

API_VERSION = "2024-10-21"
TOKEN_SCOPE = "https://cognitiveservices.azure.com/.default"
NO_KEY = "none"
"""The openai package insists on a key, which a server of one's own needn't ask for."""


class OpenAIEmbeddings(KeyedTextFunction):
    """Embeddings from OpenAI, or with `base_url` from a server that speaks its protocol, under its own model names.

    Attributes:
        dim: Shortens the vectors of models that can be shortened, such as text-embedding-3-small.
        default_headers: Sent with each request.
        organization: OpenAI's organization to charge.
        project: OpenAI's project to charge.
        use_azure: Ask Azure, where `name` is a deployment; `azure-openai` is the same with Azure's own settings.
        encoding_format: How vectors travel; None leaves it to the openai package, which asks for base64.
    """

    models: ClassVar = {
        "text-embedding-3-small": Model(1536, 8191),
        "text-embedding-3-large": Model(3072, 8191),
        "text-embedding-ada-002": Model(1536, 8191),
    }
    key_variables: ClassVar = ("OPENAI_API_KEY",)
    extra: ClassVar = "openai"
    limits: ClassVar = "2048 inputs and 300,000 tokens a request; a longer text is an error"
    transport_settings: ClassVar = frozenset({"stated_ndims", "project", "use_azure", "encoding_format"})

    name: str = "text-embedding-ada-002"
    batch_size: int = Field(256, ge=1, le=2048)
    max_batch_tokens: int | None = Field(200_000, ge=1)  # of 300,000, as tokens are guessed
    dim: int | None = Field(None, ge=1)
    default_headers: dict[str, str] | None = None
    organization: str | None = None
    project: str | None = None
    use_azure: bool = False
    encoding_format: Literal["float", "base64"] | None = None

    def ndims(self) -> int:
        """Length of the vectors: `dim`, else that of the model, which is asked once where it isn't known."""
        return self._sent_dim() or super().ndims()

    def classify_error(self, error: Exception) -> Verdict:
        """`"give up"` also where the service says that trying again is no use, as without credit."""
        if getattr(error, "code", None) == "insufficient_quota":
            return "give up"
        headers = getattr(getattr(error, "response", None), "headers", {})
        return "give up" if headers.get("x-should-retry") == "false" else super().classify_error(error)

    def redact(self, text: str) -> str:
        """*text* with the function's secrets replaced by `***`."""
        return self._as_azure().redact(text) if self.use_azure else super().redact(text)

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        shape = without_none({"dimensions": self._sent_dim(), "encoding_format": self.encoding_format})
        reply = self._client.embeddings.create(model=self.name, input=texts, **shape)
        return in_order(reply.data)

    def _sent_dim(self) -> int | None:
        """Ada's vectors have one length, and its API refuses to be told."""
        return None if self.name == "text-embedding-ada-002" else self.dim

    @made_once
    def _client(self) -> Any:
        settings = without_none(
            {
                "base_url": self.base_url,
                "default_headers": self.default_headers,
                "organization": self.organization,
                "project": self.project,
            }
        )
        return self._make_client(self._require("openai"), {**settings, "timeout": self.timeout_s, "max_retries": 0})

    def _make_client(self, openai: Any, settings: dict[str, Any]) -> Any:
        if self.use_azure:
            return self._as_azure()._client
        key = self._key(optional=self.base_url is not None)
        return openai.OpenAI(api_key=key or NO_KEY, **settings)

    def _as_azure(self) -> AzureOpenAIEmbeddings:
        shared = ("name", "api_key", "base_url", "default_headers", "organization", "timeout_s")
        return AzureOpenAIEmbeddings(**{name: getattr(self, name) for name in shared})


class AzureOpenAIEmbeddings(OpenAIEmbeddings):
    """OpenAI's models as Azure serves them; `name` is the deployment.

    A deployment that isn't called like its model is asked once for the length of its vectors, unless `ndims` is given.

    Attributes:
        azure_endpoint: Address of the resource, `https://NAME.openai.azure.com`; else `AZURE_OPENAI_ENDPOINT`.
        api_version: A date, or `"v1"` for the newer API, which has none; else `OPENAI_API_VERSION`, else 2024-10-21.
        azure_ad_token: A token of Entra ID in place of a key; else `AZURE_OPENAI_AD_TOKEN`.
        use_entra_id: Get tokens by whatever identity this machine has, through the package azure-identity.
    """

    key_variables: ClassVar = ("AZURE_OPENAI_API_KEY",)
    transport_settings: ClassVar = OpenAIEmbeddings.transport_settings | {
        "azure_endpoint",
        "api_version",
        "use_entra_id",
    }

    azure_endpoint: str | None = None
    api_version: str | None = None
    azure_ad_token: str | None = None
    use_entra_id: bool = False

    @staticmethod
    def sensitive_keys() -> list[str]:
        """Settings that hold secrets."""
        return ["azure_ad_token"]

    def _make_client(self, openai: Any, settings: dict[str, Any]) -> Any:
        base_url = settings.pop("base_url", None)
        endpoint = self.azure_endpoint or base_url or self._variable("AZURE_OPENAI_ENDPOINT")
        if endpoint is None:
            raise VariableNotFoundError("AZURE_OPENAI_ENDPOINT")
        api_version = self.api_version or self._variable("OPENAI_API_VERSION") or API_VERSION
        key, token = self._credentials()
        if api_version == "v1":
            return openai.OpenAI(api_key=key or token, base_url=f"{endpoint.rstrip('/')}/openai/v1/", **settings)
        identity = {"azure_ad_token_provider" if callable(token) else "azure_ad_token": token} if token else {}
        return openai.AzureOpenAI(api_key=key, azure_endpoint=endpoint, api_version=api_version, **identity, **settings)

    def _credentials(self) -> tuple[str | None, Any]:
        """A key, or else a token or what gives tokens."""
        if self.use_entra_id:
            identity = self._require("azure.identity")
            return None, identity.get_bearer_token_provider(identity.DefaultAzureCredential(), TOKEN_SCOPE)
        token = self.azure_ad_token or self._variable("AZURE_OPENAI_AD_TOKEN")
        if self.azure_ad_token:
            return None, token
        key = self._key(optional=token is not None)
        return (key, None) if key else (None, token)


class TogetherEmbeddings(OpenAIEmbeddings):
    """Embeddings from Together, one of the services that speak OpenAI's protocol."""

    models: ClassVar = {
        "BAAI/bge-base-en-v1.5": Model(768, 512),
        "BAAI/bge-large-en-v1.5": Model(1024, 512),
        "intfloat/multilingual-e5-large-instruct": Model(1024, 514),
        "togethercomputer/m2-bert-80M-32k-retrieval": Model(768, 32_768),
        "Alibaba-NLP/gte-modernbert-base": Model(768, 8192),
    }
    key_variables: ClassVar = ("TOGETHER_API_KEY",)
    licence: ClassVar = "MIT"
    limits: ClassVar = "a longer text is an error"

    name: str = "intfloat/multilingual-e5-large-instruct"
    base_url: str | None = "https://api.together.xyz/v1"

    def _make_client(self, openai: Any, settings: dict[str, Any]) -> Any:
        return openai.OpenAI(api_key=self._key(), **settings)
