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
from lancelike.schema.blobs import (
    blob_column_paths,
    blob_v2_column_paths,
    is_blob_like_field,
    is_blob_v2_field,
    row_addressable_blob_v2_paths,
    schema_has_blob_field,
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
    "blob_column_paths",
    "blob_v2_column_paths",
    "column_encoder",
    "drop_from_metadata",
    "is_blob_like_field",
    "is_blob_v2_field",
    "model_from_schema",
    "model_to_row",
    "pydantic_to_schema",
    "rename_in_metadata",
    "render_template",
    "row_addressable_blob_v2_paths",
    "row_to_values",
    "schema_has_blob_field",
    "source_field",
    "stored_bindings",
    "template_fields",
    "vector_field",
]
