"""Permutations: a table's rows in another order, or some of them, as a dataset for training."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.database import connect
from lancelike.errors import QueryError
from lancelike.legacy import warn_deprecated
from lancelike.permutation.builder import ROW_ID, ROW_ID_COLUMN, SPLIT_ID
from lancelike.permutation.formats import Format, Transform, Transforms, transform_of
from lancelike.permutation.reading import ConnectionFactory, Source, Version, Wanted, pinned_to
from lancelike.query.predicates import quote_identifier
from lancelike.table import Table

DEFAULT_BATCH_SIZE = 100


class Permutation:
    """Rows of one version of a table, in the order of one split; made by `identity` and `from_tables`.

    Nothing is read before it is asked for, and no method changes the permutation it is called on. torch's
    `DataLoader` takes it as a dataset, in this process or in workers that are spawned or forked.

    Attributes:
        permutation_table: What `PermutationBuilder.execute` made; None for all rows, and after unpickling.
        split: The split's number.
        batch_size: Rows in each batch of an iteration.
        offset: Rows left out at the start; None for none.
        limit: Most rows after these; None for all.
    """

    def __init__(
        self, source: Source, row_ids: NDArray[np.uint64] | None, permutation_table: Table | None, split: int
    ) -> None:
        self._source = source
        self._by_row_id = row_ids is not None
        self._numbers: NDArray[Any] | range = range(source.num_rows) if row_ids is None else row_ids
        self._selection = {name: quote_identifier(name) for name in source.table.schema.names}
        self.permutation_table, self.split = permutation_table, split
        self.batch_size, self.transform_fn = DEFAULT_BATCH_SIZE, Transforms.arrow2python
        self.offset: int | None = None
        self.limit: int | None = None

    # -- how it is made ------------------------------------------------------------------------------------------

    @classmethod
    def identity(cls, table: Table) -> Self:
        """All rows of *table* as it is now, in its order."""
        return cls.from_tables(table)

    @classmethod
    def from_tables(
        cls, base_table: Table, permutation_table: Table | None = None, split: str | int | None = None
    ) -> Self:
        """A split of *base_table*, as *permutation_table* has it.

        Args:
            base_table: The table that the rows are in.
            permutation_table: What `PermutationBuilder.execute` made; None: all rows, in the table's order.
            split: Name or number; None is the first.

        Raises:
            ValueError: There is no such split, or no row is in it.
        """
        if permutation_table is None:
            if split is not None:
                raise ValueError(f"Cannot create a permutation on split `{split}`: no permutation table is provided")
            return cls(Source(pinned_to(base_table)), None, None, 0)
        source = Source(pinned_to(base_table, base_version(permutation_table)))
        return cls.of_source(source, permutation_table, number_of(split, permutation_table))

    @classmethod
    def of_source(cls, source: Source, permutation_table: Table, split: int) -> Self:
        """The split of that number, its rows read through *source*.

        Raises:
            ValueError: No row is in it.
        """
        rows = permutation_table.to_arrow()
        in_split = rows[SPLIT_ID].to_numpy() == split
        if len(rows) and not in_split.any():
            raise ValueError(f"No rows found in the permutation table for the given split: {split}")
        return cls(source, rows[ROW_ID].to_numpy()[in_split], permutation_table, split)

    def _with(self, **changes: Any) -> Self:
        new = copy.copy(self)
        vars(new).update(changes)
        return new

    # -- other processes -----------------------------------------------------------------------------------------

    @property
    def base_table(self) -> Table:
        """A handle on the version of the table that the rows are of."""
        return self._source.table

    @property
    def connection_factory(self) -> ConnectionFactory | None:
        """What opens the table in other processes; None: its address and options do."""
        return self._source.factory

    def with_connection_factory(self, connection_factory: ConnectionFactory) -> Self:
        """Open the table through *connection_factory* in other processes, in place of its address and options.

        Args:
            connection_factory: Takes the table's name and returns it; must be picklable, so no lambda. Keys that it
                reads from the environment are in no pickle.
        """
        return self._with(_source=Source(self.base_table, connection_factory))

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        vars(new).update(vars(self))
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Everything but open files. Rows of a table in memory go along, since no other process finds them."""
        state = {**vars(self), "permutation_table": None}
        if self._source.in_memory:
            names = {name: quote_identifier(name) for name in self.base_table.schema.names}
            rows = self._read_numbers(self._numbers, names)
            state |= {"_source": (self._source.name, rows), "_numbers": range(len(rows)), "_by_row_id": False}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if not isinstance(self._source, Source):
            name, rows = self._source
            table = connect("memory://").create_table(name, pa.Table.from_batches([rows]))
            self._source = Source(pinned_to(table))

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """Columns of the rows, as Arrow has them."""
        return self._read([]).schema

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        return list(self._selection)

    @property
    def num_columns(self) -> int:
        """How many columns there are."""
        return len(self._selection)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        left = max(0, len(self._numbers) - (self.offset or 0))
        return left if self.limit is None else min(left, self.limit)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.num_rows, self.num_columns

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        return f"Permutation(table={self._source.name!r}, split={self.split}, rows={len(self)})"

    # -- columns -------------------------------------------------------------------------------------------------

    def select_columns(self, columns: Sequence[str]) -> Self:
        """Read only these of the columns selected so far, or `_rowid`.

        Raises:
            ValueError: One isn't there, or none is named.
        """
        if not columns:
            raise ValueError("Must select at least one column")
        known = {ROW_ID_COLUMN: ROW_ID_COLUMN, **self._selection}
        for name in columns:
            if name not in known:
                raise ValueError(f"Cannot select column `{name}` because it does not exist")
        return self._with(_selection={name: known[name] for name in columns})

    def remove_columns(self, columns: Sequence[str]) -> Self:
        """Don't read these columns; names that aren't there are ignored.

        Raises:
            ValueError: No column would be left.
        """
        kept = {name: sql for name, sql in self._selection.items() if name not in columns}
        if not kept:
            raise ValueError("Cannot remove all columns")
        return self._with(_selection=kept)

    def rename_column(self, old_name: str, new_name: str) -> Self:
        """Show a column under another name.

        Raises:
            ValueError: There is no such column, or the new name is taken.
        """
        return self.rename_columns({old_name: new_name})

    def rename_columns(self, column_map: Mapping[str, str]) -> Self:
        """Show columns under other names, one after the other; errors are those of `rename_column`."""
        selection = dict(self._selection)
        for old, new in column_map.items():
            if old not in selection:
                raise ValueError(f"Cannot rename column `{old}` because it does not exist")
            if new in selection:
                raise ValueError(f"Cannot rename column `{old}` to `{new}`: a column with that name already exists")
            selection[new] = selection.pop(old)
        return self._with(_selection=selection)

    def flatten(self) -> Self:
        """Read each field of a struct as a column of its own, `outer.inner`; one level of them."""
        flat: dict[str, str] = {}
        for name, sql in self._selection.items():
            kind = self.schema.field(name).type
            inner = [kind.field(number).name for number in range(kind.num_fields)] if pa.types.is_struct(kind) else []
            flat |= {f"{name}.{each}": f"{sql}.{quote_identifier(each)}" for each in inner} or {name: sql}
        return self._with(_selection=flat)

    # -- rows ----------------------------------------------------------------------------------------------------

    def with_skip(self, skip: int) -> Self:
        """Leave out the first *skip* rows, in place of what was left out before."""
        return self._with(offset=_not_negative("skip", skip))

    def with_take(self, limit: int) -> Self:
        """Keep *limit* rows at most, counted after those left out, in place of an earlier limit."""
        return self._with(limit=_not_negative("limit", limit))

    def with_repeat(self, times: int) -> Self:
        """All the rows *times* times, in the same order each time."""
        first = self.offset or 0
        shown = np.asarray(self._numbers)[first : first + len(self)]
        return self._with(_numbers=np.tile(shown, _not_negative("times", times)), offset=None, limit=None)

    def skip(self, skip: int) -> Self:
        """Older spelling of `with_skip`."""
        warn_deprecated("skip()", "with_skip()")
        return self.with_skip(skip)

    def take(self, limit: int) -> Self:
        """Older spelling of `with_take`."""
        warn_deprecated("take()", "with_take()")
        return self.with_take(limit)

    def repeat(self, times: int) -> Self:
        """Older spelling of `with_repeat`."""
        warn_deprecated("repeat()", "with_repeat()")
        return self.with_repeat(times)

    # -- reading -------------------------------------------------------------------------------------------------

    def with_batch_size(self, batch_size: int) -> Self:
        """Iterate in batches of *batch_size* rows."""
        return self._with(batch_size=batch_size)

    def with_format(self, format: Format) -> Self:
        """Hand rows over in this form.

        `"python"`, the default, is a dict for each row, and `"python_col"` a list for each column. `"torch"` is a
        dict of tensors for each row, as `DataLoader` stacks them; `"torch_row"` a tensor for each row, and
        `"torch_col"` one of shape (columns, rows). `"numpy"` is one array of shape (rows, columns). `"arrow"` is a
        RecordBatch, `"pandas"` and `"polars"` their frames.

        Raises:
            ValueError: There is no such format.
        """
        return self.with_transform(transform_of(format))

    def with_transform(self, transform: Transform) -> Self:
        """Hand over what *transform* makes of each RecordBatch; picklable, if workers are spawned."""
        return self._with(transform_fn=transform)

    def __iter__(self) -> Iterator[Any]:
        """Full batches of `batch_size` rows; the rows after the last of these are left out, as in LanceDB."""
        return self.iter(self.batch_size, skip_last_batch=True)

    def iter(self, batch_size: int, skip_last_batch: bool = False) -> Iterator[Any]:
        """All rows in batches of *batch_size*; the last may be smaller, and is left out with *skip_last_batch*."""
        if batch_size < 1:
            raise QueryError(f"batch_size must be greater than 0, got {batch_size}")
        last = len(self) // batch_size * batch_size if skip_last_batch else len(self)
        for start in range(0, last, batch_size):
            yield self.take_offsets(range(start, min(start + batch_size, last)))

    def take_offsets(self, offsets: Iterable[int]) -> Any:
        """The rows at *offsets* of this permutation, in their order, in its format.

        Raises:
            QueryError: An offset is outside of it.
        """
        return self.transform_fn(self._read(offsets))

    def __getitem__(self, index: int) -> Any:
        """The row at *index*, as a batch of one."""
        return self.take_offsets([index])

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """The rows at *indices*, in their order: what `DataLoader` asks for."""
        return self.take_offsets(indices)

    def unique(self, column: str) -> list[Any]:
        """The distinct values of *column*, in the order of their first rows."""
        values: list[Any] = self.select_columns([column])._read(range(len(self)))[column].unique().to_pylist()
        return values

    def _read(self, offsets: Iterable[int]) -> pa.RecordBatch:
        wanted, first, length = [int(offset) for offset in offsets], self.offset or 0, len(self)
        if outside := [offset for offset in wanted if not 0 <= offset < length]:
            raise QueryError(f"no row at offset {outside[0]}: the permutation has {length} rows")
        return self._read_numbers([self._numbers[first + offset] for offset in wanted], self._selection)

    def _read_numbers(self, numbers: Iterable[Any], columns: Mapping[str, str]) -> pa.RecordBatch:
        by: Literal["offset", "row id"] = "row id" if self._by_row_id else "offset"
        return self._source.read(Wanted(by, [int(number) for number in numbers], columns))


