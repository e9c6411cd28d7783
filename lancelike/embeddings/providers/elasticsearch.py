"""Models that an Elasticsearch cluster runs, or asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import KeyedTextFunction, made_once, without_none
from lancelike.embeddings.retrying import Verdict


class ElasticsearchEmbeddings(KeyedTextFunction):
    """Embeddings through Elasticsearch: from an inference endpoint, or from a trained model deployed to the cluster.

    Attributes:
        name: Id of the endpoint or of the trained model.
        api: `"inference"` for an endpoint, which tells queries from stored texts, `"ml"` for a trained model.
        hosts: Addresses of the cluster; `base_url` goes before them.
        cloud_id: Id of a deployment of Elastic Cloud, in place of addresses.
        username: Name to log in with in place of an API key.
        password: Its password, as `"$var:NAME"`.
        input_field: The field in which a trained model takes its text.
        ca_certs: Path of the certificates that sign the cluster's.
    """

    key_variables: ClassVar = ("ELASTICSEARCH_API_KEY", "ELASTIC_API_KEY", "ES_API_KEY")
    extra: ClassVar = "elasticsearch"
    licence: ClassVar = None
    price_unit: ClassVar = None
    roles: ClassVar = ("source", "query")
    limits: ClassVar = "those of the model"
    transport_settings: ClassVar = frozenset({"stated_ndims", "hosts", "cloud_id", "username", "ca_certs"})

    batch_size: int = Field(64, ge=1)
    api: Literal["inference", "ml"] = "inference"
    hosts: str | list[str] = "http://localhost:9200"
    cloud_id: str | None = None
    username: str | None = None
    password: str | None = None
    input_field: str = "text_field"
    ca_certs: str | None = None

    def classify_error(self, error: Exception) -> Verdict:
        """`"retry"` also for the package's own time-outs."""
        return "retry" if type(error).__name__ == "ConnectionTimeout" else super().classify_error(error)

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        try:
            return self._by_model(texts) if self.api == "ml" else self._by_endpoint(texts, role)
        except Exception as error:
            if meta := getattr(error, "meta", None):
                error.headers = meta.headers  # type: ignore[attr-defined]  # where Retry-After is looked for
            raise

    def _by_endpoint(self, texts: list[str], role: Role) -> Sequence[Any]:
        reply = self._client.inference.text_embedding(
            inference_id=self.name,
            input=texts,
            input_type="ingest" if role == "source" else "search",
            timeout=self._server_timeout,
        )
        return [item["embedding"] for item in reply["text_embedding"]]

    def _by_model(self, texts: list[str]) -> Sequence[Any]:
        docs = [{self.input_field: text} for text in texts]
        reply = self._client.ml.infer_trained_model(model_id=self.name, docs=docs, timeout=self._server_timeout)
        return [result["predicted_value"] for result in reply["inference_results"]]

    @property
    def _server_timeout(self) -> str:
        return f"{round(self.timeout_s * 1000)}ms"

    @made_once
    def _client(self) -> Any:
        place = {"cloud_id": self.cloud_id} if self.cloud_id else {"hosts": self.base_url or self.hosts}
        login = {"basic_auth": (self.username, self.password)} if self.username else {"api_key": self._key()}
        return self._require("elasticsearch").Elasticsearch(
            **place, **login, **without_none({"ca_certs": self.ca_certs}), request_timeout=self.timeout_s, max_retries=0
        )
