"""Which tables this process has open: one shared handle for each, closed together when the table goes."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Generic, TypeVar

from lancelike.storage.btrees import Verdicts
from lancelike.storage.underway import Underway

Handle = TypeVar("Handle")


class OpenTable(Generic[Handle]):
    """One life of one table, or of a branch of it, in this process, from its opening or creation to its drop.

    Attributes:
        closed: The table was dropped or renamed; every handle on it leads nowhere.
        lock: Held while the shared handle is made or its version exchanged, never during I/O on rows.
        merging: Held by a merge, so that threads which upsert the same keys don't insert them twice.
        indexing: Held while indices are built or changed: of two that do so, Lance lets the second start again.
        underway: Its changes, but for rows added.
        btrees: Which of the table's B-trees miss rows, as far as is known.
        listing: Which segments of its other indices list rows that are deleted, as far as is known.
    """

    def __init__(self) -> None:
        self.closed = False
        self.lock = threading.RLock()
        self.merging = threading.Lock()
        self.indexing = threading.Lock()
        self.underway = Underway()
        self.btrees: Verdicts = {}
        self.listing: Verdicts = {}
        self._shared: weakref.ref[Handle] | None = None

    @property
    def shared(self) -> Handle | None:
        """The handle that shows the latest version, if anyone holds it."""
        return self._shared() if self._shared else None

    @shared.setter
    def shared(self, dataset: Handle) -> None:
        self._shared = weakref.ref(dataset)


_lock = threading.Lock()
_tables: weakref.WeakValueDictionary[tuple[str, str, str], OpenTable[Any]] = weakref.WeakValueDictionary()


def open_table(database: str, name: str, branch: str | None = None) -> OpenTable[Any]:
    """The open table *name* of the database with that key, or its *branch*; a new one if this process holds none."""
    key = database, name, branch or ""
    with _lock:
        table = _tables.get(key)
        if table is None or table.closed:
            table = _tables[key] = OpenTable()
        return table


def close_table(database: str, name: str, branch: str | None = None) -> None:
    """Close every handle on the table, or on its *branch* alone; the next `open_table` starts another life."""
    with _lock:
        keys = [key for key in _tables if key[:2] == (database, name)] if branch is None else [(database, name, branch)]
        for key in keys:
            if table := _tables.pop(key, None):
                table.closed = True


def _forget_in_child() -> None:
    """Start a forked child with locks of its own: another thread may have held the parent's."""
    global _lock  # noqa: PLW0603 - the lock is the module's
    _lock = threading.Lock()
    for table in _tables.values():
        table.lock, table.merging, table.indexing = threading.RLock(), threading.Lock(), threading.Lock()
        table.underway.forget()
        table.underway = Underway()


os.register_at_fork(after_in_child=_forget_in_child)
