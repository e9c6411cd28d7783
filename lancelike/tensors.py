"""Arrow data as torch tensors, copied: a tensor may be written to, and Arrow's memory may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelike._optional import require

if TYPE_CHECKING:
    import torch


def tbl_to_tensor(tbl: pa.Table | pa.RecordBatch) -> torch.Tensor:
    """The columns of *tbl* as one tensor, shape (columns, rows); all must be numbers of one type, in one chunk.

    Raises:
        ValueError: A column has several chunks; `combine_chunks` makes one of them.
        TypeError: A column's type has no tensor.
    """
    return _torch("tbl_to_tensor").stack([_tensor(_one_chunk(column), name) for name, column in _columns(tbl)])


def batch_to_tensor(batch: pa.RecordBatch) -> torch.Tensor:
    """The columns of *batch* as one tensor, shape (columns, rows); all must be numbers of one type."""
    return tbl_to_tensor(batch)


def batch_to_tensor_rows(batch: pa.RecordBatch) -> list[torch.Tensor]:
    """The rows of *batch* as tensors, shape (columns,) each; columns of several types become their common one."""
    columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
    return list(_torch("the torch_row format").tensor(np.column_stack(columns)).unbind(dim=0))


def batch_to_tensor_dict(batch: pa.RecordBatch) -> list[dict[str, torch.Tensor]]:
    """The rows of *batch* as dicts of tensors, which torch's `DataLoader` stacks into a dict of batches.

    A number is a tensor of shape (), a vector one of shape (ndims,).

    Raises:
        TypeError: A column's type has no tensor, or it has nulls.
    """
    tensors = {name: _tensor(column, name) for name, column in _columns(batch)}
    return [{name: tensor[row] for name, tensor in tensors.items()} for row in range(batch.num_rows)]


def _columns(table: pa.Table | pa.RecordBatch) -> list[tuple[str, Any]]:
    return list(zip(table.schema.names, table.columns, strict=True))


def _one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks > 1:
        raise ValueError(f"a column has {column.num_chunks} chunks; give the table's combine_chunks()")
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _tensor(column: pa.Array, name: str) -> torch.Tensor:
    if column.null_count:
        raise TypeError(f"column {name!r} has nulls, which no tensor holds; filter them out or fill them")
    if pa.types.is_fixed_size_list(column.type):
        values = _tensor(column.flatten(), name)
        return values.reshape(len(column), column.type.list_size)
    try:
        tensor: torch.Tensor = _torch("a torch format").tensor(column.to_numpy(zero_copy_only=False))
    except TypeError as error:
        raise TypeError(f"column {name!r} of type {column.type} has no tensor; select columns of numbers") from error
    return tensor


def _torch(needed_by: str) -> Any:
    return require("torch", extra="torch", needed_by=needed_by)
