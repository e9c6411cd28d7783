"""Embedding functions as LangChain has them.

```python
from lancelike.integrations.langchain import LancelikeEmbeddings

embeddings = LancelikeEmbeddings("default")
```
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lancelike._optional import require
from lancelike.embeddings.base import EmbeddingFunction
from lancelike.embeddings.batching import embed_query
from lancelike.embeddings.registry import get_registry
from lancelike.embeddings.requests import embed_sources

require("langchain_core", extra="langchain", needed_by="lancelike.integrations.langchain")

from langchain_core.embeddings import Embeddings  # noqa: E402 - after the check that says how to install it

__all__ = ["LancelikeEmbeddings"]


class LancelikeEmbeddings(Embeddings):
    """Any embedding function of lancelike as a LangChain `Embeddings`; retries and batches are the function's.

    Args:
        function: The function, or its registered name.
        settings: Its settings, where a name is given.
    """

    def __init__(self, function: EmbeddingFunction | str, **settings: Any) -> None:
        self.function = get_registry().get(function).create(**settings) if isinstance(function, str) else function

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed *texts* as sources: a vector each, in their order.

        Raises:
            EmbeddingError: A text could not be embedded; `row` is its position.
        """
        return [np.asarray(vector).tolist() for vector in embed_sources(self.function, texts)]

    def embed_query(self, text: str) -> list[float]:
        """Embed *text* as a query.

        Raises:
            EmbeddingError: It could not be embedded.
        """
        vector: list[float] = embed_query(self.function, text).tolist()
        return vector

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.function!r})"
