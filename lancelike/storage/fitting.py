"""Whether rows that were made for one version of a table are rows of a later one as well.

Lance knows columns by numbers, and has a new one for a column that was cast, or dropped and added again: of rows whose
files have the old number, the values of that column are then null, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lance import LanceDataset

from lancelike.schema.bindings import stored_bindings
from lancelike.schema.computed import computed_columns


def fits(made_for: LanceDataset, latest: LanceDataset, columns: Iterable[str]) -> bool:
    """Whether rows with *columns* that were made for one version can be committed to *latest*.

    They can't if one of these columns is gone, has another name, number or type, or takes no nulls any more; nor if one
    was added that takes none.
    """
    then, now = _fields(made_for), _fields(latest)
    return (
        made_for.data_storage_version == latest.data_storage_version
        and all(name in now and _is_same(then[name], now[name]) for name in then.keys() & set(columns))
        and all(now[name].to_arrow().nullable for name in now.keys() - then.keys())
    )


def follows_alike(made_for: LanceDataset, latest: LanceDataset) -> bool:
    """Whether the same columns are embedded and computed in both versions, in the same way and of the same others."""
    then, now = made_for.schema, latest.schema
    return stored_bindings(then.metadata) == stored_bindings(now.metadata) and (
        computed_columns(then) == computed_columns(now)
    )


def ids_within(parent: Any) -> Iterator[int]:
    """Numbers of a field of a Lance schema, and of those within it, in preorder."""
    yield parent.id()
    for child in parent.children():
        yield from ids_within(child)


def _fields(dataset: LanceDataset) -> dict[str, Any]:
    return {field.name(): field for field in dataset.lance_schema.fields()}


def _is_same(then: Any, now: Any) -> bool:
    before, after = then.to_arrow(), now.to_arrow()
    return (
        list(ids_within(then)) == list(ids_within(now))
        and before.type == after.type
        and (after.nullable or not before.nullable)
    )
