"""lancelike: a columnar table store whose schema says how each vector comes to be.

Example:
    >>> import lancelike
    >>> table = lancelike.connect("memory://").create_table("docs", [{"id": 1, "vector": [0.1, 0.9]}])
    >>> [row["id"] for row in table.search([0.0, 1.0]).limit(1).to_list()]
    [1]
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from lancelike import db, embeddings, errors, index, pydantic, query, table
from lancelike.database import DBConnection, LanceDBConnection, connect
from lancelike.errors import LancelikeError
from lancelike.table import LanceTable, Table

try:
    __version__ = version("lancelike")
except PackageNotFoundError:  # run from a source tree that isn't installed
    __version__ = "0+unknown"

__all__ = [
    "DBConnection",
    "LanceDBConnection",
    "LanceTable",
    "LancelikeError",
    "Table",
    "__version__",
    "connect",
    "db",
    "embeddings",
    "errors",
    "index",
    "pydantic",
    "query",
    "table",
]
