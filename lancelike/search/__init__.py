"""Running queries against a table: from a query to rows."""

from lancelike.search.run import Searcher

__all__ = ["Searcher"]
