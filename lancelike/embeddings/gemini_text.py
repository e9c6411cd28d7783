"""LanceDB's path of Gemini's function."""

from __future__ import annotations

from lancelike.embeddings.providers.gemini import GeminiText

__all__ = ["GeminiText"]
