"""Datasets as sources: how much of them is read before it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lance
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

import lancelike
from lancelike.errors import BadDataError
from lancelike.ingest import read_batches


class Spied:
    """An Arrow dataset that keeps what its scanner was told."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self.schema = dataset, dataset.schema
        self.told: dict[str, Any] = {}

    def get_fragments(self) -> Any:
        return self._dataset.get_fragments()

    def scanner(self, **told: Any) -> Any:
        self.told = told
        return self._dataset.scanner(**told)


def test_little_of_an_arrow_dataset_is_read_ahead(tmp_path: Path) -> None:
    """By itself it reads 16 batches of 131 072 rows from four files at once: 3 GB of 384 float32."""
    flat = pa.array(np.zeros(4_000 * 1_536, np.float32))
    rows = pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, 1_536)})
    pyarrow.parquet.write_table(rows, tmp_path / "rows.parquet")
    spied = Spied(pyarrow.dataset.dataset(tmp_path))
    assert [len(batch) for batch in read_batches(spied).batches] == [1_489, 1_489, 1_022]
    assert spied.told == {"batch_size": 1_489, "batch_readahead": 2, "fragment_readahead": 1}


@pytest.mark.parametrize("whole", [True, False], ids=["dataset", "fragment"])
def test_batches_of_lance_are_small_where_rows_are_wide(whole: bool, tmp_path: Path) -> None:
    rows = pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8_000 * 1_536, np.float32)), 1_536)})
    dataset = lance.write_dataset(rows, tmp_path / "d.lance")
    reader = dataset.scanner().to_reader() if whole else None
    assert reader is None or reader.read_next_batch().num_rows == 8_000, "this is what Lance does by itself"
    source = read_batches(dataset if whole else dataset.get_fragments()[0])
    assert [len(batch) for batch in source.batches] == [1_489] * 5 + [555]


def test_categories_of_polars(tmp_path: Path) -> None:
    """Their values are text in a layout that Lance does not write."""
    frame = pl.DataFrame(
        {
            "kind": pl.Series(["x", None], dtype=pl.Categorical),
            "size": pl.Series(["s", "m"], dtype=pl.Enum(["s", "m"])),
            "many": pl.Series([["x"], None], dtype=pl.List(pl.Categorical)),
        }
    )
    table = lancelike.connect(tmp_path).create_table("t", frame)
    table.add(frame.lazy())
    assert table.to_arrow().to_pylist() == frame.to_dicts() * 2


def test_a_lazy_frame_makes_a_table(tmp_path: Path) -> None:
    assert lancelike.connect(tmp_path).create_table("t", pl.DataFrame({"id": [1, 2]}).lazy()).count_rows() == 2


def test_objects_of_polars_are_refused() -> None:
    """It hands on their addresses."""
    frame = pl.DataFrame({"id": [1], "what": pl.Series([object()], dtype=pl.Object)})
    with pytest.raises(BadDataError, match="column 'what': values of Object have no type of Arrow's"):
        read_batches(frame)
