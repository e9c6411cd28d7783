"""A table as a notebook shows it: what it is, its columns, and its first rows."""

from __future__ import annotations

import pyarrow as pa

from lancelike import media, schema
from lancelike.media import html
from lancelike.schema.blobs import is_blob_like_field
from lancelike.table.reading import Reading

_FIRST_ROWS = 5
_MOST_COLUMNS = 100


class Display(Reading):
    """Shows itself in a notebook."""

    def _repr_html_(self) -> str:
        return html.safely(self._page)

    def _page(self) -> str:
        """Never more than the first rows are read."""
        rows = self.count_rows()
        title = f"<p><b>{html.plain(self.name)}</b>: {rows:,} rows, version {self.version}</p>"
        columns = html.table(("column", "type", "made by"), map(self._line, list(self.schema)[:_MOST_COLUMNS]))
        first = str(media.show(self.search().limit(_FIRST_ROWS).to_list())) if rows else ""
        more = f"<p>and {rows - _FIRST_ROWS:,} more</p>" if rows > _FIRST_ROWS else ""
        return f"{title}{columns}{first}{more}"

    def _line(self, field: pa.Field) -> tuple[str, str, str]:
        binding = self.embedding_functions.get(field.name)
        of = "" if binding is None else ", ".join(binding.source_columns)
        made_by = "" if binding is None else f"{binding.function.label} of {of}"
        return html.plain(field.name), html.plain(_type_of(field)), html.plain(made_by)


def _type_of(field: pa.Field) -> str:
    kind = schema.logical_type(field).get("kind") or (
        "binary" if is_blob_like_field(field) else _arrow_type(field.type)
    )
    blob = ", stored as a blob" if is_blob_like_field(field) else ""
    return f"{kind}{blob}{'' if field.nullable else ', not null'}"


def _arrow_type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"struct<{'; '.join(f'{field.name}: {_type_of(field)}' for field in kind)}>"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_type_of(kind.value_field)}>"
    return f"{kind.value_type}[{kind.list_size}]" if pa.types.is_fixed_size_list(kind) else str(kind)
