"""The database under LanceDB's import path."""

from __future__ import annotations

from lancelike.aio.connection import AsyncConnection
from lancelike.database import DBConnection, LanceDBConnection, ListTablesResponse

__all__ = ["AsyncConnection", "DBConnection", "LanceDBConnection", "ListTablesResponse"]
