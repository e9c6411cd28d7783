"""What a database's functions lack here, found before it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from lancelike.errors import EmbeddingFunctionUnavailable, LancelikeError, VariableNotFoundError
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import JSON

SCHEMA = pa.schema(
    {
        "table": pa.string(),
        "vector_column": pa.string(),
        "source_column": pa.string(),
        "function": pa.string(),
        "ok": pa.bool_(),
        "problem": pa.string(),
        "hint": pa.string(),
    }
)


def examine(tables: Iterable[tuple[str, pa.Schema, Sequence[EmbeddingFunctionConfig]]]) -> pa.Table:
    """One row for each embedding function of *tables*, given by name, schema and bindings; nothing is embedded.

    Returns:
        `table`, `vector_column`, `source_column`, `function`, `ok`, and where that is false `problem` and `hint`.
    """
    rows = [row for name, schema, bindings in tables for row in _rows(name, schema, bindings)]
    return pa.Table.from_pylist(rows, SCHEMA)


def _rows(table: str, schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig]) -> Iterator[JSON]:
    for binding in bindings:
        problem, hint = _column_problem(schema, binding) or _function_problem(binding) or (None, None)
        yield {
            "table": table,
            "vector_column": binding.vector_column,
            "source_column": ", ".join(binding.source_columns),
            "function": binding.function.label,
            "ok": problem is None,
            "problem": problem,
            "hint": hint,
        }


def _column_problem(schema: pa.Schema, binding: EmbeddingFunctionConfig) -> tuple[str, str] | None:
    if binding.vector_column not in schema.names:
        return f"the table has no column {binding.vector_column!r}", "add it with add_embedding"
    missing = [column for column in binding.source_columns if column not in schema.names]
    if missing:
        return f"the table has no column {missing[0]!r} to embed", "rows must bring their vectors; search works"
    return None


def _function_problem(binding: EmbeddingFunctionConfig) -> tuple[str, str] | None:
    try:
        binding.function.preflight()
    except EmbeddingFunctionUnavailable as error:
        return error.problem, error.hint
    except VariableNotFoundError as error:
        return f"the variable {error.variable} has no value", str(error)
    except (ImportError, LancelikeError) as error:
        return str(error), ""
    return None
