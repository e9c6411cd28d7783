"""LanceDB's name for GTE models, kept for its tables and scripts; sentence-transformers runs them."""

from __future__ import annotations

from typing import ClassVar, Literal

from lancelike.embeddings.description import FunctionDescription
from lancelike.embeddings.providers.sentence_transformers import SentenceTransformerEmbeddings


class GteEmbeddings(SentenceTransformerEmbeddings):
    """A GTE model through sentence-transformers.

    Attributes:
        mlx: Kept for LanceDB's tables; Apple's MLX is not used here, and only False is taken.
    """

    applies_prompts: ClassVar[bool] = True
    batches_queries: ClassVar[bool] = True
    description: ClassVar[FunctionDescription] = FunctionDescription(
        modalities=("text",),
        runs="local",
        extra="sentence-transformers",
        default_model="thenlper/gte-large",
        licence="MIT",
        ndims=1024,
        context_tokens=512,
        limits="a longer text is an error, cut off, or averaged, as on_long says",
    )

    name: str = "thenlper/gte-large"
    mlx: Literal[False] = False
