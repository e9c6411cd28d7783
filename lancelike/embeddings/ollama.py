"""LanceDB's path of Ollama's function."""

from __future__ import annotations

from lancelike.embeddings.providers.ollama import OllamaEmbeddings

__all__ = ["OllamaEmbeddings"]
