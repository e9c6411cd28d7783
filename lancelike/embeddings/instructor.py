"""LanceDB's path of the function for INSTRUCTOR models."""

from __future__ import annotations

from lancelike.embeddings.providers.instructor import InstructorEmbeddingFunction

__all__ = ["InstructorEmbeddingFunction"]
