"""Every error lancelike raises on purpose, in one tree.

Each class is also the builtin that a Python user would catch, and keeps its facts as attributes.

    LancelikeError
    ├── SchemaError (ValueError)                a declaration that contradicts itself, or the stored schema
    │   └── SchemaChangedError                  others changed the schema or its functions during a write
    ├── BadDataError (ValueError)               rows that can't be stored: .row .column .value .hint
    │   └── BadVectorError                      a vector of the wrong length, with NaN, or null
    ├── ColumnNotFoundError (KeyError)          .column .available
    ├── QueryError (ValueError)                 a filter, projection or parameter that can't be run
    ├── QueryTimeoutError (TimeoutError)        .timeout_s
    ├── MergeTimeoutError (RuntimeError, TimeoutError)  .timeout_s
    ├── TableNotFoundError (ValueError)         .table .available
    ├── TableExistsError (ValueError)           .table
    ├── TableNameError (ValueError)             .table
    ├── TableClosedError (RuntimeError)         the table was dropped or renamed under its handle: .table
    ├── NamespaceNotFoundError (RuntimeError)   .namespace
    ├── NamespaceExistsError (RuntimeError)     .namespace
    ├── NamespaceNotEmptyError (RuntimeError)   .namespace
    ├── ConnectionClosedError (RuntimeError)    .uri
    ├── ForkedProcessError (RuntimeError)       this process was forked from one that had used tables
    ├── ReadOnlyTableError (ValueError)         a write through a handle pinned to a version: .version
    ├── VersionNotFoundError (ValueError)       a version or tag that isn't there: .version
    ├── BranchNotFoundError (ValueError)        a branch that isn't there: .branch .available
    ├── IndexNotFoundError (RuntimeError)       .index .available
    ├── IndexExistsError (RuntimeError)         .index
    ├── IndexTimeoutError (RuntimeError, TimeoutError)  .indices .timeout_s
    ├── JobFailedError (RuntimeError)           what a Job did failed; the cause is kept: .job_type
    ├── JobCancelledError (RuntimeError)        a Job was cancelled before it committed: .job_type
    ├── StorageError (OSError)                  the disk or the object store failed: .uri
    │   ├── CorruptTableError                   a file of the table is damaged or gone
    │   ├── StorageFullError                    no space left
    │   └── CommitConflictError                 another writer changed the same rows first
    ├── FunctionNotFoundError (KeyError)        no embedding function of that name: .name .available
    ├── FunctionExistsError (ValueError)        the name is taken: .name
    ├── VariableNotFoundError (ValueError)      `$var:NAME` with no value: .variable
    ├── ModelDriftError (RuntimeError)          another model behind a function's name: .stored .current .cosine
    ├── BudgetExceeded (RuntimeError)           the next request would take too many tokens: .budget .spent .needed
    ├── SecretError (ValueError)                a secret written out where its variable's name belongs: .setting
    ├── MediaError (ValueError)                 an image or a sound can't be had: .source
    │   ├── BadMediaError                       the bytes are none, are cut short, or are of another kind
    │   ├── MediaTooLargeError                  more bytes or pixels than allowed: .limit
    │   ├── MediaRefusedError (PermissionError) an address that must not be asked, or a redirect too many
    │   └── MediaFetchError (OSError)           it could not be fetched: .status .attempts
    ├── RerankError (RuntimeError)              a reranker failed: .reranker .hint; the cause is kept
    │   └── RerankTimeoutError (TimeoutError)   its tries ran out of time
    └── EmbeddingError (RuntimeError)           a function failed: .function .row .column .hint; the cause is kept
        ├── EmbeddingFunctionUnavailable        the function can't be made here: .function .hint
        ├── BadEmbeddingError (ValueError)      it answered with too few, ragged or non-finite vectors
        ├── BadInputError (ValueError)          it took every input but this one; the reason is kept
        ├── InputTooLong (ValueError)           a text is longer than the function takes: .tokens .limit
        ├── EmbeddingTimeoutError (TimeoutError)  it didn't answer in time: .timeout_s
        └── RetryDeadlineExceeded (TimeoutError)  tries ran out of time: .attempts .slept_s
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def shorten(value: object, width: int = 80) -> str:
    """Repr of *value*, cut in the middle to *width* characters."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width // 2]}…{text[-width // 3 :]}"


