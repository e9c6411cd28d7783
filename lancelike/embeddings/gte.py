"""LanceDB's path of the function for GTE models."""

from __future__ import annotations

from lancelike.embeddings.providers.gte import GteEmbeddings

__all__ = ["GteEmbeddings"]
