"""Inputs that functions refused, by table: what `embedding_errors` shows and `retry_failed` tries again.

A record says of an input that it failed, not that it still does: whether a row waits for its vector is told by the row,
in each version for itself. So a record outlives what mends its rows, until no version is left in which they wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import pyarrow as pa

from lancelike.embeddings import EmbeddingFunction
from lancelike.errors import EmbeddingError, shorten
from lancelike.ledger.beside import BesideTable, older_than
from lancelike.ledger.keys import input_keys, to_texts
from lancelike.ledger.unread import UnreadSources
from lancelike.query.plan import Scan
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.storage import Location

DIRECTORY = "_lancelike/failures"
_SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "fingerprint": pa.string(),
        "ledger_key": pa.string(),
        "vector_column": pa.string(),
        "source_column": pa.string(),
        "input": pa.string(),
        "error_class": pa.string(),
        "message": pa.string(),
        "attempts": pa.int32(),
        "at": pa.timestamp("us", tz="UTC"),
        "dropped": pa.bool_(),
    }
)
_LONGEST_INPUT = 2_000
_KEYS_IN_FILTER = 1_000


def failure_keys(inputs: Sequence[Any]) -> list[str]:
    """Keys of *inputs* among a table's failures: they don't depend on the function, which may be out of reach."""
    return to_texts(input_keys("failure", "source", inputs))


@dataclass(frozen=True, slots=True)
class FailedInput:
    """One input that failed alone.

    Attributes:
        key: Of the input, from `failure_keys`.
        fingerprint: Of the function that refused it.
        ledger_key: Of the input in that function's ledger.
        vector_column: The column that has no vector for it.
        source_column: What feeds that column; a template's columns separated by commas.
        input: The text, or the start of a long one, or the repr of another value.
        error_class: Name of the provider's exception.
        message: Its text, without secrets.
        attempts: How often it was tried.
        at: When it failed last, in UTC.
        dropped: Whether its rows were left out of the table.
    """

    key: str
    fingerprint: str
    ledger_key: str
    vector_column: str
    source_column: str
    input: str
    error_class: str
    message: str
    attempts: int
    at: datetime
    dropped: bool

    @classmethod
    def of(
        cls,
        binding: EmbeddingFunctionConfig,
        function: EmbeddingFunction,
        fingerprint: str,
        value: Any,
        error: EmbeddingError,
        *,
        dropped: bool,
    ) -> FailedInput:
        """The record of *error*, which *function* raised for *value*."""
        text = value if isinstance(value, str) else shorten(value, _LONGEST_INPUT)
        return cls(
            key=failure_keys([value])[0],
            fingerprint=fingerprint,
            ledger_key=to_texts(input_keys(fingerprint, "source", [value]))[0],
            vector_column=binding.vector_column,
            source_column=", ".join(binding.source_columns),
            input=text[:_LONGEST_INPUT],
            error_class=type(error.__cause__ or error).__name__,
            message=_encodable(function.redact(error.problem)),
            attempts=getattr(error, "attempts", 1),
            at=datetime.now(UTC),
            dropped=dropped,
        )


class TableFailures(BesideTable):
    """The inputs that failed for one table, each kept once with its latest error; in a Lance dataset of its own.

    Attributes:
        unread: Images and sounds that could not be read, so that there was no input.
    """

    directory = DIRECTORY

    def __init__(self, location: Location, table: str) -> None:
        super().__init__(location, table)
        self.unread = UnreadSources(location, table)

    def record(self, failed: Sequence[FailedInput]) -> None:
        """Add *failed* in one commit; an input recorded before keeps its count of attempts."""
        if not failed:
            return
        before = {(row["key"], row["vector_column"]): row["attempts"] for row in self.latest().to_pylist()}
        rows = [
            {name: getattr(each, name) for name in _SCHEMA.names}
            | {"attempts": each.attempts + before.get((each.key, each.vector_column), 0)}
            for each in failed
        ]
        self._append(pa.Table.from_pylist(rows, _SCHEMA))
        again = [each for each in failed if (each.key, each.vector_column) in before]
        for column in {each.vector_column for each in again}:
            keys = [each.key for each in again if each.vector_column == column]
            self.forget_before(min(each.at for each in failed), column, keys)

    def latest(self) -> pa.Table:
        """The last record of each input and vector column, oldest first."""
        dataset = self._open()
        if dataset is None:
            return _SCHEMA.empty_table()
        rows = dataset.read(Scan()).sort_by("at")
        last = {(row["key"], row["vector_column"]): i for i, row in enumerate(rows.to_pylist())}
        return rows.take(pa.array(sorted(last.values()), pa.int64()))

    def forget_before(self, at: datetime, vector_column: str, keys: Iterable[str]) -> None:
        """Delete the records older than *at* of the inputs with *keys*."""
        if (dataset := self._open()) is not None:
            for those in _filters(vector_column, keys):
                dataset.delete(f"{older_than(at)} AND {those}")

    def follow(self, names: Mapping[str, str]) -> None:
        """Have the records of vector columns under their new *names* too, by the old; versions before have the old."""
        rows = [row for row in self.latest().to_pylist() if row["vector_column"] in names]
        if rows:
            renamed = [{**row, "vector_column": names[row["vector_column"]]} for row in rows]
            self._append(pa.Table.from_pylist(renamed, _SCHEMA))

    def dropped(self) -> dict[str, set[str]]:
        """Keys of the inputs whose rows were left out, by vector column."""
        found: dict[str, set[str]] = {}
        for row in self.latest().to_pylist():
            if row["dropped"]:
                found.setdefault(row["vector_column"], set()).add(row["key"])
        return found

    def readmit(self, vector_column: str, keys: Iterable[str]) -> None:
        """Note that rows with these inputs are in the table after all; one without a vector still waits for it."""
        if (dataset := self._open()) is not None:
            for those in _filters(vector_column, keys):
                dataset.update({"dropped": "false"}, those)

    def forget_dropped(self, before: datetime) -> None:
        """Delete the records older than *before* of inputs whose rows were left out of a table that was replaced since.

        Those of rows that were kept stay: they wait again where a version before is restored.
        """
        if (dataset := self._open()) is not None:
            dataset.delete(f"dropped AND {older_than(before)}")
        self.unread.forget_dropped(before)

    def forget(self) -> None:
        """Delete every record, as when the table is dropped."""
        super().forget()
        self.unread.forget()

    def copy_from(self, other: Self) -> None:
        """Take over every record of *other*, as when its table is cloned."""
        super().copy_from(other)
        self.unread.copy_from(other.unread)

    def rename(self, table: str) -> None:
        """Follow the table to its new name."""
        super().rename(table)
        self.unread.rename(table)


def _filters(vector_column: str, keys: Iterable[str]) -> Iterator[str]:
    """SQL that finds the records of the inputs with *keys*."""
    wanted, column = sorted(keys), vector_column.replace("'", "''")
    for start in range(0, len(wanted), _KEYS_IN_FILTER):
        among = ", ".join(f"'{key}'" for key in wanted[start : start + _KEYS_IN_FILTER])
        yield f"vector_column = '{column}' AND key IN ({among})"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
