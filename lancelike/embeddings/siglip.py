"""LanceDB's path of the function for SigLIP models."""

from __future__ import annotations

from lancelike.embeddings.providers.siglip import SigLipEmbeddings

__all__ = ["SigLipEmbeddings"]
