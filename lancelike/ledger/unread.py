"""Images and sounds whose path or URL could not be read, so that their row lacks them: what to read again, and where.

There is nothing in the row that says so. It is known by its `_rowid`, which is noted once the row is written; until
then, and in a table whose rows don't keep theirs, by its other columns. Rows that are alike in all of them may be taken
for each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pyarrow as pa

from lancelike.errors import MediaError
from lancelike.ledger.beside import BesideTable, older_than
from lancelike.media.urls import has_secret, shown, without_secrets
from lancelike.query.plan import Scan
from lancelike.query.predicates import quote_identifier
from lancelike.storage import Dataset
from lancelike.storage.rewriting import among_row_ids

Path: TypeAlias = tuple[str | int, ...]
"""Names of fields and positions in lists that lead from a column's value to one within it; empty for itself."""

_SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "source_column": pa.string(),
        "path": pa.string(),
        "address": pa.string(),
        "input": pa.string(),
        "error_class": pa.string(),
        "message": pa.string(),
        "attempts": pa.int32(),
        "at": pa.timestamp("us", tz="UTC"),
        "dropped": pa.bool_(),
        "row_id": pa.uint64(),
        "row_key": pa.string(),
        "row_columns": pa.list_(pa.string()),
    }
)
_LONGEST_ADDRESS = 8_000
_LONGEST_INPUT = 2_000
_KEYS_IN_FILTER = 1_000
_HAS_SECRET = "its address has what may be a password or a signature, and is not kept: to try again, update the row"
_TOO_LONG = "its address is too long to be kept: to try again, update the row"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadSource:
    """One image or sound that a row lacks.

    Attributes:
        key: Its own.
        source_column: The column that lacks it.
        path: Where in the column's value, as JSON.
        address: Its path or URL; None if that is not kept.
        input: The same to be shown, without what may be secret.
        error_class: Name of the error's class.
        message: Its text, without secrets.
        attempts: How often it was tried.
        at: When it failed last, in UTC.
        dropped: Whether its row was left out of the table.
        row_id: Its row's `_rowid`, where rows keep theirs; None until it is known.
        row_key: Of its row's other columns.
        row_columns: Which these are.
    """

    key: str
    source_column: str
    path: str
    address: str | None
    input: str
    error_class: str
    message: str
    attempts: int
    at: datetime
    dropped: bool
    row_id: int | None = None
    row_key: str = ""
    row_columns: Sequence[str] = ()

    @classmethod
    def of(cls, column: str, path: Path, address: str, error: MediaError, **row: Any) -> UnreadSource:
        """The record of *error*, for which what is at *address* is missing in *column*; *row* says of what row."""
        keepable = len(address) <= _LONGEST_ADDRESS and not has_secret(address)
        problem = "" if keepable else f"; {_HAS_SECRET if has_secret(address) else _TOO_LONG}"
        return cls(
            source_column=column,
            path=json.dumps(path),
            address=address if keepable else None,
            input=_encodable(address if keepable else shown(address))[:_LONGEST_INPUT],
            error_class=type(error).__name__,
            message=_encodable(without_secrets(str(error), address) + problem),
            attempts=getattr(error, "attempts", 1),
            at=datetime.now(UTC),
            **row,
        )

    def failed_again(self, error: MediaError) -> UnreadSource:
        """The record after another try."""
        again = UnreadSource.of(self.source_column, (), self.address or "", error, key=self.key, dropped=self.dropped)
        return replace(self, error_class=again.error_class, message=again.message, attempts=again.attempts, at=again.at)

    @property
    def steps(self) -> Path:
        """Where in the column's value."""
        return tuple(json.loads(self.path))

    @property
    def place(self) -> str:
        """The column, and where in its value: `photos[1].front`."""
        return self.source_column + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps)


