"""How well a table is searched: recall against the exact scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelike import search
from lancelike.query import Query
from lancelike.query.plan import VectorColumn
from lancelike.search.run import Searcher
from lancelike.search.target import facts_of, index_of, target_column
from lancelike.storage import Dataset
from lancelike.storage.index import all_partitions
from lancelike.storage.tuning import note
from lancelike.table.reading import Reading

if TYPE_CHECKING:
    from lancelike.search.curve import RecallCurve
    from lancelike.search.recall import RecallReport


class Recall(Reading):
    """Measures recall, and sets what searches go by for it."""

    def evaluate(
        self,
        k: int = 10,
        sample: int = 100,
        vector_column_name: str | None = None,
        *,
        queries: Any = None,
        seed: int = 0,
    ) -> RecallReport:
        """How much of the exact answer searches find, as they are made without settings of their own, and how fast.

        Searches by the vectors of rows that are drawn, whose own row no answer counts, or by *queries*, are compared
        with the scan of all vectors. Vectors are read into memory if they fit, as by the searches that go on.

        Args:
            k: Rows asked for.
            sample: Rows to draw; fewer are drawn if fewer have a vector.
            vector_column_name: The column to search; not needed if there is one.
            queries: Searched by instead: vectors, shape (m, ndims), or a list of what the column's function embeds.
            seed: The same one draws the same rows.

        Returns:
            Recall with its 95% interval, the median time, and the settings that searches use.

        Raises:
            QueryError: There is no vector column, several, or too few rows for *k*; or *k* or *sample* is below 1.
            ColumnNotFoundError: There is no such column.
            EmbeddingError: *queries* could not be embedded.
        """
        shown = self._dataset.frozen()
        column = self._vector_column(shown, vector_column_name)
        return search.recall.recall_test(
            shown, self._searching(shown), column, k=k, sample=sample, queries=queries, seed=seed
        ).measure()

    def recall_curve(
        self,
        k: int = 10,
        sample: int = 100,
        vector_column_name: str | None = None,
        *,
        queries: Any = None,
        seed: int = 0,
    ) -> RecallCurve:
        """What recall searches have with 1, 2, 4, ... partitions, and how long they take: `evaluate` for each.

        Arguments and errors are those of `evaluate`. Nothing is kept: `tune` finds a setting for a recall and keeps it.

        Returns:
            Points for `print`, `to_arrow`, `to_pandas` or `plot`, the exact scan last, and alone without an index.
        """
        shown = self._dataset.frozen()
        column = self._vector_column(shown, vector_column_name)
        test = search.recall.recall_test(
            shown, self._searching(shown), column, k=k, sample=sample, queries=queries, seed=seed
        )
        index = index_of(shown, column)
        return search.curve.recall_curve(test, all_partitions(shown, index.name) if index else 0)

    def tune(
        self,
        target_recall: float = 0.95,
        k: int = 10,
        vector_column_name: str | None = None,
        *,
        sample: int = 100,
        queries: Any = None,
        seed: int = 0,
    ) -> RecallReport:
        """Find the cheapest `nprobes`, and `refine_factor` through Lance, that reach a recall, and keep them.

        They are kept with the column, for this index, in a commit: searches from any handle that give no nprobes of
        their own go by them, until the index is dropped or built anew. Searches in memory and those through Lance have
        settings of their own, and both are tuned; the report is of those that this handle makes. Without an index,
        searches are exact, and nothing is kept.

        The mean recall decides, on two samples: on one the settings are chosen, and on the other, which is reported,
        they have to hold. *queries* serve as both.

        Args:
            target_recall: Share of the *k* nearest to be found.
            k: Rows asked for.
            vector_column_name: The column; not needed if there is one.
            sample: Rows to draw for each sample.
            queries: Searched by instead, as in `evaluate`.
            seed: The same one draws the same rows.

        Raises:
            QueryError: No setting of the index reaches *target_recall*, which then says what the best is and keeps
                nothing; or as for `evaluate`.
            ColumnNotFoundError: There is no such column.
            ReadOnlyTableError: The handle shows a past version.
        """
        search.tuning.check_target(target_recall)
        shown = self._dataset.frozen()
        column, here = self._vector_column(shown, vector_column_name), self._searching(shown)
        asked = {"k": k, "sample": sample, "queries": queries}
        choosing = search.recall.recall_test(shown, here, column, seed=seed, **asked)
        checking = (
            choosing if queries is not None else search.recall.recall_test(shown, here, column, seed=seed + 1, **asked)
        )
        index = index_of(shown, column)
        held = self._vector_cache.known(shown, column) if self._vector_cache else None
        if index is None or not (num_partitions := all_partitions(shown, index.name)):
            return checking.measure()
        tuning, report = search.tuning.find_tuning(
            choosing,
            checking,
            Searcher(shown),
            target=target_recall,
            column=column,
            index=index,
            num_partitions=num_partitions,
            held=held,
        )
        note(self._shown, column.name, tuning)
        return report

    def _vector_column(self, shown: Dataset, name: str | None) -> VectorColumn:
        return target_column(Query(vector_column=name), facts_of(shown), self._bindings_in(shown))
