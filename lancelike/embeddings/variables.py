"""Variables: how a stored setting names a value, often a secret, that must not be stored itself.

A setting is written `"$var:NAME"`, or `"$var:NAME:default"`; the value is looked up when the function is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from lancelike.errors import VariableNotFoundError

PREFIX = "$var:"


class Variables:
    """Named values, over those of the environment."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def set(self, name: str, value: str) -> None:
        """Give *name* a value, which goes before the environment's."""
        self._values[name] = value

    def get(self, name: str, default: str | None = None) -> str:
        """Value of *name*: as set here, else the environment's, else *default*.

        Raises:
            VariableNotFoundError: There is none of these.
        """
        value = self._values.get(name, os.environ.get(name, default))
        if value is None:
            raise VariableNotFoundError(name)
        return value

    def clear(self) -> None:
        """Forget every value set here."""
        self._values.clear()

    def resolve(self, value: str) -> str:
        """*value*, or what it stands for if it is a reference (`$var:NAME[:default]`).

        Raises:
            VariableNotFoundError: The variable has no value, and there is no default.
        """
        if not is_reference(value):
            return value
        name, colon, default = value.removeprefix(PREFIX).partition(":")
        return self.get(name, default if colon else None)

    def first(self, names: Iterable[str]) -> str | None:
        """Value of the first of *names* that has one; None if none has, an empty one aside."""
        return next((value for name in names if (value := self.get(name, ""))), None)


process_variables = Variables()
"""The variables that `EmbeddingFunction.create` and the process's registry read."""


def is_reference(value: object) -> bool:
    """Whether *value* names a variable instead of being the value itself."""
    return isinstance(value, str) and value.startswith(PREFIX)


def variable_of(reference: str) -> str:
    """The name of the variable that *reference* names."""
    return reference.removeprefix(PREFIX).partition(":")[0]


def read_secret(value: str | None) -> str | None:
    """Value of a setting whose default names a variable: `api_key: str = "$var:OPENAI_API_KEY"`.

    Raises:
        VariableNotFoundError: The variable has no value.
    """
    return None if value is None else process_variables.resolve(value)
