"""LanceDB's path of Cohere's function."""

from __future__ import annotations

from lancelike.embeddings.providers.cohere import CohereEmbeddingFunction

__all__ = ["CohereEmbeddingFunction"]