class Permutations:
    """The splits of a permutation table, by number or by name.

    Attributes:
        base_table: The table that the rows are in.
        permutation_table: What `PermutationBuilder.execute` made.
        split_names: Names of the splits, in order.
        split_dict: The splits' numbers by name.
    """

    def __init__(self, base_table: Table, permutation_table: Table) -> None:
        self.base_table, self.permutation_table = base_table, permutation_table
        self.split_names = names_of(permutation_table) or []
        self.split_dict = {name: number for number, name in enumerate(self.split_names)}

    def get_by_name(self, name: str) -> Permutation:
        """The split of that name.

        Raises:
            ValueError: There is none.
        """
        if name not in self.split_dict:
            raise ValueError(f"No split named `{name}` found; there are {', '.join(self.split_names) or 'no names'}")
        return self.get_by_index(self.split_dict[name])

    def get_by_index(self, index: int) -> Permutation:
        """The split of that number.

        Raises:
            ValueError: No row is in it.
        """
        return Permutation.from_tables(self.base_table, self.permutation_table, index)

    def __getitem__(self, name: str | int) -> Permutation:
        if isinstance(name, str):
            return self.get_by_name(name)
        if isinstance(name, int):
            return self.get_by_index(name)
        raise TypeError(f"Invalid split name or index: {name}")


