"""What a batch of a permutation is handed over as."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pyarrow as pa

from lancelike._optional import require
from lancelike.tensors import batch_to_tensor, batch_to_tensor_dict, batch_to_tensor_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl

Format: TypeAlias = Literal[
    "numpy", "python", "python_col", "pandas", "arrow", "torch", "torch_row", "torch_col", "polars"
]
Transform: TypeAlias = Callable[[pa.RecordBatch], Any]


class Transforms:
    """From an Arrow batch to other forms."""

    @staticmethod
    def arrow2python(batch: pa.RecordBatch) -> list[dict[str, Any]]:
        """A dict for each row."""
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows

    @staticmethod
    def arrow2pythoncol(batch: pa.RecordBatch) -> dict[str, list[Any]]:
        """A list for each column."""
        columns: dict[str, list[Any]] = batch.to_pydict()
        return columns

    @staticmethod
    def arrow2arrow(batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch."""
        return batch

    @staticmethod
    def arrow2numpy(batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
        """One array, shape (rows, columns), of the columns' common type."""
        array: np.ndarray[Any, Any] = Transforms.arrow2pandas(batch).to_numpy()
        return array

    @staticmethod
    def arrow2pandas(batch: pa.RecordBatch) -> pd.DataFrame:
        """A pandas frame."""
        require("pandas", extra="pandas", needed_by="this format")
        frame: pd.DataFrame = batch.to_pandas()
        return frame

    @staticmethod
    def arrow2polars(batch: pa.RecordBatch) -> pl.DataFrame:
        """A polars frame that shares memory with the batch where it can."""
        frame: pl.DataFrame = require("polars", extra="polars", needed_by="this format").from_arrow(batch)
        return frame


_TRANSFORMS: dict[str, Transform] = {
    "numpy": Transforms.arrow2numpy,
    "python": Transforms.arrow2python,
    "python_col": Transforms.arrow2pythoncol,
    "pandas": Transforms.arrow2pandas,
    "arrow": Transforms.arrow2arrow,
    "torch": batch_to_tensor_dict,
    "torch_row": batch_to_tensor_rows,
    "torch_col": batch_to_tensor,
    "polars": Transforms.arrow2polars,
}


def transform_of(format: Format) -> Transform:
    """The function behind a format's name.

    Raises:
        ValueError: There is no such format.
    """
    if format not in _TRANSFORMS:
        raise ValueError(f"Invalid format: {format}; there are {', '.join(get_args(Format))}")
    return _TRANSFORMS[format]
