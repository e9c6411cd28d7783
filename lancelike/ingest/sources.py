"""Images and sounds that rows name by path or URL, for columns that store their bytes: read beside each other.

One that can't be read is the failure of its row alone, and the policy for what fails to be embedded says what becomes
of that: `on_embedding_error`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lancelike.embeddings.loading import MediaInputs
from lancelike.errors import BadDataError, MediaError
from lancelike.ingest.aligning import is_unread, null_error
from lancelike.ingest.batch import Batch
from lancelike.ingest.media import address_of, described, holds_media, media_class, stores_media
from lancelike.ingest.values import to_array
from lancelike.ledger import Embedder
from lancelike.ledger.unread import Path, UnreadSource, digest, row_keys, with_value_at
from lancelike.media import MediaLimits
from lancelike.media.base import MediaValue
from lancelike.media.crew import Crew
from lancelike.media.limits import DEFAULT, strictest
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.schema.computed import computed_columns

PIECE_ROWS = 256
"""Rows whose sources are waited for together."""
AHEAD_ROWS = 4_096
"""Rows whose sources are being read, or were, while the first of them are waited for."""
AHEAD_BYTES = 64 << 20
"""What else there is in those rows, at most."""
_AT_ONCE = 32


class _Source(NamedTuple):
    """A path or URL in a row: where it is in the piece, and of what kind it is to be."""

    column: str
    row: int
    path: Path
    field: pa.Field
    address: str


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Some rows, and what is being read for them."""

    batch: Batch
    values: dict[str, list[Any]] = field(default_factory=dict)
    sources: list[_Source] = field(default_factory=list)
    reading: dict[tuple[str, str], Future[bytes | MediaError]] = field(default_factory=dict)


def read_sources(
    batches: Iterator[Batch], schema: pa.Schema, bindings: Sequence[EmbeddingFunctionConfig], embedder: Embedder
) -> Iterator[Batch]:
    """*batches* with the bytes of images and sounds that are given by path or URL, as *schema* stores them.

    Those of some thousand rows ahead are read at the same time, within the limits of all functions that embed the
    column, or the defaults of `MediaLimits`; what comes is seen to be of its kind, and whole. Rows keep their order.

    Args:
        batches: Rows as `align` leaves them.
        schema: The table's schema.
        bindings: The table's bindings.
        embedder: Has the policy for what can't be read, counts it, and lists it.

    Raises:
        BadDataError: A value is no image or sound; or can't be read, and the policy is to raise, or its column takes no
            null, which under `"quarantine"` it would have to.
    """
    columns = [each for each in schema if stores_media(each)]
    if not columns:
        yield from batches
        return
    limits = {each.name: limits_of(each.name, bindings) for each in columns}
    with closing(crew_for(limits, bindings)) as crew:
        reading = _Reading(schema, {binding.vector_column for binding in bindings}, limits, embedder, crew)
        for batch in batches:
            yield from reading.add(batch)
        yield from reading.rest()
    embedder.list_aside()


def limits_of(column: str, bindings: Sequence[EmbeddingFunctionConfig]) -> MediaLimits:
    """Bounds on what is read for *column*: what all functions that embed it allow."""
    return strictest(binding.function.media_limits() for binding in _readers(bindings, [column]))


def crew_for(
    limits: Mapping[str, MediaLimits], bindings: Sequence[EmbeddingFunctionConfig]
) -> Crew[bytes | MediaError]:
    """What reads for the columns that *limits* are of, as many at once as all functions that embed them allow."""
    at_once = min([each.function.fetch_concurrency for each in _readers(bindings, limits)], default=_AT_ONCE)
    patience_s = min((each.patience_s for each in limits.values()), default=DEFAULT.patience_s)
    return Crew(at_once, patience_s=patience_s, keeps=True)


def _readers(
    bindings: Sequence[EmbeddingFunctionConfig], columns: Mapping[str, Any] | Sequence[str]
) -> Iterator[EmbeddingFunctionConfig]:
    return (each for each in bindings if each.source_column in columns and isinstance(each.function, MediaInputs))


