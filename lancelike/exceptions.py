"""Errors under LanceDB's import path."""

from __future__ import annotations

from lancelike.errors import ColumnNotFoundError as MissingColumnError
from lancelike.errors import JobCancelledError, JobFailedError

__all__ = ["JobCancelledError", "JobFailedError", "MissingColumnError"]
