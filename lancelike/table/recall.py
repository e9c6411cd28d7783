"""How well a table is searched: recall against the exact scan."""

from __future__ import annotations

from typing import Any

from lancelike.query import Query
from lancelike.search.recall import RecallReport, recall_test
from lancelike.search.target import facts_of, target_column
from lancelike.table.reading import Reading


class Recall(Reading):
    """Measures recall."""

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
        column = target_column(Query(vector_column=vector_column_name), facts_of(shown), self._bindings_in(shown))
        test = recall_test(shown, self._searching(shown), column, k=k, sample=sample, queries=queries, seed=seed)
        return test.measure()