class _Reading:
    """Rows whose sources are being read, in their order."""

    def __init__(
        self,
        schema: pa.Schema,
        vector_columns: set[str],
        limits: Mapping[str, MediaLimits],
        embedder: Embedder,
        crew: Crew[bytes | MediaError],
    ) -> None:
        self._schema, self._limits, self._embedder, self._crew = schema, limits, embedder, crew
        self._pieces: deque[_Piece] = deque()
        self._rows = self._bytes = 0
        computed = {each.name for each in computed_columns(schema)}
        self._key_columns = [
            each.name
            for each in schema
            if each.name not in computed and each.name not in vector_columns and _comes_back(each)
        ]

    def add(self, batch: Batch) -> Iterator[Batch]:
        """Begin to read what *batch* names; rows for which all was read."""
        unread = [name for name in self._limits if is_unread(batch.data.column(name), self._schema.field(name))]
        if not unread and not self._pieces:
            yield batch
            return
        for start in range(0, len(batch), PIECE_ROWS):
            piece = self._begin(batch.slice(start, PIECE_ROWS), unread)
            self._pieces.append(piece)
            self._rows, self._bytes = self._rows + len(piece.batch), self._bytes + piece.batch.data.nbytes
            while self._rows > AHEAD_ROWS or self._bytes > AHEAD_BYTES:
                yield self._finish()

    def rest(self) -> Iterator[Batch]:
        """The rows that are left."""
        while self._pieces:
            yield self._finish()

    def _begin(self, batch: Batch, unread: Sequence[str]) -> _Piece:
        piece = _Piece(batch)
        for name in unread:
            piece.values[name] = batch.data.column(name).to_pylist()
            for row, value in enumerate(piece.values[name]):
                for path, within, address in sources_in(value, self._schema.field(name)):
                    piece.sources.append(_Source(name, row, path, within, address))
        for source in piece.sources:
            if (source.column, source.address) not in piece.reading:
                read = partial(read_source, source.field, source.address, self._limits[source.column])
                piece.reading[source.column, source.address] = self._crew.submit(read)
        return piece

    def _finish(self) -> Batch:
        piece = self._pieces.popleft()
        self._rows, self._bytes = self._rows - len(piece.batch), self._bytes - piece.batch.data.nbytes
        found = {key: self._crew.take(future) for key, future in piece.reading.items()}
        lost: list[tuple[_Source, MediaError]] = []
        for source in piece.sources:
            got = found[source.column, source.address]
            if isinstance(got, MediaError):
                lost.append((source, got))
            row = piece.values[source.column]
            row[source.row] = with_value_at(row[source.row], source.path, got if isinstance(got, bytes) else None)
        keeps = self._embedder.on_error != "drop"
        self._embedder.note_kept(dropped_key(*key) for key, got in found.items() if keeps or isinstance(got, bytes))
        return self._stored(piece, self._set_aside(piece.batch, lost))

    def _set_aside(self, batch: Batch, lost: Sequence[tuple[_Source, MediaError]]) -> set[int]:
        """Do with the rows of sources that could not be read as the policy says; which of them to leave out."""
        policy = self._embedder.on_error
        for source, error in sorted(lost, key=lambda each: each[0].row):
            if policy == "raise" or (policy == "quarantine" and not source.field.nullable):
                raise _refusal(batch, source, error, policy == "quarantine")
        rows = sorted({source.row for source, _ in lost})
        if not rows:
            return set()
        others = batch.data.select(self._key_columns).take(pa.array(rows))
        keys = dict(zip(rows, row_keys(others), strict=True))
        dropped = policy == "drop"
        self._embedder.set_aside(
            [
                UnreadSource.of(
                    source.column,
                    source.path,
                    source.address,
                    error,
                    key=dropped_key(source.column, source.address)
                    if dropped
                    else digest(str(self._embedder.started), batch.row(source.row), source.column, source.path),
                    dropped=dropped,
                    row_key=keys[source.row],
                    row_columns=self._key_columns,
                )
                for source, error in lost
            ]
        )
        return set(rows) if dropped else set()

    def _stored(self, piece: _Piece, left_out: set[int]) -> Batch:
        batch = piece.batch
        for name, values in piece.values.items():
            kind = self._schema.field(name)
            array = _to_array(values, kind, batch)
            batch = batch.with_data(batch.data.set_column(batch.data.schema.get_field_index(name), kind, array))
        if left_out:
            batch = batch.keep(~np.isin(np.arange(len(batch)), list(left_out)))
        for name in piece.values:
            if batch.data.column(name).null_count and not self._schema.field(name).nullable:
                raise null_error(batch, batch.data.column(name), name)
        return batch


def _comes_back(field: pa.Field) -> bool:
    """Whether a value of *field* is read as it was written, as JSON is not; and is small."""
    own_form = isinstance(field.type, pa.BaseExtensionType) or pa.types.is_nested(field.type)
    return not (own_form or holds_media(field))


def read_source(kind: pa.Field, address: str, limits: MediaLimits) -> bytes | MediaError:
    """The bytes of the image or sound at *address*, as *kind* wants them; or why they can't be had."""
    cls: Callable[[str], MediaValue] | None = media_class(kind)
    assert cls is not None, "only the values of such fields are sources"
    try:
        return cls(address).whole_data(limits)
    except MediaError as error:
        return error


def field_at(kind: pa.Field, path: Path) -> pa.Field:
    """The field of what is at *path* in the values of *kind*."""
    for step in path:
        kind = kind.type.field(step) if isinstance(step, str) else kind.type.value_field
    return kind


def dropped_key(column: str, address: str) -> str:
    """Key of what could not be read from *address*, for which rows were left out."""
    return digest("dropped", column, address)


def sources_in(value: Any, kind: pa.Field, path: Path = ()) -> Iterator[tuple[Path, pa.Field, str]]:
    """The paths and URLs in *value*, of a column *kind* or within one: where each is, its field, and itself."""
    if value is None:
        return
    if media_class(kind) is not None:
        if (address := address_of(value)) is not None:
            yield path, kind, address
    elif isinstance(value, Mapping) and pa.types.is_struct(kind.type):
        for within in (kind.type.field(i) for i in range(kind.type.num_fields)):
            yield from sources_in(value.get(within.name), within, (*path, within.name))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and stores_media(kind):
        for place, each in enumerate(value):
            yield from sources_in(each, kind.type.value_field, (*path, place))


def _refusal(batch: Batch, source: _Source, error: MediaError, is_quarantine: bool) -> BadDataError:
    hint = "on_embedding_error='quarantine' keeps its row, to be tried again, and 'drop' leaves it out"
    if is_quarantine:
        hint = (
            "the row can't be kept without it, as the column takes no null: declare it with `| None`, "
            "or leave such rows out with on_embedding_error='drop'"
        )
    return BadDataError(
        f"it can't be stored: {error}" if error.source else f"{described(source.address)} can't be stored: {error}",
        row=batch.row(source.row),
        column=source.column,
        value=source.address,
        hint=hint,
    )


def _to_array(values: Sequence[Any], kind: pa.Field, batch: Batch) -> pa.Array:
    try:
        return to_array(values, kind.name, kind, 0)
    except BadDataError as error:
        row = None if error.row is None else batch.row(error.row)
        raise BadDataError(error.problem, row=row, column=error.column, value=error.value, hint=error.hint) from error
