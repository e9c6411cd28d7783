"""Cross-encoders of sentence-transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.embeddings.providers.remote import made_once
from lancelike.errors import RerankError
from lancelike.rerankers.text import TextReranker


class CrossEncoderReranker(TextReranker):
    """Ranks with a cross-encoder, which reads query and text together; it runs here.

    A text over the model's length is cut off.

    Args:
        model_name: A model of the Hugging Face hub with one label, or the path of one.
        column: The column with the texts; a search must select it.
        device: Such as `"cpu"` or `"cuda:1"`; None: an accelerator if there is one.
        return_score: `"relevance"`, or `"all"` to keep `_distance` and `_score` too.
        trust_remote_code: Run code that comes with the model.
        batch_size: Texts scored in one pass.
        kwargs: For `sentence_transformers.CrossEncoder`, such as `max_length` or `local_files_only`.
    """

    def __init__(
        self,
        model_name: str = "cross-encoder/ms-marco-TinyBERT-L-6",
        column: str = "text",
        device: str | None = None,
        return_score: str = "relevance",
        trust_remote_code: bool = False,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(column, None, return_score)
        self.model_name, self.device, self.trust_remote_code = model_name, device, trust_remote_code
        self.batch_size, self.kwargs = batch_size, kwargs

    def __str__(self) -> str:
        return f"CrossEncoderReranker(model_name={self.model_name})"

    @made_once
    def model(self) -> Any:
        """The `sentence_transformers.CrossEncoder`, loaded when first asked for.

        Raises:
            RerankError: There is no such model, or the hub can't be reached.
        """
        package = require("sentence_transformers", extra="sentence-transformers", needed_by=type(self).__name__)
        try:
            return package.CrossEncoder(
                self.model_name, device=self.device, trust_remote_code=self.trust_remote_code, **self.kwargs
            )
        except (OSError, ValueError) as error:
            raise RerankError(
                f"the model {self.model_name!r} can't be loaded: {' '.join(str(error).split())[:300]}",
                reranker=type(self).__name__,
                hint="give model_name= a folder that holds the model, or a model of the hub while that can be reached",
            ) from error

    def _relevance(self, query: str, documents: list[str]) -> NDArray[np.floating]:
        pairs = [(query, document) for document in documents]
        scores: NDArray[np.floating] = self.model.predict(pairs, batch_size=self.batch_size, show_progress_bar=False)
        return scores

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle: the settings, without the model."""
        return {name: value for name, value in vars(self).items() if name != "model"}
