"""Gradient's embeddings: the service has shut down, and tables made with it can be read on."""

from __future__ import annotations

from typing import ClassVar

from lancelike.embeddings.base import Embeddings, Role
from lancelike.embeddings.providers.remote import HTTPTextFunction, Model, in_order
from lancelike.errors import VariableNotFoundError


class GradientEmbeddings(HTTPTextFunction):
    """Embeddings from a server that speaks the protocol of Gradient, which is itself gone.

    Attributes:
        base_url: Address of the server; the default is where Gradient was.
        workspace_id: The workspace to charge; else `GRADIENT_WORKSPACE_ID`.
    """

    models: ClassVar = {"bge-large": Model(1024, 512)}
    key_variables: ClassVar = ("GRADIENT_ACCESS_TOKEN",)
    extra: ClassVar = "gradient"
    limits: ClassVar = "the service is gone; 256 inputs a request where it lives on"
    transport_settings: ClassVar = frozenset({"stated_ndims", "workspace_id"})

    name: str = "bge-large"
    base_url: str = "https://api.gradient.ai/api"
    workspace_id: str | None = None

    def _embed(self, texts: list[str], role: Role) -> Embeddings:
        inputs = [{"input": text} for text in texts]
        return in_order(self._client.post(f"/embeddings/{self.name}", {"inputs": inputs})["embeddings"])

    def _headers(self) -> dict[str, str]:
        workspace = self.workspace_id or self._variable("GRADIENT_WORKSPACE_ID")
        if workspace is None:
            raise VariableNotFoundError("GRADIENT_WORKSPACE_ID")
        return {**super()._headers(), "x-gradient-workspace-id": workspace}