class LancelikeError(Exception):
    """Base of every error here; `str` of it is one sentence and the next step."""

    def __str__(self) -> str:  # KeyError would show the repr of its argument
        return str(self.args[0]) if self.args else ""


class SchemaError(LancelikeError, ValueError):
    """A declaration is ambiguous, impossible, or at odds with the stored schema."""


class SchemaChangedError(SchemaError):
    """Another writer changed the table's columns or embedding functions while rows were made for it.

    Nothing is written, and what was paid for is kept.
    """


class BadDataError(LancelikeError, ValueError):
    """A row can't be stored.

    Attributes:
        row: Position of the row in the data given, from 0; None when the whole column is meant.
        column: The column's name, or None.
        value: The offending value, or None.
        hint: The next step.
    """

    def __init__(
        self,
        problem: str,
        *,
        row: int | None = None,
        column: str | None = None,
        value: object = None,
        hint: str = "",
    ) -> None:
        self.problem, self.row, self.column, self.value, self.hint = problem, row, column, value, hint
        super().__init__(f"{self._place()}{problem}{f'; {hint}' if hint else ''}")

    def _place(self) -> str:
        row = None if self.row is None else f"row {self.row}"
        column = None if self.column is None else f"column {self.column!r}"
        place = ", ".join(part for part in (row, column) if part)
        return f"{place}: " if place else ""


class BadVectorError(BadDataError):
    """A vector has the wrong length, NaN, or is missing where that is not allowed."""


class ColumnNotFoundError(LancelikeError, KeyError):
    """The table, or the result of a search, has no such column; or, with a dotted name, no such field in one."""

    def __init__(
        self, column: str, available: Collection[str], *, where: str = "this table has", hint: str = ""
    ) -> None:
        self.column, self.available = column, list(available)
        missing = f"Field path `{column}` not found" if "." in column else f"no column {column!r}"
        super().__init__(f"{missing}; {where} {', '.join(self.available) or 'none'}{f'; {hint}' if hint else ''}")


class QueryError(LancelikeError, ValueError):
    """A filter, projection or search parameter can't be run."""


class QueryTimeoutError(LancelikeError, TimeoutError):
    """A query did not finish in the time it was given."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"Query timeout: no answer within {timeout_s:g} s; raise timeout=, or narrow the search")


class MergeTimeoutError(LancelikeError, RuntimeError, TimeoutError):
    """A merge was not committed in the time it was given; nothing of it is visible."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(
            f"merge insert timed out after {timeout_s:g} s; nothing is changed, and what was embedded is kept: "
            "run it again, with a longer timeout="
        )


class TableNotFoundError(LancelikeError, ValueError):
    """The database has no such table."""

    def __init__(self, table: str, available: Collection[str] = ()) -> None:
        self.table, self.available = table, list(available)
        known = f"; this database has {', '.join(map(repr, self.available))}" if self.available else ""
        super().__init__(f"Table '{table}' was not found{known}")


class TableExistsError(LancelikeError, ValueError):
    """A table of that name is there already."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            f"Table '{table}' already exists; open it with open_table, or pass exist_ok=True or mode='overwrite'"
        )


class TableNameError(LancelikeError, ValueError):
    """A name that can't be a table's."""

    def __init__(self, table: object) -> None:
        self.table = table
        super().__init__(
            f"{table!r} can't name a table: use letters, digits, '_', '-' and '.', not starting with '.', at least one"
        )


class TableClosedError(LancelikeError, RuntimeError):
    """The table was dropped, renamed or closed; this handle leads nowhere."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(f"Table {table} is closed; open it again with open_table")


class NamespaceNotFoundError(LancelikeError, RuntimeError):
    """The database has no such namespace."""

    def __init__(self, namespace: Sequence[str]) -> None:
        self.namespace = list(namespace)
        super().__init__(f"Namespace not found: {self.namespace}; list_namespaces() tells those there are")


