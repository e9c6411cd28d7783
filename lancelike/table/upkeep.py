"""A table kept in shape."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lancelike import lifecycle, storage
from lancelike.errors import ColumnNotFoundError
from lancelike.ledger.tidying import tolerated
from lancelike.legacy import warn_deprecated
from lancelike.search.target import vector_columns
from lancelike.storage import versions
from lancelike.table.embedding import Embedding

if TYPE_CHECKING:
    from lancelike.lifecycle.health import TableHealth
    from lancelike.storage import CleanupStats, CompactionStats, OptimizeStats, TableStatistics

_FAILURES_KEPT = timedelta(days=7)
"""What failed is recorded before its rows are written, so it is left alone as long as files that no version names."""


class Upkeep(Embedding):
    """Compacts, cleans up, and tells how the table is."""

    def optimize(
        self,
        *,
        cleanup_older_than: timedelta | None = None,
        delete_unverified: bool = False,
        retrain: bool = False,
    ) -> OptimizeStats:
        """Merge small files, bring indices up to date without retraining, and drop old versions.

        Args:
            cleanup_older_than: Versions older than this go, unless tagged; None is 7 days.
            delete_unverified: Also delete young files that no version names, and young records of failures that no row
                waits with; safe only when nobody else writes.
            retrain: Does nothing, and warns; LanceDB's scripts may have it.
        """
        if retrain:
            warn_deprecated("optimize(retrain=True)", "create_index(...)")
        stats = storage.maintenance.optimize(
            self._shown,
            cleanup_older_than=cleanup_older_than,
            delete_unverified=delete_unverified,
            before_prune=self._remember,
        )
        self._forget_failures(delete_unverified)
        return stats

    def compact_files(self, **options: Any) -> CompactionStats:
        """Merge small files; keywords go to pylance's `optimize.compact_files`."""
        return storage.maintenance.compact_files(self._shown, **options)

    def cleanup_old_versions(
        self, older_than: timedelta | None = None, *, delete_unverified: bool = False
    ) -> CleanupStats:
        """Delete versions older than *older_than* (None: 2 weeks), unless tagged, and the files only they need.

        Records of failures go too once no version is left that has a row waiting with them, and they are 7 days old.
        """
        stats = storage.maintenance.cleanup_old_versions(
            self._shown, older_than, delete_unverified=delete_unverified, before_prune=self._remember
        )
        self._forget_failures(delete_unverified)
        return stats

    def _remember(self, older_than: timedelta) -> None:
        """Note what `verify` finds if versions of that age, which tell it, are there to be deleted."""
        self._shown.refresh()
        earlier = versions.list_versions(self._shown)[:-1]
        if self._bindings and earlier and earlier[0]["timestamp"] <= datetime.now() - older_than:
            lifecycle.freshness.remember(self._shown, self._bindings, self._records.ledger)

    def _forget_failures(self, young_too: bool) -> None:
        """Delete the records of failures that no version kept needs."""
        before = datetime.now(UTC) - (timedelta(0) if young_too else _FAILURES_KEPT)
        with tolerated(f"forgetting what failed for rows of table {self.name!r} that are gone"):
            lifecycle.forgetting.forget_gone(self._shown, self._bindings_in, self._records.failures, before)
            lifecycle.forgetting.forget_gone_unread(self._shown, self._records.failures, before)

    def health(self) -> TableHealth:
        """How the latest version is, and what to do about what ails it; nothing is embedded or changed."""
        self._shown.refresh()
        return lifecycle.health.examine_health(self._dataset, self._bindings, self.embedding_errors(), self.verify())

    def stats(self) -> TableStatistics:
        """Bytes, rows, indices and fragment sizes."""
        return storage.maintenance.stats(self._dataset)

    def uses_v2_manifest_paths(self) -> bool:
        """Whether the manifests have the names that Lance gives them today, as those of every new table have."""
        return storage.maintenance.uses_v2_manifest_paths(self._shown)

    def migrate_v2_manifest_paths(self) -> None:
        """Give the manifests of an old table the names of today; nobody else may use it meanwhile."""
        storage.maintenance.migrate_v2_manifest_paths(self._shown)

    def prewarm_data(self, columns: Sequence[str] | None = None) -> None:
        """Read columns into memory, so that the first search need not.

        Those that hold vectors are compared with there. Others are held for the rows that searches find, as far as they
        take no more memory than the vectors do, and hold values only: no blobs.

        Args:
            columns: Those meant; None is all.

        Raises:
            ColumnNotFoundError: There is no such column.
        """
        shown = self._dataset.frozen()
        names = shown.schema.names if columns is None else list(columns)
        if unknown := [name for name in names if name not in shown.schema.names]:
            raise ColumnNotFoundError(unknown[0], shown.schema.names)
        if self._vector_cache is None:
            return
        of_vectors = [column for column in vector_columns(shown.schema) if column.name in names]
        for column in of_vectors:
            self._vector_cache.hold(shown, column)
        searched = {column.name for column in of_vectors}
        self._vector_cache.hold_rows(shown, [name for name in names if name not in searched])
