"""What a table should hold, in plain Python: rows, filters, and what each way to write them makes of them.

A row in the model is a dict of its columns, its `vectors` by column, and a `uid` that nothing changes. A row to be
written may have `given`, which fills its `vector` column. Vectors that functions make come in from outside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

Row = dict[str, Any]

WORDS = ["red", "fox", "sly"]
DIMS = [4, 6, 8]
LABELS = ["x", "y"]

numbers = st.none() | st.integers(-2, 2)
words = st.none() | st.lists(st.sampled_from([*WORDS, "poison"]), max_size=3).map(" ".join)
points = st.lists(st.sampled_from([0.0, 1.0, -2.0]), min_size=2, max_size=2)
bad_points = st.none() | st.sampled_from([[1.0], [math.nan, 1.0], [1.0, 0.0, 1.0]])
row = st.fixed_dictionaries(
    {
        "id": st.integers(0, 5),
        "text": words,
        "n": numbers,
        "labels": st.none() | st.lists(st.sampled_from(LABELS), max_size=2, unique=True),
        "given_vector": points,
        "given": st.none() | st.none() | st.sampled_from([1.0, -0.5]),
    }
)
rows = st.lists(row, max_size=5)
forms = st.sampled_from(["dicts", "arrow", "pandas", "batches"])
bounds = st.integers(-1, 6)
policies = st.sampled_from(["raise", "quarantine", "drop"])

Vector = list[float] | None
Make = Callable[[str | None, int], Vector]
"""What a function makes of a text in so many dimensions, at the time; None if it refuses it."""
Test = Callable[[Row], bool]
FILTERS: dict[str, Test] = {
    "id = 3": lambda row: row["id"] == 3,
    "id IN (1, 2) AND n >= 0": lambda row: row["id"] in (1, 2) and row["n"] is not None and row["n"] >= 0,
    "n IS NULL OR n < 0": lambda row: row["n"] is None or row["n"] < 0,
    "n = 1": lambda row: row["n"] == 1,
    "{text} = 'fox'": lambda row: row["text"] == "fox",
    "n != 1": lambda row: row["n"] not in (None, 1),
    "array_has_any(labels, ['x'])": lambda row: "x" in (row["labels"] or []),
    "array_has_all(labels, ['x', 'y'])": lambda row: {"x", "y"} <= set(row["labels"] or []),
}


_numbers = count()


@dataclass(frozen=True)
class Previous:
    """What a column was before `reembed`.

    Attributes:
        tag: Stands for the tag that holds the version before.
        branch: That version's.
        dim: The length of its vectors.
        vectors: Text and vector of each row, by `uid`.
        earlier: What it was before the `reembed` before; None if there was none.
    """

    tag: int
    branch: str
    dim: int
    vectors: dict[int, tuple[str | None, Vector]]
    earlier: Previous | None


@dataclass(frozen=True)
class State:
    """What a version holds.

    Attributes:
        rows: In any order.
        text: What the source column is called.
        dims: The length of each vector column that a function fills.
        doubled: Whether there is a computed column with `n * 2`.
        extra: The name of a column beside them; None if there is none.
        previous: What `vector` was before `reembed`; None if it can't go back.
    """

    rows: list[Row]
    text: str = "text"
    dims: dict[str, int] = field(default_factory=lambda: {"vector": DIMS[0]})
    doubled: bool = False
    extra: str | None = None
    previous: Previous | None = None

    def sql(self, filter: str) -> str:
        """One of FILTERS as this version's columns are called."""
        return filter.format(text=self.text)

    def shown(self) -> list[Row]:
        """The rows as the table has them."""
        return [self._shown(row) for row in self.rows]

    def _shown(self, row: Row) -> Row:
        shown = {name: row[name] for name in ("id", "n", "labels", "given_vector")}
        shown[self.text] = row["text"]
        if self.doubled:
            shown["doubled"] = None if row["n"] is None else row["n"] * 2
        if self.extra:
            shown[self.extra] = row.get("extra")
        return {**shown, **{name: row["vectors"][name] for name in self.dims}}

    def waiting(self) -> Counter[tuple[int, str, str, str]]:
        """Id, text, vector and source column of the rows that have a text and no vector."""
        return Counter(
            (row["id"], row["text"], column, self.text)
            for row in self.rows
            for column in self.dims
            if row["text"] is not None and row["vectors"][column] is None
        )

    def new(self, given: Sequence[Row], make: Make) -> list[Row]:
        """Rows as they are once they are added."""
        return [{**self.embedded(row, make), "uid": next(_numbers)} for row in given]

    def embedded(self, row: Row, make: Make) -> Row:
        """*row* with vectors: those that it brings, and those made of its text if it brings one."""
        vectors = {name: make(row["text"], dim) for name, dim in self.dims.items()} if "text" in row else {}
        if row.get("given") is not None:
            vectors["vector"] = [row["given"]] * self.dims["vector"]
        return {**{name: row[name] for name in row if name != "given"}, "vectors": vectors}

    def retried(self, make: Make) -> list[Row]:
        """The rows with the vectors made that are missing."""
        return [
            {**row, "vectors": {c: row["vectors"][c] or make(row["text"], dim) for c, dim in self.dims.items()}}
            for row in self.rows
        ]

    def refilled(self, column: str, dim: int, make: Make) -> State:
        """This with all vectors of a column made anew, or for the first time."""
        rows = [{**row, "vectors": {**row["vectors"], column: make(row["text"], dim)}} for row in self.rows]
        return replace(self, rows=rows, dims={**self.dims, column: dim})

    def reembedded(self, dim: int, branch: str, make: Make) -> State:
        """This with the `vector` column of another model."""
        vectors = {row["uid"]: (row["text"], row["vectors"]["vector"]) for row in self.rows}
        previous = Previous(next(_numbers), branch, self.dims["vector"], vectors, self.previous)
        return replace(self.refilled("vector", dim, make), previous=previous)

    def rolled_back(self, make: Make) -> tuple[State, bool]:
        """This with the `vector` column that it had; and whether a text is refused that has to be embedded for it."""
        was = self.previous
        assert was is not None
        rows, refused = [], False
        for row in self.rows:
            text, vector = was.vectors.get(row["uid"], (None, None))
            if text != row["text"] or row["uid"] not in was.vectors:
                vector = make(row["text"], was.dim)
                refused |= is_refused(row["text"], vector)
            rows.append({**row, "vectors": {**row["vectors"], "vector": vector}})
        return replace(self, rows=rows, dims={**self.dims, "vector": was.dim}, previous=was.earlier), refused


