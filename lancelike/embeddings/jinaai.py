"""LanceDB's path of Jina's function."""

from __future__ import annotations

from lancelike.embeddings.providers.jina import JinaEmbeddings

__all__ = ["JinaEmbeddings"]
