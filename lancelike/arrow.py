"""Streams of record batches, under LanceDB's import path."""

from lancelike.query import AsyncRecordBatchReader

__all__ = ["AsyncRecordBatchReader"]
