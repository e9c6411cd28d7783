"""Changes under way, so that what merges fragments in between doesn't make them begin anew.

A long change, as an update of all rows or the building of an index, is refused when its fragments were merged
meanwhile. So each change holds a lock on the table's folder that all of them share, those of other processes too;
merging takes it alone, or not at all. The lock is the operating system's: it goes with its process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:  # on Windows nothing is known of other processes
    fcntl = None  # type: ignore[assignment]  # checked where it is used


class Underway:
    """The changes to one table, or to one branch of it, that are under way. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._alone: int | None = None
        self._file: int | None = None

    @contextmanager
    def change(self, folder: str | None) -> Iterator[None]:
        """Change the table in the block, beside other changes; merging that is under way is waited for.

        Args:
            folder: Where the table lies; None if that is no folder.
        """
        if self._alone == threading.get_ident():
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None)
            if not self._count:
                self._file = _locked(folder, wait=True)
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                if not self._count:
                    self._let_go()

    @contextmanager
    def alone(self, folder: str | None, *, in_memory: bool) -> Iterator[bool]:
        """Whether nothing else changes the table in the block, because nothing does now.

        Args:
            folder: As for `change`.
            in_memory: Whether no other process can reach the table.
        """
        with self._changed:
            free = not self._count and self._alone is None
            if free and not in_memory:
                self._file = _locked(folder, wait=False)
                free = self._file is not None
            if free:
                self._alone = threading.get_ident()
        try:
            yield free
        finally:
            if free:
                with self._changed:
                    self._alone = None
                    self._let_go()
                    self._changed.notify_all()

    def forget(self) -> None:
        """In a forked child: leave the file to the parent, whose lock it is."""
        self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _locked(folder: str | None, *, wait: bool) -> int | None:
    """The open *folder*, locked with others after a *wait*, else alone; None where that can't be had."""
    if fcntl is None or folder is None:
        return None
    try:
        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with suppress(OSError):
            os.close(file)
        return None
    return file
