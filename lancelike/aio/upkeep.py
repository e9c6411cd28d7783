"""Awaited: a table kept in shape, and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from lancelike.aio.handle import AsyncHandle
from lancelike.aio.job import AsyncJob
from lancelike.aio.threads import read, write
from lancelike.legacy import warn_deprecated
from lancelike.lifecycle.health import TableHealth
from lancelike.query.predicates import Expression
from lancelike.schema.model import LanceModel
from lancelike.storage import CleanupStats, CompactionStats, OptimizeStats, TableStatistics
from lancelike.types import (
    AddColumnsResult,
    AlterColumnsResult,
    DropColumnsResult,
    RefreshColumnResult,
    UpdateFieldMetadataResult,
)


class AsyncUpkeep(AsyncHandle):
    """Compacts, cleans up, tells how the table is, and changes columns."""

    async def optimize(
        self,
        *,
        cleanup_older_than: timedelta | None = None,
        delete_unverified: bool = False,
        retrain: bool = False,
    ) -> OptimizeStats:
        """Merge small files, bring indices up to date without retraining, and drop old versions.

        Arguments are those of `Table.optimize`. Lance can't be interrupted: cancelled, this ends when that is done.
        """
        if retrain:
            warn_deprecated("optimize(retrain=True)", "create_index(...)")
        table = self._blocking
        return await write(
            lambda: table.optimize(cleanup_older_than=cleanup_older_than, delete_unverified=delete_unverified)
        )

    async def compact_files(self, **options: Any) -> CompactionStats:
        """Merge small files; keywords go to pylance's `optimize.compact_files`."""
        table = self._blocking
        return await write(lambda: table.compact_files(**options))

    async def cleanup_old_versions(
        self, older_than: timedelta | None = None, *, delete_unverified: bool = False
    ) -> CleanupStats:
        """Delete versions older than *older_than* (None: 2 weeks), unless tagged, and the files only they need."""
        table = self._blocking
        return await write(lambda: table.cleanup_old_versions(older_than, delete_unverified=delete_unverified))

    async def health(self) -> TableHealth:
        """How the table is, and what to do about what ails it; nothing is embedded or changed."""
        return await read(self._blocking.health)

    async def stats(self) -> TableStatistics:
        """Bytes, rows, indices and fragment sizes."""
        return await read(self._blocking.stats)

    async def uses_v2_manifest_paths(self) -> bool:
        """Whether the manifests have the names that Lance gives them today, as those of every new table have."""
        return await read(self._blocking.uses_v2_manifest_paths)

    async def migrate_v2_manifest_paths(self) -> None:
        """Give the manifests of an old table the names of today; nobody else may use it meanwhile."""
        await write(self._blocking.migrate_v2_manifest_paths)

    async def migrate_manifest_paths_v2(self) -> None:
        """The same as `migrate_v2_manifest_paths`, which LanceDB's awaited tables call so."""
        await self.migrate_v2_manifest_paths()

    async def merge(
        self,
        other_table: Any,
        left_on: str,
        right_on: str | None = None,
        schema: pa.Schema | type[LanceModel] | None = None,
    ) -> None:
        """Add the columns of other rows to the rows that have the same key: a left join, in one commit.

        Arguments and errors are those of `Table.merge`; *other_table* may be awaited or not.
        """
        table = self._blocking
        other = other_table._blocking if isinstance(other_table, AsyncHandle) else other_table
        await write(lambda: table.merge(other, left_on, right_on, schema))

    async def update_field_metadata(self, *updates: Mapping[str, Any]) -> UpdateFieldMetadataResult:
        """Set what is noted with columns; arguments and errors are those of `Table.update_field_metadata`."""
        table = self._blocking
        return await write(lambda: table.update_field_metadata(*updates))

    async def replace_field_metadata(self, field_name: str, new_metadata: Mapping[str, str]) -> None:
        """Older spelling of `update_field_metadata` with `"replace": True`."""
        new = {"path": field_name, "metadata": dict(new_metadata), "replace": True}
        warn_deprecated("replace_field_metadata(...)", f"update_field_metadata({new!r})")
        await self.update_field_metadata(new)

    async def set_unenforced_primary_key(self, columns: str | Iterable[str]) -> None:
        """Declare the column that tells rows apart, once; errors are those of `Table.set_unenforced_primary_key`."""
        table = self._blocking
        await write(lambda: table.set_unenforced_primary_key(columns))

    async def add_columns(
        self,
        transforms: Mapping[str, Expression] | pa.Field | Sequence[pa.Field] | pa.Schema | None = None,
        *,
        computed: Mapping[str, Expression] | None = None,
    ) -> AddColumnsResult:
        """Add columns, as `Table.add_columns` does: filled once, or such as stay computed."""
        table = self._blocking
        return await write(lambda: table.add_columns(transforms, computed=computed))

    async def refresh_column(self, column: str) -> RefreshColumnResult:
        """Give a computed column its value where it has another, as `Table.refresh_column` does."""
        table = self._blocking
        return await write(lambda: table.refresh_column(column))

    async def refresh_column_async(self, column: str) -> AsyncJob[RefreshColumnResult]:
        """`refresh_column` in the background; a job whose `await job.wait()` gives what it did."""
        return AsyncJob(self._blocking.refresh_column_async(column))

    async def alter_columns(self, *alterations: Mapping[str, Any]) -> AlterColumnsResult:
        """Rename, retype or make nullable, as `Table.alter_columns` does."""
        table = self._blocking
        return await write(lambda: table.alter_columns(*alterations))

    async def drop_columns(self, columns: str | Iterable[str]) -> DropColumnsResult:
        """Drop columns; a vector column's function goes with it."""
        table = self._blocking
        return await write(lambda: table.drop_columns(columns))