class UnreadSources(BesideTable):
    """The images and sounds that one table's rows lack; in a Lance dataset of its own."""

    directory = "_lancelike/unread"

    def record(self, unread: Sequence[UnreadSource]) -> None:
        """Add *unread*; one that was recorded before keeps its count of attempts."""
        if not unread:
            return
        before = {each.key: each for each in self.latest()}
        added = [replace(each, attempts=each.attempts + _attempts(before.get(each.key))) for each in unread]
        self._append(pa.Table.from_pylist([asdict(each) for each in added], _SCHEMA))
        again = [each.key for each in unread if each.key in before]
        self.forget_before(min(each.at for each in unread), again)

    def latest(self) -> list[UnreadSource]:
        """The last record of each, oldest first."""
        dataset = self._open()
        if dataset is None:
            return []
        rows = sorted(dataset.read(Scan()).to_pylist(), key=lambda row: (row["at"], row["row_id"] is not None))
        return [UnreadSource(**row) for row in {row["key"]: row for row in rows}.values()]

    def locate(self, dataset: Dataset) -> None:
        """Note the ids of the rows that were written to *dataset* since the last time."""
        records = [each for each in self.latest() if each.row_id is None and not each.dropped]
        if not records or not dataset.lance.has_stable_row_ids:
            return
        found = waiting_rows(dataset, records)
        located = [replace(each, row_id=found[each.key]) for each in records if each.key in found]
        if located:
            self._append(pa.Table.from_pylist([asdict(each) for each in located], _SCHEMA))
            self._delete("row_id IS NULL", [each.key for each in located])

    def follow(self, names: Mapping[str, str]) -> None:
        """Have the records of columns under their new *names* too, by the old; versions before have the old."""
        renamed = [
            replace(each, key=digest(each.key, names[each.source_column]), source_column=names[each.source_column])
            for each in self.latest()
            if each.source_column in names
        ]
        if renamed:
            self._append(pa.Table.from_pylist([asdict(each) for each in renamed], _SCHEMA))

    def readmit(self, keys: Iterable[str]) -> None:
        """Note that rows with these sources are in the table after all."""
        if (dataset := self._open()) is not None:
            for those in _among(keys):
                dataset.update({"dropped": "false"}, those)

    def forget_before(self, at: datetime, keys: Iterable[str]) -> None:
        """Delete the records older than *at* with *keys*."""
        self._delete(older_than(at), keys)

    def forget_dropped(self, before: datetime) -> None:
        """Delete the records older than *before* of rows that were left out of a table that was replaced since."""
        if (dataset := self._open()) is not None:
            dataset.delete(f"dropped AND {older_than(before)}")

    def _delete(self, condition: str, keys: Iterable[str]) -> None:
        if (dataset := self._open()) is not None:
            for those in _among(keys):
                dataset.delete(f"{condition} AND {those}")


def row_keys(rows: pa.RecordBatch) -> list[str]:
    """A key for each of *rows*, which only rows with equal values share."""
    values = zip(*(column.to_pylist() for column in rows.columns), strict=True) if rows.num_columns else ()
    texts = [json.dumps(row, default=repr) for row in values] or ["[]"] * rows.num_rows
    return [digest(text) for text in texts]


def digest(*parts: object) -> str:
    """A key that only equal *parts* share."""
    return hashlib.blake2b(json.dumps(parts, default=repr).encode("utf-8", "replace"), digest_size=16).hexdigest()


def waiting_rows(dataset: Dataset, records: Sequence[UnreadSource]) -> dict[str, int]:
    """`_rowid` of the row of *dataset* that still lacks what each of *records* is about, by the record's key.

    Where several are about the same, the last one counts.
    """
    found: dict[str, int] = {}
    for column in {each.source_column for each in records} & set(dataset.schema.names):
        own = [each for each in records if each.source_column == column and not each.dropped]
        found |= _waiting_in(dataset, column, own)
    return found


def value_at(value: Any, path: Path) -> Any:
    """What is in *value* at *path*.

    Raises:
        LookupError: There is no such place in it.
    """
    for step in path:
        if value is None:
            raise LookupError(step)
        value = value[step]
    return value