class NamespaceExistsError(LancelikeError, RuntimeError):
    """There is a namespace of that name already."""

    def __init__(self, namespace: Sequence[str]) -> None:
        self.namespace = list(namespace)
        super().__init__(f"Namespace already exists: {self.namespace}; use it, or pass mode='exist_ok'")


class NamespaceNotEmptyError(LancelikeError, RuntimeError):
    """A namespace that is to be dropped holds tables or namespaces."""

    def __init__(self, namespace: Sequence[str]) -> None:
        self.namespace = list(namespace)
        super().__init__(f"Namespace not empty: {self.namespace}; drop what is in it first, or pass behavior='cascade'")


class ConnectionClosedError(LancelikeError, RuntimeError):
    """The connection to a database was closed."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        super().__init__(f"Connection is closed: connect to {uri} again")


class ForkedProcessError(LancelikeError, RuntimeError):
    """This process was forked from one that had used tables, and Lance's threads are not in it."""

    def __init__(self) -> None:
        super().__init__(
            "this process was forked from one that had used tables, and Lance's threads did not come along; start "
            "processes with multiprocessing.get_context('spawn') or 'forkserver', or fork before using a table; "
            "a forked worker reads rows on disk through lancelike.permutation.Permutation"
        )


class ReadOnlyTableError(LancelikeError, ValueError):
    """A write through a handle that shows a past version."""

    def __init__(self, table: str, version: int) -> None:
        self.table, self.version = table, version
        super().__init__(
            f"table cannot be modified when a specific version is checked out (here {version} of {table!r}); "
            "call checkout_latest() to write, or restore() to make this version the latest"
        )


class VersionNotFoundError(LancelikeError, ValueError):
    """No such version or tag, or it was cleaned up."""

    def __init__(self, version: int | str, detail: str = "") -> None:
        self.version = version
        what = f"Version {version} no longer exists" if isinstance(version, int) else f"there is no tag {version!r}"
        super().__init__(
            f"{what}{f' ({detail})' if detail else ''}; list_versions() and tags.list() show what there is"
        )


class BranchNotFoundError(LancelikeError, ValueError):
    """The table has no branch of that name."""

    def __init__(self, branch: str, available: Collection[str] = ()) -> None:
        self.branch, self.available = branch, sorted(available)
        known = f"it has {', '.join(self.available)}" if self.available else "it has none beside main"
        super().__init__(f"the table has no branch {branch!r}; {known}")


class IndexNotFoundError(LancelikeError, RuntimeError):
    """The table has no index of that name."""

    def __init__(self, index: str, available: Collection[str] = ()) -> None:
        self.index, self.available = index, list(available)
        super().__init__(f"no index {index!r}; this table has {', '.join(self.available) or 'none'}")


class IndexExistsError(LancelikeError, RuntimeError):
    """An index of that name is there already."""

    def __init__(self, index: str) -> None:
        self.index = index
        super().__init__(f"index {index!r} already exists; pass replace=True to build it again, or another name=")


class IndexTimeoutError(LancelikeError, RuntimeError, TimeoutError):
    """Indices did not cover every row in the time given."""

    def __init__(self, indices: Collection[str], timeout_s: float) -> None:
        self.indices, self.timeout_s = list(indices), timeout_s
        super().__init__(
            f"timed out waiting for indices after {timeout_s:g} s: {', '.join(self.indices)}; "
            "optimize() brings them up to date, and create_index() makes one that isn't there"
        )


class JobFailedError(LancelikeError, RuntimeError):
    """What a job did failed; the reason is the `__cause__`."""

    def __init__(self, job_type: str, reason: str) -> None:
        self.job_type = job_type
        super().__init__(f"{job_type} failed: {reason}")


class JobCancelledError(LancelikeError, RuntimeError):
    """A job was cancelled before it committed; nothing is changed."""

    def __init__(self, job_type: str) -> None:
        self.job_type = job_type
        super().__init__(f"{job_type} was cancelled; nothing is changed")


