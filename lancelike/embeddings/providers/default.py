"""The function to begin with: a small English model on this machine's CPU, with no torch."""

from __future__ import annotations

from lancelike.embeddings.providers.onnx import OnnxEmbeddings


class DefaultEmbeddings(OnnxEmbeddings):
    """all-MiniLM-L6-v2 through onnxruntime: 384 numbers of unit length from up to 256 tokens."""
