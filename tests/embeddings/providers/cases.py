"""The remote functions under test, each with the wire format of its server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lancelike.embeddings import EmbeddingFunction, get_registry
from tests.embeddings import wire_protocols as wire
from tests.embeddings.wire import NDIMS, Protocol, WireServer


@dataclass(frozen=True)
class Case:
    """A function, the protocol of its server, and what is particular to it."""

    name: str
    protocol: type[Protocol]
    variable: str | None
    package: str
    settings: dict[str, Any] = field(default_factory=dict)
    roles: tuple[Any, Any] | None = None
    path: str = ""
    texts_in_a_call: int | None = None
    images_alone: bool = False
    label: str = ""
    """Set where a service takes fewer texts a call than the function's `batch_size`."""

    def __str__(self) -> str:
        return self.label or self.name

    def make(self, server: WireServer, **settings: Any) -> EmbeddingFunction:
        """The function, asking *server*."""
        fast = {"first_wait_s": 0.001, "max_wait_s": 0.05, "timeout_s": 5.0, "name": "wire-model", "ndims": NDIMS}
        given = {**fast, "base_url": server.url + self.path, **self.settings, **settings}
        resolved = {k: v.replace("{url}", server.url) if isinstance(v, str) else v for k, v in given.items()}
        made: EmbeddingFunction = (
            get_registry().get(self.name).create(**{k: v for k, v in resolved.items() if v is not None})
        )
        return made


CASES = [
    Case("openai", wire.OpenAI, "OPENAI_API_KEY", "openai", path="/v1"),
    Case("azure-openai", wire.Azure, "AZURE_OPENAI_API_KEY", "openai"),
    Case("azure-openai", wire.Azure, "AZURE_OPENAI_API_KEY", "openai", {"api_version": "v1"}, label="azure-v1"),
    Case("openai", wire.Azure, "AZURE_OPENAI_API_KEY", "openai", {"use_azure": True}, label="openai-use_azure"),
    Case("together", wire.OpenAI, "TOGETHER_API_KEY", "openai", path="/v1"),
    Case("clarifai", wire.Clarifai, "CLARIFAI_PAT", "openai", path="/v2/ext/openai/v1"),
    Case("cohere", wire.Cohere, "COHERE_API_KEY", "cohere", roles=("search_document", "search_query")),
    Case("gemini-text", wire.Gemini, "GOOGLE_API_KEY", "google.genai", roles=("RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY")),
    Case(
        "vertex-multimodal",
        wire.Vertex,
        "VERTEX_TOKEN",
        "google.auth.transport.requests",
        {"access_token": "$var:VERTEX_TOKEN", "project": "p", "max_input_tokens": 1000},
        texts_in_a_call=1,
    ),
    Case("bedrock-text", wire.Bedrock, "AWS_ACCESS_KEY_ID", "boto3", {"name": "us.amazon.titan-x"}, texts_in_a_call=1),
    Case(
        "bedrock-text",
        wire.Bedrock,
        "AWS_ACCESS_KEY_ID",
        "boto3",
        {"name": "cohere.embed-v9"},
        roles=("search_document", "search_query"),
        label="bedrock-cohere",
    ),
    Case(
        "bedrock-text",
        wire.Bedrock,
        "AWS_ACCESS_KEY_ID",
        "boto3",
        {"name": "amazon.nova-x"},
        roles=("GENERIC_INDEX", "GENERIC_RETRIEVAL"),
        texts_in_a_call=1,
        label="bedrock-nova",
    ),
    Case("voyageai", wire.Voyage, "VOYAGE_API_KEY", "voyageai", roles=("document", "query")),
    Case(
        "voyageai",
        wire.Voyage,
        "VOYAGE_API_KEY",
        "voyageai",
        {"name": "voyage-context-9"},
        roles=("document", "query"),
        label="voyage-context",
    ),
    Case(
        "voyageai",
        wire.Voyage,
        "VOYAGE_API_KEY",
        "voyageai",
        {"name": "voyage-multimodal-9"},
        roles=("document", "query"),
        label="voyage-multimodal",
    ),
    Case("jina", wire.Jina, "JINA_API_KEY", "requests", path="/v1"),
    Case(
        "jina",
        wire.Jina,
        "JINA_API_KEY",
        "requests",
        {"name": "jina-embeddings-v3-x"},
        roles=("retrieval.passage", "retrieval.query"),
        path="/v1",
        label="jina-v3",
    ),
    Case("mistral", wire.Mistral, "MISTRAL_API_KEY", "mistralai.client"),
    Case("ollama", wire.Ollama, None, "ollama"),
    Case(
        "huggingface-api",
        wire.HuggingFace,
        "HF_TOKEN",
        "huggingface_hub",
        {"source_prompt_name": "passage", "query_prompt_name": "query"},
        roles=("passage", "query"),
    ),
    Case("huggingface-api", wire.HuggingFaceTokens, "HF_TOKEN", "huggingface_hub", label="huggingface-unpooled"),
    Case(
        "tei",
        wire.TEI,
        "TEI_API_KEY",
        "requests",
        {"name": None, "source_prompt_name": "passage", "query_prompt_name": "query"},
        roles=("passage", "query"),
        texts_in_a_call=4,
    ),
    Case("watsonx", wire.Watsonx, "WATSONX_API_KEY", "requests", {"iam_url": "{url}", "project_id": "p1"}),
    Case("nomic", wire.Nomic, "NOMIC_API_KEY", "requests", roles=("search_document", "search_query"), path="/v1"),
    Case("elasticsearch", wire.Elasticsearch, "ELASTICSEARCH_API_KEY", "elasticsearch", roles=("ingest", "search")),
    Case(
        "elasticsearch",
        wire.Elasticsearch,
        "ELASTICSEARCH_API_KEY",
        "elasticsearch",
        {"api": "ml"},
        label="elasticsearch-ml",
    ),
    Case("gradient", wire.Gradient, "GRADIENT_ACCESS_TOKEN", "requests", {"workspace_id": "w1"}, path="/api"),
    Case("llmrails", wire.LLMRails, "LLM_RAILS_API_KEY", "requests", path="/v1"),
]
