"""Names that a column can have."""

from __future__ import annotations

from collections.abc import Iterable

from lancelike.errors import SchemaError


def check_column_names(names: Iterable[str]) -> None:
    """See that rows whose columns have *names* can be read again.

    Raises:
        SchemaError: A name is empty or has a backtick, which is Lance's quotation mark for names.
    """
    for name in names:
        if not name:
            raise SchemaError("a column has an empty name; give it one that can be asked for")
        if "`" in name:
            raise SchemaError(
                f"column {name!r} can't be stored: Lance quotes names with backticks and could not read it again; "
                f"name it for example {name.replace('`', '_')!r}"
            )
