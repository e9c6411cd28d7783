"""Reading a permutation's rows, also in a process that was forked from one that had used tables.

Lance's threads don't come along into such a child, and whatever would use them hangs or crashes. So there a further
process, started afresh, reads the rows and sends them over a pipe.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import spawn
from typing import Any, BinaryIO, Literal, Protocol, TypeAlias

import pyarrow as pa

from lancelike.errors import ForkedProcessError
from lancelike.query.results import one_batch
from lancelike.table import Table

Version: TypeAlias = tuple[str | None, int]
"""A branch, None for main, and one of its versions."""
ConnectionFactory: TypeAlias = Callable[[str], Table]
Reply: TypeAlias = tuple[Literal["rows", "error"], Any]

_START = (
    "import os, pickle, sys; replies = os.dup(1); os.dup2(2, 1); from multiprocessing import spawn; "
    "spawn.prepare(pickle.load(sys.stdin.buffer)); from lancelike.permutation.reading import serve; serve(replies)"
)
"""What the further process runs. Nothing but replies may go to its standard output, whatever it imports prints."""
_READS_ROWS = "LANCELIKE_READS_ROWS"
"""Set in that process: were a script that it imports to start workers, these would start such processes, and so on."""


_starting = threading.Lock()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows to read.

    Attributes:
        by: Whether *numbers* are row ids, or offsets in the table.
        numbers: One for each row, in order.
        columns: SQL by the name of the column it makes.
    """

    by: Literal["offset", "row id"]
    numbers: Sequence[int]
    columns: Mapping[str, str]


class Source:
    """One version of a table, read in whichever process this is.

    Args:
        table: A handle pinned to the version.
        factory: Opens the table in other processes, by its name; None: by its address and options.
    """

    def __init__(self, table: Table, factory: ConnectionFactory | None = None) -> None:
        self.table, self.factory = table, factory
        self.name, self.num_rows = table.name, len(table)
        self.version: Version = (table.current_branch(), table.version)
        self.in_memory = factory is None and table.uri.startswith("memory://")
        self._opening = None if self.in_memory else pickle.dumps(factory or table)
        self._readers: dict[int, RowReader] = {os.getpid(): TableReader(table)}

    def read(self, wanted: Wanted) -> pa.RecordBatch:
        """The rows, in order.

        Raises:
            ForkedProcessError: The table is in memory, and this process was forked since.
        """
        process = os.getpid()
        if process not in self._readers:
            with _starting:
                if process not in self._readers:
                    self._readers[process] = ProcessReader(self)
        return self._readers[process].read(wanted)

    def __getstate__(self) -> tuple[str, Version, bytes]:
        if self._opening is None:
            raise pickle.PicklingError(f"table {self.name!r} is in memory, where no other process finds it")
        return self.name, self.version, self._opening

    def __setstate__(self, state: tuple[str, Version, bytes]) -> None:
        name, version, opening = state
        opened = pickle.loads(opening)
        table = opened if isinstance(opened, Table) else pinned_to(opened(name), version)
        self.__init__(table, None if opened is table else opened)  # type: ignore[misc]  # as it was made


def pinned_to(table: Table, version: Version | None = None) -> Table:
    """A handle of its own on *version* of *table*; None is the one that it shows."""
    pinned = copy.copy(table)
    pinned.checkout(version or (table.current_branch(), table.version))
    return pinned


class RowReader(Protocol):
    """Reads rows of one version of a table."""

    def read(self, wanted: Wanted) -> pa.RecordBatch:
        """The rows, in order."""


class TableReader:
    """Reads through a table's own handle."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, wanted: Wanted) -> pa.RecordBatch:
        """The rows, in order."""
        take = self._table.take_offsets if wanted.by == "offset" else self._table.take_row_ids
        return one_batch(take(wanted.numbers).select(wanted.columns).to_arrow())


class ProcessReader:
    """Reads through a process of its own, which ends with this one.

    Raises:
        ForkedProcessError: *source* is in memory, where no other process finds it.
        RuntimeError: This is a worker of such a process.
    """

    def __init__(self, source: Source) -> None:
        if source.in_memory:
            raise ForkedProcessError
        if _READS_ROWS in os.environ:
            raise RuntimeError(
                "a script with a connection factory is imported again by the processes that read rows for its workers: "
                "put what loads rows under if __name__ == '__main__'"
            )
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        weakref.finalize(self, _end, self._process)
        _send(self._requests, _preparation(with_main=b"__main__" in pickle.dumps(source)))
        _send(self._requests, source)

    def read(self, wanted: Wanted) -> pa.RecordBatch:
        """The rows, in order.

        Raises:
            LancelikeError: What the process failed with.
            RuntimeError: It died.
        """
        with self._lock:
            try:
                _send(self._requests, wanted)
                kind, value = pickle.load(self._replies)
            except (EOFError, BrokenPipeError) as error:
                code = self._process.wait()
                raise RuntimeError(
                    f"the process that reads rows for this forked one ended with {code}; its last words are on stderr"
                ) from error
        if kind == "error":
            raise value
        return value


def serve(replies: int) -> None:
    """Answer the requests on standard input until it ends: first a `Source` comes, then each `Wanted` of it."""
    requests, out = sys.stdin.buffer, os.fdopen(replies, "wb")
    source: Source = pickle.load(requests)
    while True:
        try:
            wanted = pickle.load(requests)
        except EOFError:
            return
        _send(out, _answer(source, wanted))


def _answer(source: Source, wanted: Wanted) -> Reply:
    try:
        return "rows", source.read(wanted)
    except Exception as error:  # noqa: BLE001 - it is raised on the other side
        return "error", _sendable(error)


def _sendable(error: Exception) -> Exception:
    try:
        return pickle.loads(pickle.dumps(error))  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001 - whatever keeps it from being pickled, its words go on
        return RuntimeError(f"{type(error).__name__}: {error}")


def _send(pipe: BinaryIO | Any, value: object) -> None:
    pickle.dump(value, pipe, protocol=5)
    pipe.flush()


def _preparation(with_main: bool) -> dict[str, Any]:
    """What a spawned process needs so that it finds the same modules; the user's script is run again only if asked."""
    left_out = {"authkey"} if with_main else {"authkey", "init_main_from_name", "init_main_from_path"}
    data = spawn.get_preparation_data("lancelike-rows")
    return {key: value for key, value in data.items() if key not in left_out}


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), _READS_ROWS: "1"}


def _start_in_child() -> None:
    """Begin with a free lock after a fork: another thread may have held the parent's."""
    global _starting  # noqa: PLW0603 - the lock is the module's
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_start_in_child)