class StorageError(LancelikeError, OSError):
    """The file system or object store refused or failed.

    Attributes:
        uri: What was being read or written, without credentials.
    """

    def __init__(self, problem: str, uri: str = "") -> None:
        self.uri = uri
        super().__init__(f"{uri}: {problem}" if uri else problem)


class CorruptTableError(StorageError):
    """A file that belongs to the table is damaged or gone."""


class StorageFullError(StorageError):
    """No space is left; nothing of the failed write is visible."""


class CommitConflictError(StorageError):
    """Another writer changed the same rows first; nothing of this write is visible."""


class FunctionNotFoundError(LancelikeError, KeyError):
    """The registry knows no embedding function of that name."""

    def __init__(self, name: str, available: Collection[str]) -> None:
        self.name, self.available = name, sorted(available)
        super().__init__(
            f"no embedding function is registered as {name!r}; known are {', '.join(self.available) or 'none'}; "
            "import the module that registers it first"
        )


class FunctionExistsError(LancelikeError, ValueError):
    """Another class is registered under that name."""

    def __init__(self, name: str, owner: str) -> None:
        self.name, self.owner = name, owner
        super().__init__(f"the name {name!r} is taken by {owner}; register yours under another")


class VariableNotFoundError(LancelikeError, ValueError):
    """`$var:NAME` names a variable that has no value."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        super().__init__(
            f"Variable '{variable}' not found: set the environment variable {variable}, "
            f"or call registry.set_var({variable!r}, ...)"
        )


class SecretError(LancelikeError, ValueError):
    """A secret was given by value; only the name of its variable is ever stored."""

    def __init__(self, setting: str, problem: str | None = None) -> None:
        self.setting = setting
        super().__init__(
            problem
            or f"Sensitive key '{setting}' cannot be set to a hardcoded value: it would be stored with the table. "
            f"Name a variable instead, {setting}='$var:NAME', and set it in the environment or with registry.set_var"
        )


class ModelDriftError(LancelikeError, RuntimeError):
    """A function no longer makes the vectors that it made for this table.

    Attributes:
        function: Its registered name.
        column: The vector column.
        stored: Fingerprint of the function that made the table's vectors.
        current: Fingerprint of the one at hand; the same if only the model behind it changed.
        cosine: Least cosine similarity between a canary's vector then and now.
    """

    def __init__(self, function: str, column: str, stored: str, current: str, cosine: float) -> None:
        self.function, self.column, self.stored, self.current, self.cosine = function, column, stored, current, cosine
        super().__init__(
            f"{function} is not the model that made the vectors of {column!r}: for known texts, the cosine between its "
            f"vectors and those of then is {cosine:.4f} (fingerprint then {stored}, now {current}); restore the model, "
            f"move the table to the new one with reembed({column!r}, ...), or open with allow_drift=True"
        )


class ModelDriftWarning(UserWarning):
    """What `ModelDriftError` says, where `allow_drift=True`."""


class FuzzySearchWarning(UserWarning):
    """Rows that no full-text index covers have only been searched for words that are the same letter by letter.

    Attributes:
        column: Where words were looked for.
        rows: Rows that its index does not cover.
    """

    def __init__(self, column: str, rows: int) -> None:
        self.column, self.rows = column, rows
        super().__init__(
            f"{rows} rows are not covered by a full-text index on {column!r}: fuzzy words are found in them only "
            "where they are the same letter by letter; optimize() adds rows to an index, create_index() makes one"
        )


class BudgetExceeded(LancelikeError, RuntimeError):
    """The next request would send more tokens than `budget_tokens` leaves; what was paid for is kept."""

    def __init__(self, budget: int, spent: int, needed: int) -> None:
        self.budget, self.spent, self.needed = budget, spent, needed
        super().__init__(
            f"{spent} of {budget} tokens are spent and the next request takes {needed}; what was embedded is kept, "
            "so the same call with a larger budget_tokens goes on from here"
        )


class MediaError(LancelikeError, ValueError):
    """An image or a sound can't be had from what was given.

    Attributes:
        source: The path or URL, without credentials, or what else was given; shortened.
    """

    def __init__(self, problem: str, *, source: str = "", **facts: Any) -> None:
        self.source = source
        for name, value in facts.items():
            setattr(self, name, value)
        super().__init__(f"{source}: {problem}" if source else problem)


class BadMediaError(MediaError):
    """The bytes are no image or sound, are cut short, or are of another kind than is asked for."""


class MediaTooLargeError(MediaError):
    """More bytes, pixels or seconds than are allowed; found out before all of them are read.

    Attributes:
        limit: Most that are allowed.
    """

    limit: float


class MediaRefusedError(MediaError, PermissionError):
    """An address within this machine or its network, a scheme that isn't taken, or more redirects than are followed."""


