"""A table as `pyarrow.dataset.Dataset`, which DuckDB, DataFusion, polars and others read a part of at a time.

Columns and filters go down to Lance. A filter that Lance can't take, such as one on a field of a struct, is applied by
Arrow to the rows as they stream in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from lancelike.table import Table

__all__ = ["PyarrowDatasetAdapter", "PyarrowScannerAdapter"]

Columns: TypeAlias = Sequence[str] | Mapping[str, pc.Expression] | None
Filter: TypeAlias = str | pc.Expression | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # an Arrow expression compares to an expression
class _Scan:
    """What to read of one version of a table.

    Attributes:
        version: The `lance.LanceDataset`.
        columns: Names, or output names with the expression that makes each; None: every column.
        filter: SQL text or an Arrow expression.
        batch_size: Most rows in a batch.
        fragment: The `lance.LanceFragment` to read; None: all.
    """

    version: Any
    columns: Columns = None
    filter: Filter = None
    batch_size: int | None = None
    fragment: Any = None

    def reader(self, limit: int | None = None) -> pa.RecordBatchReader:
        """The rows, at most *limit* of them."""
        if isinstance(self.columns, Mapping):
            return self._read_in_arrow(limit)
        try:
            return self._in_lance(self.columns, self.filter, limit).to_reader()
        except ValueError:
            if not isinstance(self.filter, pc.Expression):
                raise
            return self._read_in_arrow(limit)

    def count_rows(self) -> int:
        """How many rows there are."""
        if self.filter is None:
            return int((self.fragment or self.version).count_rows())
        return sum(batch.num_rows for batch in replace(self, columns=[]).reader())

    def schema(self) -> pa.Schema:
        """Schema of the rows, without reading any."""
        if isinstance(self.columns, Mapping):
            return self._read_in_arrow(0).schema
        return self._in_lance(self.columns, None, None).projected_schema

    def _in_lance(self, columns: Sequence[str] | None, filter: Filter, limit: int | None) -> Any:
        return self.version.scanner(
            columns=None if columns is None else list(columns),
            filter=filter,
            limit=limit,
            batch_size=self.batch_size,
            fragments=None if self.fragment is None else [self.fragment],
        )

    def _read_in_arrow(self, limit: int | None) -> pa.RecordBatchReader:
        """The rows, their columns and filter computed by Arrow from no more columns than these name."""
        in_arrow = self.filter if isinstance(self.filter, pc.Expression) else None
        in_lance = self.filter if in_arrow is None else None
        computed = list(self.columns.values()) if isinstance(self.columns, Mapping) else []
        expressions = " ".join(map(str, computed if in_arrow is None else [*computed, in_arrow]))
        wanted = self.version.schema.names if self.columns is None else self.columns
        needed = [name for name in self.version.schema.names if name in wanted or _is_named(name, expressions)]
        rows = self._in_lance(needed, in_lance, None).to_reader()
        columns = dict(self.columns) if isinstance(self.columns, Mapping) else list(wanted)
        found = pa.dataset.Scanner.from_batches(rows, columns=columns, filter=in_arrow)
        return found.to_reader() if limit is None else found.head(limit).to_reader()


class PyarrowScannerAdapter(pa.dataset.Scanner):  # type: ignore[misc]  # Arrow has no types
    """Rows of one version of a table; made by `PyarrowDatasetAdapter.scanner`."""

    def __init__(self, scan: _Scan) -> None:
        self._scan = scan

    @property
    def projected_schema(self) -> pa.Schema:
        """Schema of the rows."""
        return self._scan.schema()

    @property
    def dataset_schema(self) -> pa.Schema:
        """Schema of the table."""
        return self._scan.version.schema

    def to_reader(self) -> pa.RecordBatchReader:
        """The rows as a stream."""
        return self._scan.reader()

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, batch by batch."""
        return iter(self.to_reader())

    def scan_batches(self) -> Iterator[pa.dataset.TaggedRecordBatch]:
        """The rows, batch by batch, each with the fragment it is of: here None."""
        return (pa.dataset.TaggedRecordBatch(batch, None) for batch in self.to_reader())

    def to_table(self) -> pa.Table:
        """The rows, all at once."""
        return self.to_reader().read_all()

    def head(self, num_rows: int) -> pa.Table:
        """The first *num_rows* rows."""
        if num_rows < 0:
            raise ValueError(f"head takes a number of rows from 0, not {num_rows}")
        return self._scan.reader(num_rows).read_all()

    def take(self, indices: Any) -> pa.Table:
        """The rows at *indices*, counted from 0 among those of this scan."""
        return self.to_table().take(pa.array(indices))

    def count_rows(self) -> int:
        """How many rows there are."""
        return self._scan.count_rows()


class _Fragment(pa.dataset.Fragment):  # type: ignore[misc]  # Arrow has no types
    """One fragment of a version, which engines read beside the others."""

    def __init__(self, scan: _Scan) -> None:
        self._scan = scan

    @property
    def physical_schema(self) -> pa.Schema:
        """Schema of the table."""
        return self._scan.version.schema

    def scanner(
        self,
        schema: pa.Schema | None = None,
        *,
        columns: Columns = None,
        filter: Filter = None,
        batch_size: int | None = None,
        **ignored: Any,
    ) -> PyarrowScannerAdapter:
        """A scan of this fragment; arguments are those of `PyarrowDatasetAdapter.scanner`."""
        filter = _both(self._scan.filter, filter)
        return PyarrowScannerAdapter(replace(self._scan, columns=columns, filter=filter, batch_size=batch_size))

    def count_rows(self, filter: Filter = None, **ignored: Any) -> int:
        """How many rows there are, or meet *filter*."""
        return self.scanner(filter=filter).count_rows()


