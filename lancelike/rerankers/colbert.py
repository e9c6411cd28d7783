"""ColBERT."""

from __future__ import annotations

from typing import Any

from lancelike.rerankers.answerdotai import AnswerdotaiRerankers


class ColbertReranker(AnswerdotaiRerankers):
    """Ranks by late interaction: for each token of the query its nearest token of the text.

    Args:
        model_name: A ColBERT model, or the path of one.
        column: The column with the texts; a search must select it.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        kwargs: For `rerankers.Reranker`, such as `device`.
    """

    def __init__(
        self,
        model_name: str = "colbert-ir/colbertv2.0",
        column: str = "text",
        return_score: str = "relevance",
        **kwargs: Any,
    ) -> None:
        super().__init__("colbert", model_name, column, return_score, **kwargs)
