"""Lance's exceptions become ours, here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from lance.commit import CommitConflictError as LanceCommitConflictError

from lancelike.errors import (
    BadDataError,
    ColumnNotFoundError,
    CommitConflictError,
    CorruptTableError,
    IndexExistsError,
    IndexNotFoundError,
    LancelikeError,
    QueryError,
    SchemaError,
    StorageError,
    StorageFullError,
    TableClosedError,
    TableExistsError,
    TableNotFoundError,
    VersionNotFoundError,
)
from lancelike.storage.forking import check_process


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a call of Lance is about, for the messages of its failures.

    Attributes:
        table: The table's name.
        uri: Where it is.
        columns: Tells its column names, if asked.
        indices: Tells its index names, if asked.
        is_gone: Tells, if asked, whether the table was dropped; None for a table that is being opened or made.
    """

    table: str
    uri: str = ""
    columns: Callable[[], Collection[str]] = tuple
    indices: Callable[[], Collection[str]] = tuple
    is_gone: Callable[[], bool] | None = None


Translation: TypeAlias = Callable[[re.Match[str], str, Subject], LancelikeError]


def _column_not_found(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    return ColumnNotFoundError(match["column"].strip("'\"`"), subject.columns())


def _index_not_found(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    return IndexNotFoundError(match["index"], subject.indices())


def _table_not_found(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    return TableClosedError(subject.table) if subject.is_gone else TableNotFoundError(subject.table)


def _file_damaged(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    if subject.is_gone and subject.is_gone():
        return TableClosedError(subject.table)
    return CorruptTableError(
        f"a file of table {subject.table!r} is damaged or missing ({message}); restore it from a backup, "
        "or read an earlier version",
        subject.uri,
    )


def _null_in_column(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    return BadDataError("null in a column that is declared not null", column=match["column"])


def _not_json(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    return BadDataError(
        f"a value of a JSON column is no JSON: {match['why']}", hint="give a dict or a list, or their JSON"
    )


def _unlike_its_column(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    kind = match["type"]
    moment = {"Timestamp": "TIMESTAMP '2026-11-21 12:00:00'", "Date32": "DATE '2026-11-21'"}.get(kind.partition("(")[0])
    return QueryError(
        f"a column of type {kind} can't be compared with {match['literal']}: "
        + (
            f"write {moment}, or col(...) with a value of Python's"
            if moment
            else "write a value of that type, or CAST it"
        )
    )


def _ambiguous_merge(match: re.Match[str], message: str, subject: Subject) -> LancelikeError:
    hint = "leave one new row for each key"
    return BadDataError(f"several of the new rows have the same key ({match['key']})", hint=hint)


_TRANSLATIONS: tuple[tuple[str, Translation], ...] = (
    (
        r"No space left on device|StorageFull|Disk quota exceeded|File too large|os error (27|28|122)\b",
        lambda match, message, subject: StorageFullError(
            "no space is left; nothing of this write is visible. Make room and write again", subject.uri
        ),
    ),
    (
        r"Incompatible transaction|preempted by concurrent|Commit conflict|Too many concurrent writers",
        lambda match, message, subject: CommitConflictError(
            "another writer changed the same rows or the whole table meanwhile; nothing of this write is visible. "
            f"Run it again ({message})",
            subject.uri,
        ),
    ),
    (
        r"Ref not found error: tag (?P<tag>\S+) does not exist",
        lambda match, message, subject: VersionNotFoundError(match["tag"]),
    ),
    (
        r"(Version not found error: version \S*?|_versions/)(?P<version>\d+)(\.manifest was not found| does not exist)",
        lambda match, message, subject: VersionNotFoundError(int(match["version"])),
    ),
    (
        r"Ref is invalid: (?P<why>.*)",
        lambda match, message, subject: QueryError(f"a tag or branch can't be named so: {match['why']}"),
    ),
    (
        r"Ref conflict error: tag (?P<tag>\S+) already exists",
        lambda match, message, subject: QueryError(f"there is a tag {match['tag']!r} already; tags.update() moves it"),
    ),
    (
        r"[Ff]ield (?P<column>.+) cannot contain `\.`",
        lambda match, message, subject: SchemaError(
            f"column {match['column']!r}: a name can't have a dot in it, which stands between a struct and its fields"
        ),
    ),
    (
        r"Ref conflict error: Branch (?P<branch>\S+) is referenced by (?P<by>.+?), can not delete",
        lambda match, message, subject: QueryError(
            f"branch {match['branch']!r} can't be deleted while {match['by']} refer to it; delete those first"
        ),
    ),
    (r"Dataset already exists", lambda match, message, subject: TableExistsError(subject.table)),
    (r"Dataset at path .+? was not found|Not found: .+?/_versions\b", _table_not_found),
    (r"Lance index not found: name=(?P<index>[^,\s]+)", _index_not_found),
    (r"Index \"(?P<index>[^\"]+)\" not found", _index_not_found),
    (
        r"Index name '(?P<index>[^']+)' already exists",
        lambda match, message, subject: IndexExistsError(match["index"]),
    ),
    (
        r"file size is too small|does not have sufficient data|Invalid range|range end index \d+ out of range"
        r"|invalid magic|does not appear to be a Lance file"
        r"|Not found: .+?/(data|_indices|_deletions)/|failed to fill whole buffer|failed to decode",
        _file_damaged,
    ),
    (
        r"Cannot perform full text search unless an INVERTED index has been created on at least one column",
        lambda match, message, subject: QueryError(f"{match[0]}: create_index(column, config=FTS()) makes one"),
    ),
    (
        r"position is not found but required for phrase queries",
        lambda match, message, subject: QueryError(
            f"{match[0]}: create_index(column, config=FTS(with_position=True)) makes an index that has them"
        ),
    ),
    (
        r"Invalid directory path: (?P<path>\S*?(?P<kind>jieba|lindera)/\S+)",
        lambda match, message, subject: QueryError(
            f"the {match['kind']} tokenizer has no model at {match['path']}: python -m lance.download {match['kind']} "
            "fetches one, and the variable LANCE_LANGUAGE_MODEL_HOME says where models are"
        ),
    ),
    (r"FTS field path '(?P<column>.+?)' does not exist", _column_not_found),
    (r"No field named (?P<column>.+?)\.(?= Valid fields are| Did you mean|,|$)", _column_not_found),
    (r"[Cc]olumn (?P<column>\S+) (does not exist|is not in the dataset)", _column_not_found),
    (r"Field (?P<column>\S+) not found", _column_not_found),
    (r"FieldNotFound .*field_name: (?P<column>\"[^\"]*\")", _column_not_found),
    (r"^(?P<column>\S+) not found in schema", _column_not_found),
    (r"The field `(?P<column>.+?)` contained null values", _null_in_column),
    (
        r"Received literal (?P<literal>.+?) and could not convert to literal of type '(?P<type>[^']+)'",
        _unlike_its_column,
    ),
    (
        r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available",
        lambda match, message, subject: QueryError(f"accelerator= needs a GPU that torch can use: {match[0]}"),
    ),
    (
        r"null partition ID at batch",
        lambda match, message, subject: QueryError(
            "a vector can't be indexed: a number in it is infinite, or so large that its distances are; give such rows "
            "another vector, or null"
        ),
    ),
    (r"Failed to encode JSON: (?P<why>.*)", _not_json),
    (r"multiple source rows match the same target row on \((?P<key>.*?)\)", _ambiguous_merge),
    (
        r"(?s)Append with different schema: (?P<difference>.+)",
        lambda match, message, subject: BadDataError(
            f"the rows don't have the columns of table {subject.table!r}: {match['difference']}"
        ),
    ),
    (
        r"Cannot cast column .*|Column \S+ already exists.*|Duplicate field name \S+|Cannot drop all columns.*",
        lambda match, message, subject: SchemaError(match[0]),
    ),
)

_NOISE = re.compile(
    r",?\s*(location: )?(/rustc/|/home/|\S*/\.cargo/|rust/)\S+\.rs:\d+(:\d+)?"
    r"|\bLanceError\(\w+\): |\bInvalid user input: |\bExternal error: |\bSchema error: |\bGeneric \S+ error: "
    r"|\bArrow error: |\bEncountered internal error\. Please file a bug report at \S+ "
)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@|(?<=\S)\?\S+")
_REFUSALS = (ValueError, TypeError, KeyError, NotImplementedError)


def readable(message: str) -> str:
    """*message* of a Lance exception without Rust's wrappings, source paths, and credentials."""
    return _CREDENTIALS.sub("", _NOISE.sub("", message)).strip()


def translate(error: BaseException, subject: Subject) -> LancelikeError:
    """Our exception for one that Lance raised about *subject*."""
    raw = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    message = readable(raw)
    for pattern, build in _TRANSLATIONS:
        if match := re.search(pattern, message):
            return build(match, message, subject)
    if isinstance(error, LanceCommitConflictError):
        return CommitConflictError(message, subject.uri)
    if "LanceError(IO)" not in raw and (isinstance(error, _REFUSALS) or "Invalid user input" in raw):
        return QueryError(message)
    return StorageError(message, subject.uri)


@contextmanager
def lance_errors(subject: Subject) -> Iterator[None]:
    """Raise what Lance raises in the block as an error of our tree, Lance's own being its `__cause__`.

    Raises:
        ForkedProcessError: Lance can't be used in this process.
    """
    check_process()
    try:
        yield
    except LancelikeError:
        raise
    except Exception as error:
        raise translate(error, subject) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise translate(error, subject) from error
