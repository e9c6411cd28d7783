"""Rerankers of IBM's watsonx.ai."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar, Unpack

from lancelike.embeddings.providers.remote import JSONClient, made_once
from lancelike.embeddings.providers.watsonx import API_VERSION, DEFAULT_URL, IAM_URL, Login, charged_scope
from lancelike.errors import QueryError
from lancelike.rerankers.remote import RemoteReranker, ServiceSettings


class WatsonxReranker(RemoteReranker):
    """Ranks with a reranker of watsonx.ai, within a project or a deployment space.

    Args:
        model_name: The model.
        column: The column with the texts; a search must select it.
        top_n: Return so many rows, the best; None: all.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        api_key: The key, or `"$var:NAME"`; None: that of `WATSONX_API_KEY` or `WATSONX_APIKEY`.
        project_id: Project to charge; else `WATSONX_PROJECT_ID`.
        space_id: Deployment space to charge in place of a project; else `WATSONX_SPACE_ID`.
        url: Address of the service in your region; `base_url` goes before it.
        truncate_input_tokens: Cut off texts over so many tokens; None: a text over the model's length is an error.
        iam_url: Where the key is turned into a token.
        service: How the service is reached; see `ServiceSettings`.

    Raises:
        QueryError: Both *project_id* and *space_id* are given.
    """

    extra: ClassVar = "watsonx"
    key_variables: ClassVar = ("WATSONX_API_KEY", "WATSONX_APIKEY")
    max_documents: ClassVar = 1000

    def __init__(
        self,
        model_name: str = "cross-encoder/ms-marco-minilm-l-12-v2",
        column: str = "text",
        top_n: int | None = None,
        return_score: str = "relevance",
        api_key: str | None = None,
        project_id: str | None = None,
        space_id: str | None = None,
        url: str | None = None,
        truncate_input_tokens: int | None = None,
        *,
        iam_url: str = IAM_URL,
        **service: Unpack[ServiceSettings],
    ) -> None:
        if project_id and space_id:
            raise QueryError("give project_id or space_id, not both")
        super().__init__(model_name, column, top_n, return_score, api_key, **service)
        self.project_id, self.space_id, self.url, self.iam_url = project_id, space_id, url, iam_url
        self.truncate_input_tokens = truncate_input_tokens

    def _ask(self, query: str, documents: Sequence[str]) -> Iterable[tuple[int, float]]:
        truncated = self.truncate_input_tokens
        body = {
            "model_id": self.model_name,
            "query": query,
            "inputs": [{"text": document} for document in documents],
            "parameters": {"truncate_input_tokens": truncated} if truncated else None,
            **charged_scope(self.project_id, self.space_id),
        }
        self._client.set_header("Authorization", f"Bearer {self._login.token()}")
        results = self._client.post(f"/ml/v1/text/rerank?version={API_VERSION}", body)["results"]
        return [(result["index"], result["score"]) for result in results]

    @made_once
    def _client(self) -> JSONClient:
        charged_scope(self.project_id, self.space_id)
        self._key()
        return JSONClient(self._require("requests"), self.base_url or self.url or DEFAULT_URL, {}, self.timeout_s)

    @cached_property
    def _login(self) -> Login:
        return Login(JSONClient(self._require("requests"), self.iam_url, {}, self.timeout_s), self._key())
