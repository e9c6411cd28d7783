"""The embedding ledger: what was paid for, kept by what it was paid for.

One append-only Lance dataset for each function's fingerprint, under `_lancelike/ledger/` beside the tables. A row is a
key of an input and its vector. What is in it is never asked for again: that is how a killed run resumes, how unchanged
rows cost nothing, and how a text that another table holds is reused.

It can be deleted at any time, also while tables are open: what was in it is then paid for again when it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.embeddings import EmbeddingFunction
from lancelike.errors import CorruptTableError, TableClosedError, TableExistsError, TableNotFoundError
from lancelike.ledger.bounds import DEFAULT_BYTES
from lancelike.ledger.claims import claims_at
from lancelike.ledger.fingerprints import fingerprint
from lancelike.ledger.keys import from_arrow
from lancelike.ledger.rows import to_rows, to_vectors
from lancelike.ledger.tidying import MANY_FRAGMENTS, cleanup, merge_small_files, tolerated
from lancelike.ledger.waiting import waiting_at
from lancelike.query.plan import Scan
from lancelike.storage import Dataset, Location
from lancelike.storage.key_index import KeyIndex, Keys

T = TypeVar("T")

DIRECTORY = "_lancelike/ledger"

_FRAGMENTS_WITHIN_BOUND = 8
"""Files stay small enough for this many within the bound, since the oldest is dropped whole."""
_READ_TRIES = 5
NO_KEYS: Keys = np.empty((0, 2), np.uint64)


class Ledger:
    """The ledgers of a database's functions.

    Args:
        location: The database.
        max_bytes: Bound on each function's ledger; 0 keeps none, so that nothing is reused or resumed.
    """

    def __init__(self, location: Location, max_bytes: int = DEFAULT_BYTES) -> None:
        self._location = location.database.child(DIRECTORY)
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._functions: dict[str, FunctionLedger] = {}

    def of(self, function: EmbeddingFunction) -> FunctionLedger | None:
        """The ledger of *function*; None if none is kept."""
        return self.marked(fingerprint(function))

    def marked(self, mark: str) -> FunctionLedger | None:
        """The ledger of the function whose fingerprint is *mark*; None if none is kept."""
        if self.max_bytes <= 0:
            return None
        with self._lock:
            if mark not in self._functions:
                self._functions[mark] = FunctionLedger(self._location, mark, self.max_bytes)
            return self._functions[mark]


class FunctionLedger:
    """Vectors of one function, by key. Safe to use from several threads and processes.

    Attributes:
        fingerprint: The function's.
        folder: Where it lies, or None: in an object store or in memory.
        claims: On the inputs that are being embedded.
    """

    def __init__(self, location: Location, mark: str, max_bytes: int) -> None:
        self.fingerprint, self.folder = mark, location.path
        folder = location.path / f"{mark}.claims" if location.path else None
        self.claims, self._waiting = claims_at(folder), waiting_at(folder)
        self._location, self._max_bytes = location, max_bytes
        self._lock = threading.RLock()
        self._dataset: Dataset | None = None
        self._index = KeyIndex(self.folder)
        self._version = self._rows_indexed = 0
        self._fragments: set[int] = set()
        self._appended = 0

    def knows(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of *keys* have a vector, shape (len(keys),)."""
        waits = np.array([vector is not None for vector in self._waiting.recall(keys)], bool)
        return waits | (self._find(keys) >= 0)

    def recall(self, keys: Keys) -> list[NDArray[Any] | None]:
        """The vector of each of *keys*, None where there is none. Sees other processes' entries."""
        vectors = self._waiting.recall(keys)  # first: what is recorded meanwhile is found in the ledger
        left = np.array([place for place, vector in enumerate(vectors) if vector is None], np.intp)
        places = self._find(keys[left])
        found = np.flatnonzero(places >= 0)
        for place, vector in zip(left[found], self.take(places[found].tolist()), strict=True):
            vectors[place] = vector
        return vectors

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Where the vector of each of *keys* is, for `take`; -1 where there is none. Sees other processes' entries."""
        self._record_waiting()
        return self._find(keys)

    def _find(self, keys: Keys) -> NDArray[np.int64]:
        with self._lock:
            self._catch_up()
            return self._index.find(keys)

    def take(self, places: Sequence[int]) -> list[NDArray[Any] | None]:
        """The vectors at *places* that `find` gave; None for one that was pruned since."""
        if not len(places):
            return []
        distinct, of_wanted = np.unique(np.asarray(places), return_inverse=True)
        rows = self._rows(distinct.tolist())
        if rows is None:
            return [None] * len(places)
        found = dict(zip(rows["_rowid"].to_pylist(), to_vectors(rows["vector"]), strict=True))
        return [found.get(int(distinct[i])) for i in of_wanted]

    def vectors(self) -> Iterator[list[NDArray[Any]]]:
        """All vectors, a batch at a time."""
        self._record_waiting()
        with self._lock:
            dataset = self._current()
            if dataset is None:
                return
            batches = dataset.scan(Scan(columns=["vector"]))
        for batch in batches:
            yield to_vectors(pa.chunked_array([batch.column(0)]))

    def record(self, keys: Keys, vectors: Sequence[NDArray[Any]]) -> None:
        """Make *vectors* durable under *keys*, in one commit with those that wait, or as a note if they are few."""
        if len(keys) and not self._waiting.add(keys, vectors):
            self._record_waiting(keys, vectors)

    def _record_waiting(self, keys: Keys = NO_KEYS, vectors: Sequence[NDArray[Any]] = ()) -> None:
        """Record what waits, and *vectors* with it, in one commit."""
        with self._lock, self._waiting.lock:
            waiting_keys, waiting = self._waiting.take()
            if not waiting and not len(keys):
                return
            self._append(to_rows(np.concatenate([waiting_keys, keys]), [*waiting, *vectors]))
            self._waiting.settled()
            self._appended += 1
            if self._appended >= MANY_FRAGMENTS:
                self.tidy()

    def renew(self) -> None:
        """Let go of all entries."""
        with self._lock:
            self._waiting.drop()
            self.claims.recover(lambda _: None)
            self._lose()
            if self._location.exists(self.fingerprint):
                self._location.drop(self.fingerprint)

    def tidy(self) -> None:
        """Merge small files, and drop the oldest entries beyond the bound. What fails at that is only logged."""
        with self._lock, tolerated(f"tidying the ledger {self.fingerprint}"):
            if not self._appended:
                return
            self._appended = 0
            self._catch_up()
            dataset = self._dataset
            if dataset is None:
                return
            merged = merge_small_files(dataset, self._max_bytes // _FRAGMENTS_WITHIN_BOUND)
            if merged:
                self._keep_index(dataset)
            if self._prune(dataset) or merged:
                cleanup(dataset, timedelta(0))  # whoever reads an old version goes on with a later one

    def _rows(self, row_ids: list[int]) -> pa.Table | None:
        """Vectors by row id, of those that are still there; None when the whole ledger is gone."""
        dataset = self._dataset
        return None if dataset is None else _read(dataset, lambda shown: shown.rows_by_id(row_ids, ["vector"]))

    def _prune(self, dataset: Dataset) -> bool:
        sizes = dataset.fragments()
        excess, oldest = sum(sizes.values()) - self._max_bytes, []
        for fragment, size in sizes.items():
            if excess <= 0:
                break
            oldest.append(fragment)
            excess -= size
        if oldest:
            dataset.drop_fragments(oldest)
        return bool(oldest)

    def _catch_up(self) -> None:
        """Index what was appended since. Merged files keep their entries' row ids, and `take` knows of pruned ones."""
        self.claims.recover(self._append)
        dataset = self._current()
        if dataset is None or _read(dataset, self._index_new) is None:
            self._lose()

    def _index_new(self, shown: Dataset) -> int:
        """Index the files of the version shown that are not indexed yet; its number."""
        if shown.version == self._version:
            return self._version
        rows = shown.count_rows()
        if len(self._index) > 2 * rows:
            self._index, self._fragments = KeyIndex(self.folder), set()
        fragments = set(shown.fragments())
        if new := tuple(sorted(fragments - self._fragments)):
            for entries in shown.scan(Scan(columns=["key"], with_row_id=True, fragments=new)):
                self._index.add(from_arrow(entries["key"]), entries["_rowid"].to_numpy().astype(np.int64))
        self._fragments, self._rows_indexed, self._version = fragments, rows, shown.version
        return self._version

    def _keep_index(self, dataset: Dataset) -> None:
        """Take the index for that of the files that were merged, if they hold no more than what was indexed."""
        shown = dataset.frozen()
        if shown.count_rows() == self._rows_indexed:
            self._fragments, self._version = set(shown.fragments()), shown.version

    def _current(self) -> Dataset | None:
        """The dataset at its latest version; None if there is none, or none any more."""
        if self._dataset is not None:
            try:
                self._dataset.refresh()
            except TableClosedError:
                self._lose()
        if self._dataset is None and not self._location.is_known_to_lack(self.fingerprint):
            try:
                self._dataset = Dataset.open(self._location, self.fingerprint)
            except TableNotFoundError:
                return None
        return self._dataset

    def _lose(self) -> None:
        self._dataset, self._index, self._fragments = None, KeyIndex(self.folder), set()
        self._version = self._rows_indexed = 0

    def _append(self, rows: pa.Table) -> None:
        dataset = self._current()
        if dataset is None:
            try:
                self._dataset = Dataset.create(self._location, self.fingerprint, rows)
                return
            except TableExistsError:  # another process just made it
                dataset = self._dataset = Dataset.open(self._location, self.fingerprint)
        dataset.append(rows)


def _read(dataset: Dataset, read: Callable[[Dataset], T]) -> T | None:
    """What *read* makes of the version shown; None if the ledger is gone.

    Where another process merged files meanwhile and deleted those of this version, a later one is read.
    """
    for tries_left in reversed(range(_READ_TRIES)):
        try:
            return read(dataset.frozen())
        except TableClosedError:
            return None
        except CorruptTableError:
            if not tries_left:
                raise
            with suppress(TableClosedError):
                dataset.refresh()
    return None
