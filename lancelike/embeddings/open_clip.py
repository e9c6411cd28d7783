"""LanceDB's path of the function for open_clip's models."""

from __future__ import annotations

from lancelike.embeddings.providers.open_clip import OpenClipEmbeddings

__all__ = ["OpenClipEmbeddings"]