class PyarrowDatasetAdapter(pa.dataset.Dataset):  # type: ignore[misc]  # Arrow has no types
    """*table* as a `pyarrow.dataset.Dataset`. Each read is of the version that the table then shows.

    DuckDB reads it by the name of the variable that holds it, DataFusion after `register_dataset`, and both ask for no
    more columns and rows than a query needs. What needs the rows in memory (`join`, `sort_by`) reads them all.

    Args:
        table: A table.

    Example:
        >>> import lancelike
        >>> from lancelike.integrations.pyarrow import PyarrowDatasetAdapter
        >>> table = lancelike.connect("memory://").create_table("t", [{"id": n} for n in range(5)])
        >>> PyarrowDatasetAdapter(table).to_table(filter=pc.field("id") > 2)["id"].to_pylist()
        [3, 4]
    """

    def __init__(self, table: Table, _filter: Filter = None) -> None:
        self.table = table
        self._filter = _filter

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table."""
        return self.table.schema

    @cached_property
    def partition_expression(self) -> pc.Expression:
        """What is true of every row: nothing in particular."""
        return pc.scalar(True)

    def scanner(
        self,
        columns: Columns = None,
        filter: Filter = None,
        batch_size: int | None = None,
        **ignored: Any,
    ) -> PyarrowScannerAdapter:
        """A scan.

        Args:
            columns: Names, or output names with the Arrow expression that makes each; None: every column.
            filter: An Arrow expression, or SQL text.
            batch_size: Most rows in a batch.
            **ignored: Arrow's further settings, which have no counterpart in Lance: readahead, threads, memory pool.
        """
        return PyarrowScannerAdapter(
            _Scan(
                version=self.table.to_lance(),
                columns=columns,
                filter=_both(self._filter, filter),
                batch_size=batch_size,
            )
        )

    def to_table(self, *args: Any, **kwargs: Any) -> pa.Table:
        """The rows, all at once; arguments are those of `scanner`."""
        return self.scanner(*args, **kwargs).to_table()

    def to_batches(self, *args: Any, **kwargs: Any) -> Iterator[pa.RecordBatch]:
        """The rows, batch by batch; arguments are those of `scanner`."""
        return self.scanner(*args, **kwargs).to_batches()

    def head(self, num_rows: int, *args: Any, **kwargs: Any) -> pa.Table:
        """The first *num_rows* rows; further arguments are those of `scanner`."""
        return self.scanner(*args, **kwargs).head(num_rows)

    def take(self, indices: Any, *args: Any, **kwargs: Any) -> pa.Table:
        """The rows at *indices*; further arguments are those of `scanner`."""
        if not args and not kwargs and self._filter is None:
            return self.table.take_offsets(indices).to_arrow()
        return self.scanner(*args, **kwargs).take(indices)

    def count_rows(self, filter: Filter = None, **ignored: Any) -> int:
        """How many rows there are, or meet *filter*."""
        return self.scanner(filter=filter).count_rows()

    def get_fragments(self, filter: Filter = None) -> Iterator[pa.dataset.Fragment]:
        """The fragments of the version shown, for engines that read them side by side, each with *filter* on it."""
        scan = self.scanner(filter=filter)._scan
        return (_Fragment(replace(scan, fragment=fragment)) for fragment in scan.version.get_fragments())

    def filter(self, expression: pc.Expression) -> PyarrowDatasetAdapter:
        """The rows of these that meet *expression*, too."""
        return PyarrowDatasetAdapter(self.table, _both(self._filter, expression))

    def sort_by(self, sorting: Any, **kwargs: Any) -> pa.dataset.InMemoryDataset:
        """The rows sorted, in memory; arguments are those of `pyarrow.Table.sort_by` and `scanner`."""
        return pa.dataset.InMemoryDataset(self.to_table(**kwargs).sort_by(sorting))

    def join(self, right_dataset: Any, *args: Any, **kwargs: Any) -> pa.dataset.InMemoryDataset:
        """These rows joined with another dataset's, in memory; arguments are those of `pyarrow.Table.join`."""
        return pa.dataset.InMemoryDataset(self.to_table().join(right_dataset.to_table(), *args, **kwargs))

    def join_asof(self, right_dataset: Any, *args: Any, **kwargs: Any) -> pa.dataset.InMemoryDataset:
        """As `join`, on the nearest key; arguments are those of `pyarrow.Table.join_asof`."""
        return pa.dataset.InMemoryDataset(self.to_table().join_asof(right_dataset.to_table(), *args, **kwargs))

    def replace_schema(self, schema: pa.Schema) -> NoReturn:
        """Refused: a table has the schema that it has."""
        raise NotImplementedError("a table's schema can't be replaced in a dataset; alter_columns changes the table's")


def _is_named(column: str, expressions: str) -> bool:
    """Whether *expressions*, as Arrow prints them, may use *column*: true also where a literal looks like it."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", expressions) is not None


def _both(one: Filter, other: Filter) -> Filter:
    """A filter that holds where both do.

    Raises:
        TypeError: One is SQL text and the other an Arrow expression.
    """
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, str) and isinstance(other, str):
        return f"({one}) AND ({other})"
    if isinstance(one, str) or isinstance(other, str):
        raise TypeError("SQL text and an Arrow expression can't be joined into one filter; use one of them for both")
    return one & other
