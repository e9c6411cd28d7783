"""Which function makes which vector column from which source, and how a table's metadata says so."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any, Protocol

from lancelike.errors import SchemaError
from lancelike.types import JSON

PLAIN_KEY = b"embedding_functions"
"""Metadata key shared with LanceDB: the bindings that have one source column."""
OWN_KEY = b"lancelike"
"""Metadata key of what LanceDB has no words for."""

Metadata = dict[bytes, bytes]


class BoundFunction(Protocol):
    """What a binding asks of its embedding function."""

    def ndims(self) -> int:
        """Numbers in one vector."""

    def stored(self) -> JSON:
        """`{"name": registered name, "model": settings}`, as written to the table's metadata."""


def template_fields(template: str) -> tuple[str, ...]:
    """The columns that *template* names, each once, in order of first appearance.

    Raises:
        SchemaError: It names none, or has more than a plain column name between braces.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise SchemaError(f"template {template!r} can't be read: {error}; write '{{{{' for a brace") from error
    for _, name, spec, conversion in parts:
        if name == "" or spec or conversion:
            raise SchemaError(f"template {template!r} must hold plain column names in braces, such as '{{title}}'")
    names = tuple(dict.fromkeys(name for _, name, _, _ in parts if name))
    if not names:
        raise SchemaError(f"template {template!r} names no column; write for example '{{title}}\\n{{body}}'")
    return names


def render_template(template: str, values: Mapping[str, object]) -> str | None:
    """*template* with its columns' *values*; None counts as empty text, and the whole is None if every value is."""
    pieces = list(Formatter().parse(template))
    if all(values[name] is None for _, name, _, _ in pieces if name):
        return None
    return "".join(text + _text(values[name] if name else None) for text, name, _, _ in pieces)


def _text(value: object) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True)
class EmbeddingFunctionConfig:
    """A binding: a vector column, what feeds it, and the function between.

    Attributes:
        vector_column: The column that holds the vectors.
        source_column: The column that is embedded; None when *template* says what is.
        function: The embedding function.
        template: Text with column names in braces, embedded in place of one column.

    Raises:
        SchemaError: Both or neither of *source_column* and *template* are given, or the column would feed itself.
    """

    vector_column: str
    source_column: str | None
    function: Any
    template: str | None = None

    def __post_init__(self) -> None:
        if (self.source_column is None) == (self.template is None):
            raise SchemaError(
                f"vector column {self.vector_column!r} needs one of source_column and template, "
                f"got {self.source_column!r} and {self.template!r}"
            )
        if self.vector_column in self.source_columns:
            raise SchemaError(f"vector column {self.vector_column!r} can't be its own source; name another column")

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The columns that feed the vectors: one, or the template's in order of first appearance."""
        return _source_columns(self.source_column, self.template)


@dataclass(frozen=True)
class StoredBinding:
    """A binding as the metadata has it: the function by registered name and settings, not yet made.

    Attributes:
        name: The function's registered name.
        model: Its settings.
        vector_column: The column that holds the vectors.
        source_column: The column that is embedded, or None.
        template: What is embedded in place of one column, or None.
    """

    name: str
    model: JSON = field(repr=False)
    vector_column: str
    source_column: str | None = None
    template: str | None = None

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The columns that feed the vectors: one, or the template's in order of first appearance."""
        return _source_columns(self.source_column, self.template)

    def to_json(self) -> JSON:
        """The binding's entry in the metadata."""
        source = {"source_column": self.source_column} if self.template is None else {"template": self.template}
        return {"name": self.name, "model": self.model, **source, "vector_column": self.vector_column}


def _source_columns(source_column: str | None, template: str | None) -> tuple[str, ...]:
    if template is not None:
        return template_fields(template)
    return () if source_column is None else (source_column,)


def bindings_to_metadata(configs: Iterable[EmbeddingFunctionConfig]) -> Metadata:
    """The metadata that records *configs*: LanceDB's key for plain ones, our own for templates, absent when empty.

    Raises:
        SchemaError: Two of them fill the same vector column.
    """
    return _write([to_stored(config) for config in configs], {})


def to_stored(config: EmbeddingFunctionConfig) -> StoredBinding:
    """*config* as the metadata has it."""
    function = config.function.stored()
    return StoredBinding(
        function["name"], function["model"], config.vector_column, config.source_column, config.template
    )


def stored_bindings(metadata: Mapping[bytes, bytes] | None) -> list[StoredBinding]:
    """The bindings recorded in a schema's *metadata*, plain ones first.

    Raises:
        SchemaError: The metadata is not of the form that `bindings_to_metadata` writes.
    """
    metadata = metadata or {}
    templates = _own_entries(metadata).get("templates", [])
    return [*_bindings(PLAIN_KEY, _load(metadata, PLAIN_KEY, [])), *_bindings(OWN_KEY, templates)]


