"""LanceDB's path of the function for sentence-transformers models."""

from __future__ import annotations

from lancelike.embeddings.providers.sentence_transformers import SentenceTransformerEmbeddings

__all__ = ["SentenceTransformerEmbeddings"]
