"""LanceDB's path of the function of watsonx.ai, and its models."""

from __future__ import annotations

from lancelike.embeddings.providers.watsonx import CURRENT_MODELS, MODELS_DIMS, WatsonxEmbeddings

__all__ = ["CURRENT_MODELS", "MODELS_DIMS", "WatsonxEmbeddings"]