def rename_in_metadata(metadata: Mapping[bytes, bytes] | None, names: Mapping[str, str]) -> Metadata:
    """*metadata* with its bindings following columns renamed from old to new *names*; all else is kept."""
    renamed = _write([_renamed(binding, names) for binding in stored_bindings(metadata)], metadata or {})
    return with_previous(renamed, {names.get(key, key): tag for key, tag in previous_bindings(metadata).items()})


def drop_from_metadata(metadata: Mapping[bytes, bytes] | None, columns: Collection[str]) -> Metadata:
    """*metadata* without the bindings that fill one of *columns*; all else is kept.

    A binding whose source is dropped stays: its function still embeds what the vectors are searched with.
    """
    kept = [binding for binding in stored_bindings(metadata) if binding.vector_column not in columns]
    previous = {key: tag for key, tag in previous_bindings(metadata).items() if key not in columns}
    return with_previous(_write(kept, metadata or {}), previous)


def bind_in_metadata(metadata: Mapping[bytes, bytes] | None, binding: StoredBinding) -> Metadata:
    """*metadata* with *binding* in place of what filled its vector column before, if anything did."""
    bindings = stored_bindings(metadata)
    kept = [binding if each.vector_column == binding.vector_column else each for each in bindings]
    return _write(kept if binding in kept else [*kept, binding], metadata or {})


def previous_bindings(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Tags of the versions before the functions of vector columns were changed, by column."""
    return dict(_own_entries(metadata or {}).get("previous", {}))


def with_previous(metadata: Mapping[bytes, bytes] | None, previous: Mapping[str, str]) -> Metadata:
    """*metadata* with *previous* as its `previous_bindings`."""
    own = {key: value for key, value in _own_entries(metadata or {}).items() if key != "previous"}
    if previous:
        own["previous"] = dict(previous)
    changed = {key: value for key, value in (metadata or {}).items() if key != OWN_KEY}
    return {**changed, OWN_KEY: json.dumps(own).encode()} if own else changed


def _renamed(binding: StoredBinding, names: Mapping[str, str]) -> StoredBinding:
    source, template = binding.source_column, binding.template
    return replace(
        binding,
        vector_column=names.get(binding.vector_column, binding.vector_column),
        source_column=None if source is None else names.get(source, source),
        template=None if template is None else _rename_in_template(template, names),
    )


def _rename_in_template(template: str, names: Mapping[str, str]) -> str:
    pieces = Formatter().parse(template)
    return "".join(
        text.replace("{", "{{").replace("}", "}}") + (f"{{{names.get(name, name)}}}" if name else "")
        for text, name, _, _ in pieces
    )


def _write(bindings: Sequence[StoredBinding], others: Mapping[bytes, bytes]) -> Metadata:
    """*bindings* as metadata, beside the other keys and entries of *others*."""
    _check_one_function_each(bindings)
    metadata = {key: value for key, value in others.items() if key not in (PLAIN_KEY, OWN_KEY)}
    plain = [binding.to_json() for binding in bindings if binding.template is None]
    templates = [binding.to_json() for binding in bindings if binding.template is not None]
    own = {key: value for key, value in _own_entries(others).items() if key != "templates"}
    if templates:
        own["templates"] = templates
    if plain:
        metadata[PLAIN_KEY] = json.dumps(plain, indent=2).encode()
    if own:
        metadata[OWN_KEY] = json.dumps(own).encode()
    return metadata


def _check_one_function_each(bindings: Sequence[StoredBinding]) -> None:
    columns = [binding.vector_column for binding in bindings]
    for column in columns:
        if columns.count(column) > 1:
            raise SchemaError(f"vector column {column!r} is filled by two embedding functions; keep one of them")


def _own_entries(metadata: Mapping[bytes, bytes]) -> JSON:
    entries = _load(metadata, OWN_KEY, {})
    if not isinstance(entries, dict):
        raise _unreadable(OWN_KEY)
    return entries


def _load(metadata: Mapping[bytes, bytes], key: bytes, empty: Any) -> Any:
    try:
        return json.loads(metadata[key]) if key in metadata else empty
    except ValueError as error:
        raise _unreadable(key) from error


def _bindings(key: bytes, entries: Any) -> list[StoredBinding]:
    try:
        return [
            StoredBinding(
                entry["name"],
                entry["model"],
                entry["vector_column"],
                entry.get("source_column"),
                entry.get("template"),
            )
            for entry in entries
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(key) from error


def _unreadable(key: bytes) -> SchemaError:
    return SchemaError(
        f"the schema's metadata under {key.decode()!r} does not describe embedding functions; rewrite it"
    )