def with_value_at(value: Any, path: Path, new: Any) -> Any:
    """*value* with *new* at *path*."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return {**value, step: with_value_at(value[step], rest, new)}
    return [with_value_at(each, rest, new) if i == step else each for i, each in enumerate(value)]


def _waiting_in(dataset: Dataset, column: str, records: Sequence[UnreadSource]) -> dict[str, int]:
    stable = dataset.lance.has_stable_row_ids
    known = {each.key: each.row_id for each in records if each.row_id is not None and stable}
    alike = _alike(dataset, column, [each for each in records if each.key not in known])
    row_ids = {*known.values(), *(row_id for those in alike.values() for row_id in those)}
    lacking = _lacking(dataset, column, {each.path for each in records}, row_ids)
    found: dict[str, int] = {}
    taken: set[tuple[str, int]] = set()
    for each in sorted(records, key=lambda each: each.at, reverse=True):  # a row may have been given another one since
        candidates = [known[each.key]] if each.key in known else alike[each.row_key]
        free = (i for i in candidates if i in lacking[each.path] and (each.path, i) not in taken)
        if (row_id := next(free, None)) is not None:
            found[each.key] = row_id
            taken.add((each.path, row_id))
    return found


def _alike(dataset: Dataset, column: str, records: Sequence[UnreadSource]) -> dict[str, list[int]]:
    """Ids of the rows that have a record's other columns, by their key; the newest first."""
    found: dict[str, list[int]] = {each.row_key: [] for each in records}
    for columns in {tuple(each.row_columns) for each in records}:
        if not set(columns) <= set(dataset.schema.names):
            continue
        own = [each for each in records if tuple(each.row_columns) == columns]
        is_whole = all(each.path == "[]" for each in own)
        where = f"{quote_identifier(column)} IS NULL" if is_whole else None
        for batch in dataset.scan(Scan(columns=columns, filter=where, with_row_id=True)):
            for key, row_id in zip(row_keys(batch.select(columns)), batch["_rowid"].to_pylist(), strict=True):
                if key in found:
                    found[key].append(row_id)
    return {key: sorted(row_ids, reverse=True) for key, row_ids in found.items()}


def _lacking(dataset: Dataset, column: str, paths: Collection[str], row_ids: Collection[int]) -> dict[str, set[int]]:
    """Which of the rows have null in *column* at each of *paths*."""
    found: dict[str, set[int]] = {path: set() for path in paths}
    if not row_ids:
        return found
    among = f"({among_row_ids(pa.array(sorted(row_ids), pa.uint64()).to_numpy())})"
    if "[]" in found:
        nulls = Scan(columns=[], filter=f"{among} AND {quote_identifier(column)} IS NULL", with_row_id=True)
        found["[]"] = set(dataset.read(nulls)["_rowid"].to_pylist())
    within = {path: tuple(json.loads(path)) for path in paths if path != "[]"}
    if within:
        for batch in dataset.scan(Scan(columns=[column], filter=among, with_row_id=True, with_blobs=True)):
            for row_id, value in zip(batch["_rowid"].to_pylist(), batch[column].to_pylist(), strict=True):
                for text, path in within.items():
                    if _is_null_at(value, path):
                        found[text].add(row_id)
    return found


def _is_null_at(value: Any, path: Path) -> bool:
    try:
        return value_at(value, path) is None
    except LookupError:
        return False


def _attempts(record: UnreadSource | None) -> int:
    return 0 if record is None else record.attempts


def _among(keys: Iterable[str]) -> Iterator[str]:
    """SQL that finds the records with *keys*."""
    wanted = sorted(keys)
    for start in range(0, len(wanted), _KEYS_IN_FILTER):
        yield f"key IN ({', '.join(repr(key) for key in wanted[start : start + _KEYS_IN_FILTER])})"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
