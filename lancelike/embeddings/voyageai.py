"""LanceDB's path of Voyage's function."""

from __future__ import annotations

from lancelike.embeddings.providers.voyageai import VoyageAIEmbeddingFunction

__all__ = ["VoyageAIEmbeddingFunction"]
