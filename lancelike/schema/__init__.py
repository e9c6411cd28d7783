"""What a table looks like: pydantic models, Arrow schemas, and the bindings between their columns. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.schema.arrow import (
        column_encoder,
        model_from_schema,
        model_to_row,
        pydantic_to_schema,
        row_to_values,
    )
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
    from lancelike.schema.columns import MEDIA_FORMS as MEDIA_FORMS
    from lancelike.schema.columns import column_names as column_names
    from lancelike.schema.columns import logical_type as logical_type
    from lancelike.schema.columns import media_columns as media_columns
    from lancelike.schema.fields import source_field, vector_field
    from lancelike.schema.model import LanceModel
    from lancelike.schema.vector import FixedSizeListMixin, MultiVector, Vector

_HOMES = {
    "BoundFunction": "bindings",
    "EmbeddingFunctionConfig": "bindings",
    "FixedSizeListMixin": "vector",
    "LanceModel": "model",
    "MEDIA_FORMS": "columns",
    "MultiVector": "vector",
    "StoredBinding": "bindings",
    "Vector": "vector",
    "bindings_to_metadata": "bindings",
    "blob_column_paths": "blobs",
    "blob_v2_column_paths": "blobs",
    "column_encoder": "arrow",
    "column_names": "columns",
    "drop_from_metadata": "bindings",
    "is_blob_like_field": "blobs",
    "is_blob_v2_field": "blobs",
    "logical_type": "columns",
    "media_columns": "columns",
    "model_from_schema": "arrow",
    "model_to_row": "arrow",
    "pydantic_to_schema": "arrow",
    "rename_in_metadata": "bindings",
    "render_template": "bindings",
    "row_addressable_blob_v2_paths": "blobs",
    "row_to_values": "arrow",
    "schema_has_blob_field": "blobs",
    "source_field": "fields",
    "stored_bindings": "bindings",
    "template_fields": "bindings",
    "vector_field": "fields",
}

__all__ = [
    "MEDIA_FORMS",
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
    "column_names",
    "drop_from_metadata",
    "is_blob_like_field",
    "is_blob_v2_field",
    "logical_type",
    "media_columns",
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

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES)
