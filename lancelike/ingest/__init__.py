"""From the caller's rows to batches with vectors: reading, aligning, checking, embedding, updating, merging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelike import _lazy

if TYPE_CHECKING:
    from lancelike.ingest.aligning import align
    from lancelike.ingest.append import append_rows
    from lancelike.ingest.batch import Batch
    from lancelike.ingest.computed import add_computed
    from lancelike.ingest.embed import EmbedInputs, embed_batches, embed_rows, fill_lacking, source_inputs
    from lancelike.ingest.infer import infer_schema
    from lancelike.ingest.join import join_columns
    from lancelike.ingest.merge import MergeClauses, merge_rows
    from lancelike.ingest.pipeline import create_batches, ingest, refuse_blob_sources, with_bindings
    from lancelike.ingest.progress import index_progress, report_progress
    from lancelike.ingest.read import Source, read_batches
    from lancelike.ingest.rereading import BindingsIn, until_written
    from lancelike.ingest.setting import literal_for
    from lancelike.ingest.sources import limits_of
    from lancelike.ingest.update import plan_update, refresh_computed, update_rows
    from lancelike.ingest.vectors import fit_vectors

_HOMES = {
    "Batch": "batch",
    "BindingsIn": "rereading",
    "EmbedInputs": "embed",
    "MergeClauses": "merge",
    "Source": "read",
    "add_computed": "computed",
    "align": "aligning",
    "append_rows": "append",
    "create_batches": "pipeline",
    "embed_batches": "embed",
    "embed_rows": "embed",
    "fill_lacking": "embed",
    "fit_vectors": "vectors",
    "index_progress": "progress",
    "infer_schema": "infer",
    "ingest": "pipeline",
    "join_columns": "join",
    "limits_of": "sources",
    "literal_for": "setting",
    "merge_rows": "merge",
    "plan_update": "update",
    "read_batches": "read",
    "refresh_computed": "update",
    "refuse_blob_sources": "pipeline",
    "report_progress": "progress",
    "source_inputs": "embed",
    "until_written": "rereading",
    "update_rows": "update",
    "with_bindings": "pipeline",
}

__all__ = [
    "Batch",
    "BindingsIn",
    "EmbedInputs",
    "MergeClauses",
    "Source",
    "add_computed",
    "align",
    "append_rows",
    "create_batches",
    "embed_batches",
    "embed_rows",
    "fill_lacking",
    "fit_vectors",
    "index_progress",
    "infer_schema",
    "ingest",
    "join_columns",
    "limits_of",
    "literal_for",
    "merge_rows",
    "plan_update",
    "read_batches",
    "refresh_computed",
    "refuse_blob_sources",
    "report_progress",
    "source_inputs",
    "until_written",
    "update_rows",
    "with_bindings",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy.names(__name__, _HOMES)
