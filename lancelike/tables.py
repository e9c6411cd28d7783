"""Which tables a database has: listed, dropped and renamed, with all that is kept of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lancelike.errors import LancelikeError, TableExistsError, TableNotFoundError
from lancelike.job import Job
from lancelike.legacy import warn_deprecated
from lancelike.namespaces import ListTablesResponse, Namespaces, paged
from lancelike.storage import Location, check_table_name, within
from lancelike.storage.memory import VectorCache

if TYPE_CHECKING:
    from lancelike.ledger import TableRecords


class Tables(Namespaces):
    """Lists, drops and renames tables."""

    _vector_cache: VectorCache

    @abstractmethod
    def _records(self, location: Location, name: str, allow_drift: bool | None = None) -> TableRecords:
        """What is kept of the table *name* beside it: its failures, canaries, and payments."""

    def __len__(self) -> int:
        return len(self._location.list_tables())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._location.list_tables()

    def __iter__(self) -> Iterator[str]:
        return iter(self._location.list_tables())

    def list_tables(
        self, namespace_path: Sequence[str] | None = None, page_token: str | None = None, limit: int | None = None
    ) -> ListTablesResponse:
        """Names of the tables, sorted; all of them unless *limit* asks for pages.

        Args:
            namespace_path: Names from the root to the namespace they are in, here and wherever it is taken; None is
                the root.
            page_token: The last name of the page before, as the response before gave it.
            limit: Most names in this page.
        """
        names = within(self._location, namespace_path).list_tables()
        return ListTablesResponse(*paged(names, page_token, limit))

    def table_names(
        self,
        page_token: str | None = None,
        limit: int | None = None,
        *,
        namespace_path: Sequence[str] | None = None,
    ) -> list[str]:
        """Older spelling of `list_tables(...).tables`."""
        warn_deprecated("table_names()", "list_tables().tables")
        return self.list_tables(namespace_path, page_token, limit).tables

    def drop_table(self, name: str, namespace_path: Sequence[str] | None = None, ignore_missing: bool = False) -> None:
        """Delete the table *name* and its files.

        Raises:
            TableNotFoundError: There is no such table, and *ignore_missing* is false.
        """
        check_table_name(name)
        location = within(self._location, namespace_path)
        if location.exists(name):
            self._drop(location, name)
        elif not ignore_missing:
            raise TableNotFoundError(name, location.list_tables())

    def drop_table_async(self, name: str, namespace_path: Sequence[str] | None = None) -> Job[None]:
        """Delete the table *name* in the background; a `Job` whose `wait()` returns when its files are gone."""
        return Job("drop_table", lambda: self.drop_table(name, namespace_path))

    def drop_all_tables(self, namespace_path: Sequence[str] | None = None) -> None:
        """Delete every table of a namespace, the root unless *namespace_path* names another."""
        location = within(self._location, namespace_path)
        for name in location.list_tables():
            self._drop(location, name)

    def _drop(self, location: Location, name: str) -> None:
        records = self._all_records(location, name)
        location.drop(name)
        self._vector_cache.forget(location, name)
        for each in records:
            each.forget()

    def drop_database(self) -> None:
        """Older spelling of `drop_all_tables`."""
        warn_deprecated("drop_database()", "drop_all_tables()")
        self.drop_all_tables()

    def rename_table(
        self,
        cur_name: str,
        new_name: str,
        cur_namespace_path: Sequence[str] | None = None,
        new_namespace_path: Sequence[str] | None = None,
    ) -> None:
        """Rename a table; handles opened under the old name are closed.

        In an object store the files of a table at the root are copied, since it has no rename.

        Args:
            cur_name: Its name.
            new_name: Its name from now on.
            cur_namespace_path: The namespace it is in.
            new_namespace_path: The same, or None.

        Raises:
            TableNotFoundError: There is no table *cur_name*.
            TableExistsError: There is a table *new_name*.
            SchemaError: The table has branches.
        """
        check_table_name(cur_name)
        check_table_name(new_name)
        if list(new_namespace_path or cur_namespace_path or ()) != list(cur_namespace_path or ()):
            raise NotImplementedError("a table is renamed within its namespace; clone_table makes a copy in another")
        location = within(self._location, cur_namespace_path)
        if not location.exists(cur_name):
            raise TableNotFoundError(cur_name, location.list_tables())
        if location.exists(new_name):
            raise TableExistsError(new_name)
        records = self._all_records(location, cur_name)
        location.rename(cur_name, new_name)
        self._vector_cache.forget(location, cur_name)
        for each in records:
            each.rename(new_name)

    def _all_records(self, location: Location, name: str) -> list[TableRecords]:
        """The records of the table and of its branches, as far as these can be told."""
        try:
            branches = location.branches(name)
        except LancelikeError:  # damaged, and dropped all the same
            branches = {}
        main = self._records(location, name)
        return [main, *(main.on(branch) for branch in branches)]
