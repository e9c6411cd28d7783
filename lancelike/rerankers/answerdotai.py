"""The rerankers of AnswerDotAI's package `rerankers`."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

from lancelike._optional import require
from lancelike.embeddings.providers.remote import made_once
from lancelike.errors import RerankError
from lancelike.rerankers.text import TextReranker


class AnswerdotaiRerankers(TextReranker):
    """Ranks with any model of the package `rerankers`; where a model tells no scores, with `1 / place`.

    Args:
        model_type: The package's word for the kind of model: `colbert`, `cross-encoder`, `t5`, `flashrank`, ...
        model_name: A model of that kind, or the path of one.
        column: The column with the texts; a search must select it.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        kwargs: For `rerankers.Reranker`, such as `device`.
    """

    def __init__(
        self,
        model_type: str = "colbert",
        model_name: str = "answerdotai/answerai-colbert-small-v1",
        column: str = "text",
        return_score: str = "relevance",
        **kwargs: Any,
    ) -> None:
        super().__init__(column, None, return_score)
        self.model_type, self.model_name, self.kwargs = model_type, model_name, {"verbose": 0, **kwargs}

    def __str__(self) -> str:
        return f"{type(self).__name__}(model_type={self.model_type}, model_name={self.model_name})"

    @made_once
    def reranker(self) -> Any:
        """The package's reranker, loaded when first asked for.

        Raises:
            RerankError: The package has no such kind, or lacks what this one needs.
        """
        package = require("rerankers", extra="rerankers", needed_by=type(self).__name__)
        if self.model_type == "colbert":
            _fit_colbert_to_transformers_5()
        made = package.Reranker(model_name=self.model_name, model_type=self.model_type, **self.kwargs)
        if made is None:
            raise RerankError(
                f"rerankers has no model of type {self.model_type!r} here",
                reranker=type(self).__name__,
                hint=f"pip install 'rerankers[all]', or with the one extra that {self.model_type!r} needs",
            )
        return made

    def _relevance(self, query: str, documents: list[str]) -> list[float]:
        places = list(range(len(documents)))
        ranking = self.reranker.rank(query, documents, doc_ids=places)
        scores = {each.document.doc_id: each.score if ranking.has_scores else 1 / each.rank for each in ranking.results}
        return [scores[place] for place in places]

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle: the settings, without the model."""
        return {name: value for name, value in vars(self).items() if name != "reranker"}


def _fit_colbert_to_transformers_5() -> None:
    """Let the package's ColBERT load: rerankers 0.10 is written for transformers 4, whose models ask for no such thing.

    It names weights that are tied to others; ColBERT ties none.
    """
    with suppress(ImportError):
        model = importlib.import_module("rerankers.models.colbert_ranker").ColBERTModel
        if not hasattr(model, "all_tied_weights_keys"):
            model.all_tied_weights_keys = {}