def is_refused(text: str | None, vector: Vector) -> bool:
    return text is not None and vector is None


def has_failed(row: Row) -> bool:
    """Whether it lacks a vector for its text."""
    return any(is_refused(row["text"], vector) for vector in row["vectors"].values())


def with_points_that_fit(given: list[Row], policy: str) -> list[Row] | None:
    """The rows as `on_bad_vectors` lets them in; None where it raises."""
    points = [row["given_vector"] for row in given]
    bad = [point is None or len(point) != 2 or any(map(math.isnan, point)) for point in points]
    if all(point is None for point in points) or not any(bad):
        return given
    if policy == "error":
        return None
    if policy == "drop":
        return [row for row, is_bad in zip(given, bad, strict=True) if not is_bad]
    filled = [[*(point or []), 7.0, 7.0][:2] for point in points]
    filled = [[7.0 if math.isnan(number) else number for number in point] for point in filled]
    if policy == "null":
        filled = [None if is_bad else point for point, is_bad in zip(filled, bad, strict=True)]  # type: ignore[misc]
    return [{**row, "given_vector": point} for row, point in zip(given, filled, strict=True)]


def in_form(given: list[Row], state: State, form: str) -> Any:
    names, with_vectors = {"text": state.text}, any(row.get("given") is not None for row in given)
    vectors = [None if row.get("given") is None else [row["given"]] * state.dims["vector"] for row in given]
    given = [{names.get(name, name): value for name, value in row.items() if name != "given"} for row in given]
    if with_vectors:
        given = [{**row, "vector": vector} for row, vector in zip(given, vectors, strict=True)]
    if form == "dicts" or not given:
        return given
    if form == "pandas":
        return pd.DataFrame(given)
    kinds = {"id": pa.int64(), state.text: pa.utf8(), "n": pa.int64(), "labels": pa.list_(pa.utf8())}
    schema = pa.schema([(name, kinds.get(name, pa.list_(pa.float32()))) for name in given[0]])
    data = pa.Table.from_pylist(given, schema)
    return data if form == "arrow" else data.to_reader()


def by_id(given: list[Row]) -> list[Row]:
    return list({row["id"]: row for row in given}.values())


def merged(state: State, given: list[Row], update: str | None, insert: bool, prune: str | None) -> list[Row]:
    """The rows after a merge on `id` of *given*: "where" is `target.n < source.n`, and `n > 0` of what is pruned."""
    new, ids = {row["id"]: row for row in given}, {row["id"] for row in state.rows}
    rows = []
    for row in state.rows:
        other = new.get(row["id"])
        if other is None:
            goes = prune == "all" or (prune == "where" and row["n"] is not None and row["n"] > 0)
            rows += [] if goes else [row]
        else:
            is_due = update == "all" or (update == "where" and is_less(row["n"], other["n"]))
            rows.append(_over(row, other) if is_due else row)
    return rows + [_over(_empty(state.dims), row) for row in given if insert and row["id"] not in ids]


def _over(row: Row, other: Row) -> Row:
    return {**row, **other, "vectors": {**row["vectors"], **other["vectors"]}}


def _empty(dims: Collection[str]) -> Row:
    empty = dict.fromkeys(["text", "n", "labels", "given_vector"])
    return {**empty, "vectors": dict.fromkeys(dims), "uid": next(_numbers)}


def is_less(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one < other


def assert_same(found: list[Row], expected: list[Row]) -> None:
    """Compare rows in any order."""
    there, due = (Counter(repr(sorted(row.items())) for row in rows) for rows in (found, expected))
    unexpected, missing = there - due, due - there
    assert (unexpected, missing) == (Counter(), Counter())


def distance(vector: Any, query: Any) -> float:
    return float(((np.asarray(vector, np.float32) - query) ** 2).sum())
