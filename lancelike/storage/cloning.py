"""Tables made from another table's version, here or elsewhere."""

from __future__ import annotations

import lance
import pyarrow as pa

from lancelike.errors import QueryError, TableExistsError
from lancelike.query.plan import Scan
from lancelike.storage.dataset import Dataset
from lancelike.storage.failures import Subject, lance_errors, readable
from lancelike.storage.location import Location


def clone(
    location: Location, name: str, source: Dataset | str, version: int | str | None = None, *, shallow: bool = True
) -> Dataset:
    """Make the table *name* of a version of another.

    Args:
        location: The database of the new table.
        name: The new table.
        source: A table of this database in memory, or where a Lance dataset lies.
        version: Number or tag; None is the latest.
        shallow: Share the files of the source, which must stay where they are, and copy none.

    Raises:
        TableExistsError: There is a table *name*.
        TableNotFoundError: There is no table at *source*.
        VersionNotFoundError: It has no such version.
    """
    if location.exists(name):
        raise TableExistsError(name)
    if isinstance(source, Dataset):
        pinned = source if version is None else source.at(version)
        return Dataset.create(location, name, pa.RecordBatchReader.from_batches(pinned.schema, pinned.scan(Scan())))
    uri = location.new_uri(name)
    try:
        with lance_errors(Subject(table=name, uri=readable(source))):
            found = lance.dataset(source, version=version, storage_options=location.storage_options)
            copy = found.shallow_clone if shallow else found.deep_clone
            made = copy(uri, found.version, storage_options=location.storage_options)
        location.publish(name, made)
    except BaseException:
        location.discard(uri)
        raise
    return Dataset.open(location, name)


def in_memory(location: Location, uri: str) -> Dataset:
    """The table of this database in memory that says it lies at *uri*.

    Raises:
        QueryError: None does.
    """
    for name in location.list_tables():
        if location.table_uri(name) == uri:
            return Dataset.open(location, name)
    raise QueryError(f"no table of this database lies at {uri!r}; one in memory is cloned within its database only")
