"""Tables; one module for each group of a table's methods."""

from lancelike.table.table import LanceTable, Table

__all__ = ["LanceTable", "Table"]
