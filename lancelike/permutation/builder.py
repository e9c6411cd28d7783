"""Permutations under construction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pyarrow as pa

from lancelike.database import connect
from lancelike.errors import QueryError
from lancelike.permutation.reading import pinned_to
from lancelike.permutation.splits import Numbers, Sizes, by_hash, in_sequence, shuffled
from lancelike.query.predicates import Expression, quote_identifier, sql_of
from lancelike.table import Table

ROW_ID, SPLIT_ID, ROW_ID_COLUMN = "row_id", "split_id", "_rowid"

Split = Callable[[pa.Table], tuple[Numbers, Numbers]]
"""Given the columns read, the rows in their new order and the split of each of these, -1 for rows in none."""


class PermutationBuilder:
    """Which rows of a table go into which split, and in what order; made by `permutation_builder`.

    Each method says one thing and returns the same builder. Rows are in table order, in one split, unless said.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._filter: str | None = None
        self._columns: dict[str, str] = {}
        self._split: Split = _in_one
        self._names: list[str] | None = None
        self._shuffle: tuple[int | None, int | None] | None = None

    def split_random(
        self,
        *,
        ratios: Sequence[float] | None = None,
        counts: Sequence[int] | None = None,
        fixed: int | None = None,
        seed: int | None = None,
        clump_size: int | None = None,
        split_names: Sequence[str] | None = None,
    ) -> Self:
        """Put rows into splits at random, and in random order.

        Args:
            ratios: Each split's share of the rows; what is left of 1 is in no split.
            counts: Each split's rows.
            fixed: So many splits of the same size; up to `fixed - 1` rows are left over, and are in none.
            seed: Makes it the same each time.
            clump_size: Keep so many neighbouring rows together, which is faster to read.
            split_names: Names by which to ask for the splits, beside their numbers.

        Raises:
            QueryError: Not exactly one of *ratios*, *counts* and *fixed* is given.
        """
        sizes = Sizes(ratios, counts, fixed)

        def split(rows: pa.Table) -> tuple[Numbers, Numbers]:
            return shuffled(len(rows), seed, clump_size), in_sequence(sizes.of(len(rows)), len(rows))

        return self._with(split, split_names)

    def split_sequential(
        self,
        *,
        ratios: Sequence[float] | None = None,
        counts: Sequence[int] | None = None,
        fixed: int | None = None,
        split_names: Sequence[str] | None = None,
    ) -> Self:
        """Put the first rows into the first split, and so on; arguments are those of `split_random`."""
        sizes = Sizes(ratios, counts, fixed)
        return self._with(lambda rows: (np.arange(len(rows)), in_sequence(sizes.of(len(rows)), len(rows))), split_names)

    def split_hash(
        self,
        columns: Sequence[str],
        split_weights: Sequence[int],
        *,
        discard_weight: int | None = None,
        split_names: Sequence[str] | None = None,
    ) -> Self:
        """Put each row where a hash of *columns* says: rows added or deleted later move no other row.

        Args:
            columns: Rows equal in these are in the same split.
            split_weights: The splits' shares, as whole numbers: 1 and 2 make a third and two thirds.
            discard_weight: The share that is in no split.
            split_names: As in `split_random`.
        """
        names = {f"hashed_{number}": path_to_sql(column) for number, column in enumerate(columns)}

        def split(rows: pa.Table) -> tuple[Numbers, Numbers]:
            values = zip(*(rows[name].to_pylist() for name in names), strict=True)
            return np.arange(len(rows)), by_hash(values, split_weights, discard_weight or 0)

        return self._with(split, split_names, names)

    def split_calculated(self, calculation: Expression, split_names: Sequence[str] | None = None) -> Self:
        """Put each row into the split whose number *calculation*, SQL or an `Expr`, gives.

        Raises:
            QueryError: When it runs: it gave something else than whole numbers from 0.
        """

        def split(rows: pa.Table) -> tuple[Numbers, Numbers]:
            given = rows[SPLIT_ID]
            if not pa.types.is_integer(given.type) or given.null_count:
                raise QueryError(
                    f"{calculation!r} gives {given.type} and {given.null_count} nulls; splits are integers"
                )
            splits = given.to_numpy().astype(np.int64)
            if len(splits) and splits.min() < 0:
                raise QueryError(f"{calculation!r} gives {splits.min()}; splits are numbered from 0")
            return np.arange(len(rows)), splits

        return self._with(split, split_names, {SPLIT_ID: sql_of(calculation)})

    def shuffle(self, *, seed: int | None = None, clump_size: int | None = None) -> Self:
        """Shuffle the rows of each split; arguments are those of `split_random`."""
        self._shuffle = (seed, clump_size)
        return self

    def filter(self, filter: Expression) -> Self:
        """Leave out rows for which this condition, SQL or an `Expr`, doesn't hold."""
        self._filter = sql_of(filter)
        return self

    def execute(self) -> Table:
        """Make the permutation table: `row_id` and `split_id`, split by split, in memory.

        It belongs to the version of the table that is shown now, and goes on reading that.

        Raises:
            QueryError: There are fewer rows than were asked for, or an expression can't be run.
            ColumnNotFoundError: A column isn't there.
        """
        pinned = pinned_to(self._table)
        rows = pinned.search().where(self._filter).select({**self._columns, ROW_ID: ROW_ID_COLUMN}).to_arrow()
        order, splits = self._split(rows)
        if self._shuffle is not None:
            again = shuffled(len(order), *self._shuffle)
            order, splits = order[again], splits[again]
        grouped = np.argsort(splits, kind="stable")
        grouped = grouped[splits[grouped] >= 0]
        return connect("memory://").create_table(
            "permutation",
            _permutation(rows[ROW_ID].to_numpy()[order[grouped]], splits[grouped], self._metadata(pinned)),
        )

    def _with(self, split: Split, names: Sequence[str] | None, columns: dict[str, str] | None = None) -> Self:
        self._split, self._columns = split, columns or {}
        self._names = list(names) if names is not None else None
        return self

    def _metadata(self, base: Table) -> dict[str, str]:
        branch = base.current_branch()
        metadata = {"base_version": str(base.version)} | ({} if branch is None else {"base_branch": branch})
        return metadata if self._names is None else {**metadata, "split_names": json.dumps(self._names)}


def permutation_builder(table: Table) -> PermutationBuilder:
    """Start a permutation of *table*.

    Example:
        >>> import lancelike
        >>> from lancelike.permutation import Permutations, permutation_builder
        >>> table = lancelike.connect("memory://").create_table("t", [{"x": x} for x in range(1000)])
        >>> builder = permutation_builder(table).split_random(ratios=[0.95, 0.05], split_names=["train", "test"])
        >>> splits = Permutations(table, builder.execute())
        >>> len(splits["train"]), len(splits["test"])
        (950, 50)
    """
    return PermutationBuilder(table)


def path_to_sql(path: str) -> str:
    """The column at *path*, dotted where it is nested, as SQL takes it."""
    return ".".join(map(quote_identifier, path.split(".")))


def _in_one(rows: pa.Table) -> tuple[Numbers, Numbers]:
    return np.arange(len(rows)), np.zeros(len(rows), np.int64)


def _permutation(row_ids: Numbers, splits: Numbers, metadata: dict[str, str]) -> pa.Table:
    schema = pa.schema([pa.field(ROW_ID, pa.uint64()), pa.field(SPLIT_ID, pa.uint64(), nullable=False)], metadata)
    return pa.table([row_ids.astype(np.uint64), splits.astype(np.uint64)], schema=schema)
