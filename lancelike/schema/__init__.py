"""What a table looks like: pydantic models, Arrow schemas, and the bindings between their columns. No I/O."""

from lancelike.schema.arrow import column_encoder, model_from_schema, model_to_row, pydantic_to_schema, row_to_values
from lancelike.schema.bindings import (
    BoundFunction,
    EmbeddingFunctionConfig,
    StoredBinding,
    bindings_to_metadata,
    drop_from_metadata,
    rename_in_metadata,
    render_template,
    stored_bindings,
    template_fields,
)
from lancelike.schema.fields import source_field, vector_field
from lancelike.schema.model import LanceModel
from lancelike.schema.vector import FixedSizeListMixin, MultiVector, Vector

__all__ = [
    "BoundFunction",
    "EmbeddingFunctionConfig",
    "FixedSizeListMixin",
    "LanceModel",
    "MultiVector",
    "StoredBinding",
    "Vector",
    "bindings_to_metadata",
    "column_encoder",
    "drop_from_metadata",
    "model_from_schema",
    "model_to_row",
    "pydantic_to_schema",
    "rename_in_metadata",
    "render_template",
    "row_to_values",
    "source_field",
    "stored_bindings",
    "template_fields",
    "vector_field",
]
