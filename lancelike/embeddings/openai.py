"""LanceDB's path of OpenAI's function."""

from __future__ import annotations

from lancelike.embeddings.providers.openai import OpenAIEmbeddings

__all__ = ["OpenAIEmbeddings"]
