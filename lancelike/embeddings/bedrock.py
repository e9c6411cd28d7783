"""LanceDB's path of the function of AWS Bedrock."""

from __future__ import annotations

from lancelike.embeddings.providers.bedrock import BedRockText

__all__ = ["BedRockText"]
