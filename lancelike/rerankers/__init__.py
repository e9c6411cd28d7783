"""Rerankers: what orders the rows of a search anew, or makes one list of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.rerankers.answerdotai import AnswerdotaiRerankers
    from lancelike.rerankers.base import Reranker, check_reranker_result
    from lancelike.rerankers.cohere import CohereReranker
    from lancelike.rerankers.colbert import ColbertReranker
    from lancelike.rerankers.cross_encoder import CrossEncoderReranker
    from lancelike.rerankers.jinaai import JinaReranker
    from lancelike.rerankers.linear_combination import LinearCombinationReranker
    from lancelike.rerankers.mrr import MRRReranker
    from lancelike.rerankers.openai import OpenaiReranker
    from lancelike.rerankers.rrf import RRFReranker
    from lancelike.rerankers.typesafe import TypeSafeReranker
    from lancelike.rerankers.voyageai import VoyageAIReranker
    from lancelike.rerankers.watsonx import WatsonxReranker

_HOMES = {
    "AnswerdotaiRerankers": "answerdotai",
    "CohereReranker": "cohere",
    "ColbertReranker": "colbert",
    "CrossEncoderReranker": "cross_encoder",
    "JinaReranker": "jinaai",
    "LinearCombinationReranker": "linear_combination",
    "MRRReranker": "mrr",
    "OpenaiReranker": "openai",
    "RRFReranker": "rrf",
    "Reranker": "base",
    "TypeSafeReranker": "typesafe",
    "check_reranker_result": "base",
    "VoyageAIReranker": "voyageai",
    "WatsonxReranker": "watsonx",
}

__all__ = [
    "AnswerdotaiRerankers",
    "CohereReranker",
    "ColbertReranker",
    "CrossEncoderReranker",
    "JinaReranker",
    "LinearCombinationReranker",
    "MRRReranker",
    "OpenaiReranker",
    "RRFReranker",
    "Reranker",
    "TypeSafeReranker",
    "VoyageAIReranker",
    "WatsonxReranker",
    "check_reranker_result",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES)
