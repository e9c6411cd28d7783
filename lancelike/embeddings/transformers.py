"""LanceDB's path of the functions for models of the transformers package."""

from __future__ import annotations

from lancelike.embeddings.providers.transformers import ColbertEmbeddings, TransformersEmbeddingFunction

__all__ = ["ColbertEmbeddings", "TransformersEmbeddingFunction"]
