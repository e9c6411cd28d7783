"""The database under LanceDB's import path."""

from __future__ import annotations

from lancelike.database import DBConnection, LanceDBConnection, ListTablesResponse

__all__ = ["DBConnection", "LanceDBConnection", "ListTablesResponse"]