def names_of(permutation_table: Table) -> list[str] | None:
    """Names of the splits; None if they have none."""
    names = (permutation_table.schema.metadata or {}).get(b"split_names")
    return None if names is None else list(json.loads(names))


def base_version(permutation_table: Table) -> Version | None:
    """The version of the base table that its rows are of; None if it doesn't say."""
    metadata = permutation_table.schema.metadata or {}
    if b"base_version" not in metadata:
        return None
    branch = metadata.get(b"base_branch")
    return (None if branch is None else branch.decode(), int(metadata[b"base_version"]))


def number_of(split: str | int | None, permutation_table: Table) -> int:
    """The number of a split given by name or number; None is the first.

    Raises:
        ValueError: There is no split of that name.
    """
    if isinstance(split, int):
        return split
    if split is None:
        return 0
    names = names_of(permutation_table)
    if names is None:
        raise ValueError(f"Cannot create a permutation on split `{split}`: the permutation table names no splits")
    if split not in names:
        raise ValueError(
            f"Cannot create a permutation on split `{split}` because split `{split}` is not defined in the "
            f"permutation table; it has {', '.join(names)}"
        )
    return names.index(split)


def _not_negative(name: str, number: int) -> int:
    if number < 0:
        raise QueryError(f"{name} is a number of rows from 0, not {number}")
    return number
