"""Fields that say which column an embedding function reads and which it fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from lancelike.errors import SchemaError
from lancelike.schema.bindings import BoundFunction, template_fields
from lancelike.schema.vector import as_plain_list


@dataclass(frozen=True, eq=False)
class SourceMark:
    """Marks the field that *function* reads; pydantic keeps it with the field and shows it nowhere."""

    function: BoundFunction = field(repr=False)


@dataclass(frozen=True, eq=False)
class VectorMark:
    """Marks the field that *function* fills, and lets None stand for a vector still to be made."""

    function: BoundFunction = field(repr=False)
    source: str | None = None
    template: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        numbers = core_schema.no_info_before_validator_function(as_plain_list, handler(source))
        return core_schema.nullable_schema(numbers)


def source_field(function: BoundFunction, **field_kwargs: Any) -> Any:
    """A pydantic field that *function* embeds; *field_kwargs* go to `pydantic.Field`."""
    return _marked(Field(**field_kwargs), SourceMark(function))


def vector_field(
    function: BoundFunction, *, source: str | None = None, template: str | None = None, **field_kwargs: Any
) -> Any:
    """A pydantic field that *function* fills; None by default, so a row is made without it.

    Args:
        function: The embedding function.
        source: The column to embed; None pairs by order with the fields marked as sources of *function*.
        template: Text with column names in braces, to embed several columns as one.
        field_kwargs: Go to `pydantic.Field`.

    Raises:
        SchemaError: Both *source* and *template* are given, or *template* names no column.
    """
    if source is not None and template is not None:
        raise SchemaError(f"a vector field has one of source={source!r} and template={template!r}, not both")
    if template is not None:
        template_fields(template)
    if "default_factory" not in field_kwargs:
        field_kwargs.setdefault("default", None)
    return _marked(Field(**field_kwargs), VectorMark(function, source, template))


def source_mark(info: FieldInfo) -> SourceMark | None:
    """The mark of a source field, or None."""
    return next((mark for mark in info.metadata if isinstance(mark, SourceMark)), None)


def vector_mark(info: FieldInfo) -> VectorMark | None:
    """The mark of a vector field, or None."""
    return next((mark for mark in info.metadata if isinstance(mark, VectorMark)), None)


def _marked(info: Any, mark: SourceMark | VectorMark) -> Any:
    info.metadata.append(mark)
    return info
