"""LanceDB's path of the function for ColPali models."""

from __future__ import annotations

from lancelike.embeddings.providers.colpali import ColPaliEmbeddings

__all__ = ["ColPaliEmbeddings"]
