"""Noticing another model behind the same name: a few texts whose vectors are known are embedded again.

The canaries of a table are embedded when its first source is, and kept beside the table. Once in each process, before
a function makes the first vector for a table or a query, it must give them the vectors it gave then.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.embeddings import EmbeddingFunction, TextEmbeddingFunction
from lancelike.embeddings.batching import checked_answers
from lancelike.errors import EmbeddingError, ModelDriftError, ModelDriftWarning, TableNotFoundError
from lancelike.ledger.fingerprint import fingerprint
from lancelike.ledger.keys import input_keys
from lancelike.ledger.ledger import FunctionLedger
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location

DIRECTORY = "_lancelike/canaries"
CANARIES = (
    "The ledger remembers what was paid for.",
    "def area(radius): return 3.14159 * radius ** 2",
    "Größe, naïveté und 東京: words from elsewhere",
)
TOLERANCE = 1e-3
"""Cosine distance up to which vectors are the same model's: batch sizes and hardware change the last digits only."""

logger = logging.getLogger("lancelike.ledger")

_fresh: WeakKeyDictionary[EmbeddingFunction, NDArray[Any]] = WeakKeyDictionary()


class DriftGuard:
    """Checks the functions of one table.

    Args:
        location: The database.
        table: The table's name.
        allow_drift: Warn in place of raising.
    """

    def __init__(self, location: Location, table: str, *, allow_drift: bool = False) -> None:
        self._location, self._table, self._allow_drift = location.child(DIRECTORY), table, allow_drift
        self._checked: set[tuple[str, int]] = set()

    def check(
        self, function: EmbeddingFunction, vector_column: str, ledger: FunctionLedger | None = None, *, writes: bool
    ) -> None:
        """See that *function* is the one that made the vectors of *vector_column*, and those in *ledger*.

        Args:
            function: About to be used.
            vector_column: What for.
            ledger: Where its vectors are kept, which it would share with other tables.
            writes: Whether vectors are about to be stored: the canaries are kept if none are.

        Raises:
            ModelDriftError: It is not.
        """
        if (vector_column, id(function)) in self._checked or not isinstance(function, TextEmbeddingFunction):
            return
        vectors = _embedded(function)
        if vectors is None:
            return
        known = self._known(vector_column)
        if known is not None:
            self._compare(function, vector_column, *known, vectors)
        elif writes:
            self._keep(vector_column, fingerprint(function), vectors)
        if ledger is not None:
            self._check_ledger(function, vector_column, ledger, vectors, writes)
        if known is not None or writes:
            self._checked.add((vector_column, id(function)))

    def forget(self) -> None:
        """Delete the canaries, as when the table is dropped."""
        if self._location.exists(self._table):
            self._location.drop(self._table)

    def forget_column(self, vector_column: str) -> None:
        """Delete the canaries of one column, whose function is about to be another."""
        dataset = self._open()
        if dataset is not None:
            dataset.delete(f"vector_column = '{vector_column.replace(chr(39), chr(39) * 2)}'")
        self._checked = {each for each in self._checked if each[0] != vector_column}

    def rename(self, table: str) -> None:
        """Follow the table to its new name."""
        if self._location.exists(self._table):
            self._location.rename(self._table, table)

    def _known(self, vector_column: str) -> tuple[str, NDArray[Any]] | None:
        dataset = self._open()
        if dataset is None:
            return None
        dataset.refresh()
        rows = [row for row in dataset.read(Scan()).to_pylist() if row["vector_column"] == vector_column]
        return (rows[-1]["fingerprint"], np.array(rows[-1]["vectors"])) if rows else None

    def _keep(self, vector_column: str, mark: str, vectors: NDArray[Any]) -> None:
        column = pa.array([vectors.astype(np.float64).tolist()], pa.list_(pa.list_(pa.float64())))
        rows = pa.table({"vector_column": [vector_column], "fingerprint": [mark], "vectors": column})
        dataset = self._open()
        if dataset is None:
            Dataset.create(self._location, self._table, rows)
        else:
            dataset.append(rows)

    def _check_ledger(
        self,
        function: EmbeddingFunction,
        vector_column: str,
        ledger: FunctionLedger,
        vectors: NDArray[Any],
        writes: bool,
    ) -> None:
        keys = input_keys(ledger.fingerprint, "source", CANARIES)
        places = ledger.find(keys)
        kept = ledger.take(places[places >= 0].tolist())
        if len(kept) == len(CANARIES) and not any(vector is None for vector in kept):
            self._compare(function, vector_column, ledger.fingerprint, np.stack(kept), vectors)  # type: ignore[arg-type]  # none is None
        elif writes:
            ledger.record(keys, list(vectors))

    def _compare(
        self, function: EmbeddingFunction, vector_column: str, stored: str, then: NDArray[Any], now: NDArray[Any]
    ) -> None:
        cosine = _least_cosine(then, now)
        if cosine >= 1 - TOLERANCE:
            return
        error = ModelDriftError(function.label, vector_column, stored, fingerprint(function), cosine)
        if not self._allow_drift:
            raise error
        warnings.warn(str(error), ModelDriftWarning, stacklevel=2)

    def _open(self) -> Dataset | None:
        try:
            return Dataset.open(self._location, self._table)
        except TableNotFoundError:
            return None


def _embedded(function: EmbeddingFunction) -> NDArray[Any] | None:
    """The canaries' vectors, shape (len(CANARIES), ndims), made once in a process; None if they can't be made now.

    One try: a function that fails here fails for what it is needed for as well, and there the failure is handled.
    """
    if function not in _fresh:
        try:
            answers = checked_answers(function, function.compute_source_embeddings(list(CANARIES)), len(CANARIES))
        except Exception as error:  # noqa: BLE001 - see above
            logger.debug("%s did not embed the canaries: %s", function.label, type(error).__name__)
            return None
        if any(isinstance(answer, EmbeddingError) or answer.ndim != 1 for answer in answers):
            return None
        _fresh[function] = np.stack(answers)  # type: ignore[arg-type]  # no errors among them
    return _fresh[function]


def _least_cosine(then: NDArray[Any], now: NDArray[Any]) -> float:
    """Of the pairs of rows; -1 where the lengths differ."""
    if then.shape != now.shape:
        return -1.0
    products = np.einsum("ij,ij->i", then, now, dtype=np.float64)
    norms = np.linalg.norm(then.astype(np.float64), axis=1) * np.linalg.norm(now.astype(np.float64), axis=1)
    both_zero = (norms == 0) & ~then.any(axis=1) & ~now.any(axis=1)
    return float(np.min(np.where(both_zero, 1.0, products / np.where(norms == 0, 1.0, norms))))