class MediaFetchError(MediaError, OSError):
    """A path or URL could not be read.

    Attributes:
        status: HTTP status of the answer; None if there was none.
        attempts: How often it was tried.
    """

    status: int | None = None
    attempts: int = 1


class RerankError(LancelikeError, RuntimeError):
    """A reranker failed, or answered what can't be read; a provider's own exception is the `__cause__`.

    Attributes:
        reranker: The reranker's class.
        hint: The next step.
    """

    def __init__(self, problem: str, *, reranker: str, hint: str = "") -> None:
        self.problem, self.reranker, self.hint = problem, reranker, hint
        super().__init__(f"{problem}; {hint}" if hint else problem)


class RerankTimeoutError(RerankError, TimeoutError):
    """All tries of one request of a reranker together took longer than its `deadline_s`."""


class EmbeddingError(LancelikeError, RuntimeError):
    """An embedding function failed; its own exception is the `__cause__`.

    Attributes:
        function: The function's registered name, or its class.
        row: Position in the data given of the first row concerned, from 0, or None.
        column: The source column, or None.
        hint: The next step.
    """

    def __init__(
        self,
        problem: str,
        *,
        function: str = "",
        row: int | None = None,
        column: str | None = None,
        hint: str = "",
        **facts: Any,
    ) -> None:
        self.problem, self.function, self.row, self.column, self.hint = problem, function, row, column, hint
        for name, value in facts.items():
            setattr(self, name, value)
        super().__init__(problem)

    def __str__(self) -> str:
        row = None if self.row is None else f"row {self.row}"
        column = None if self.column is None else f"column {self.column!r}"
        place = ", ".join(part for part in (row, column) if part)
        return f"{f'{place}: ' if place else ''}{self.problem}{f'; {self.hint}' if self.hint else ''}"


class EmbeddingFunctionUnavailable(EmbeddingError):
    """The function that a table names can't be made here: not registered, or a package or variable is missing."""


class BadEmbeddingError(EmbeddingError, ValueError):
    """A function answered with too few vectors, of the wrong length, or with NaN."""


class BadInputError(EmbeddingError, ValueError):
    """A function took the other inputs of a request and not this one; what it says of it is the `__cause__`."""


class InputTooLong(EmbeddingError, ValueError):
    """A text has more tokens than its function takes, and the function is not told to cut it or to embed it in parts.

    Attributes:
        tokens: Tokens of the text, its prompt included.
        limit: Most tokens that the function takes.
    """

    tokens: int
    limit: int

    def __init__(self, function: str, tokens: int, limit: int, *, row: int | None = None) -> None:
        super().__init__(
            f"the text has {tokens} tokens and {function} takes {limit}",
            function=function,
            row=row,
            tokens=tokens,
            limit=limit,
            hint="split the text, or make the function with on_long='mean' to embed all of it in windows, or with "
            "on_long='truncate' to leave out its end",
        )


class EmbeddingTimeoutError(EmbeddingError, TimeoutError):
    """A function did not answer in the time given."""

    timeout_s: float


class RetryDeadlineExceeded(EmbeddingError, TimeoutError):
    """All tries of one request together took longer than `deadline_s`."""

    attempts: int
    slept_s: float
