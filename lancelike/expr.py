"""Typed filters and values: `(col("price") < 10) & col("name").is_not_null()`."""

from lancelike.query.expressions import Expr, col, func, lit

__all__ = ["Expr", "col", "func", "lit"]
