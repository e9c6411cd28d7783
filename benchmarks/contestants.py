"""The libraries compared, one small class each, written as a user of each would."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import lance
import lancedb
import numpy as np
import pyarrow as pa
from lance import LanceDataset
from numpy.typing import NDArray

import lancelike
from benchmarks.data import NDIMS
from lancelike.query.plan import VectorColumn, flat_batch_rows

K = 10
NPROBES = 20
"""What lancelike and lancedb take when nothing is said."""


class Contestant(Protocol):
    """A library at work on the table `rows` of a database folder."""

    name: str

    def __init__(self, folder: Path) -> None: ...

    def create(self, schema: pa.Schema) -> None:
        """Make an empty table."""

    def open(self) -> None:
        """Open the table that is there."""

    def add(self, rows: Any) -> None:
        """Append rows: Arrow, a pandas frame, a list of dicts, or a reader."""

    def search(self, vector: NDArray[np.float32], refine_factor: int | None = None) -> pa.Table:
        """All columns of the K nearest rows."""


class Pylance:
    """The calls that lancelike makes of Lance, made by hand."""

    name = "pylance"

    def __init__(self, folder: Path) -> None:
        self._uri = str(folder / "rows.lance")

    def create(self, schema: pa.Schema) -> None:
        self._dataset = lance.write_dataset(schema.empty_table(), self._uri, enable_stable_row_ids=True)

    def open(self) -> None:
        self._dataset = LanceDataset(self._uri)
        self._indexed = bool(self._dataset.describe_indices())
        column = VectorColumn("vector", NDIMS, pa.float32())
        self._batch_size = None if self._indexed else flat_batch_rows(column)

    def add(self, rows: Any) -> None:
        lance.write_dataset(rows, self._dataset, self._dataset.schema, mode="append")

    def search(self, vector: NDArray[np.float32], refine_factor: int | None = None) -> pa.Table:
        nearest = {"column": "vector", "q": pa.array(vector), "k": K, "metric": "l2", "use_index": self._indexed}
        nearest |= {"minimum_nprobes": NPROBES, "maximum_nprobes": NPROBES, "refine_factor": refine_factor}
        return self._dataset.scanner(nearest=nearest, prefilter=True, batch_size=self._batch_size).to_table()


class Lancelike:
    """lancelike, with its defaults, and its vectors read ahead where there is an index."""

    name = "lancelike"

    def __init__(self, folder: Path) -> None:
        self._database = lancelike.connect(folder)

    def create(self, schema: pa.Schema) -> None:
        self._table = self._database.create_table("rows", schema=schema)

    def open(self) -> None:
        self._table = self._database.open_table("rows")
        for index in self._table.list_indices():
            self._table.prewarm_index(index.name)

    def add(self, rows: Any) -> None:
        self._table.add(rows)

    def search(self, vector: NDArray[np.float32], refine_factor: int | None = None) -> pa.Table:
        search = self._table.search(vector).limit(K)
        return (search.refine_factor(refine_factor) if refine_factor else search).to_arrow()


class LanceDB:
    """lancedb, with its defaults."""

    name = "lancedb"

    def __init__(self, folder: Path) -> None:
        self._database = lancedb.connect(folder)

    def create(self, schema: pa.Schema) -> None:
        self._table = self._database.create_table("rows", schema=schema)

    def open(self) -> None:
        self._table = self._database.open_table("rows")

    def add(self, rows: Any) -> None:
        self._table.add(rows)

    def search(self, vector: NDArray[np.float32], refine_factor: int | None = None) -> pa.Table:
        search = self._table.search(vector).limit(K)
        return (search.refine_factor(refine_factor) if refine_factor else search).to_arrow()


CONTESTANTS: tuple[type[Contestant], ...] = (Pylance, Lancelike, LanceDB)
