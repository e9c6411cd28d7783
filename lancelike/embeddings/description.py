"""What is known of an embedding function without making it: what it embeds, where it runs, what limits it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lancelike.types import Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDescription:
    """Facts of a function's class, with its default settings. None is for not known, or not stated by the provider.

    A class states its own as the class variable `description`.

    Attributes:
        modalities: What it embeds.
        runs: `"local"` in this process, `"remote"` at a service that the inputs are sent to.
        extra: The extra of lancelike that brings its packages; None for none.
        default_model: The model it uses unless told otherwise.
        licence: Licence of that model's weights, as an SPDX identifier, or the service's terms.
        ndims: Length of that model's vectors.
        context_tokens: Most tokens of a text that count.
        roles: The roles for which it embeds differently: none where a source and a query get the same vector.
        limits: What else is bounded, in words: inputs in a request, what becomes of longer texts.
        price_unit: What the service charges by, such as `"token"`; None for nothing.
        variables: Environment variables that it reads for credentials or addresses.
    """

    modalities: tuple[Modality, ...]
    runs: Literal["local", "remote"]
    extra: str | None = None
    default_model: str | None = None
    licence: str | None = None
    ndims: int | None = None
    context_tokens: int | None = None
    roles: tuple[Literal["source", "query"], ...] = ()
    limits: str = ""
    price_unit: str | None = None
    variables: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The description as plain values."""
        return asdict(self)


def description_of(function: type) -> FunctionDescription | None:
    """What the class of a *function* states of itself; None if it states nothing."""
    description = getattr(function, "description", None)
    return description if isinstance(description, FunctionDescription) else None
