"""Vectors by position: in arrays of ours, or in data files that are mapped into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Positions: TypeAlias = NDArray[np.intp]

FEW_BYTES = 3 << 20
"""Vectors that are copied to one place, so that they can be multiplied as they are: 2000 of 384 float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Vectors by position.

    Attributes:
        sources: Each of shape (places, ndims). That of a mapped file has a place for every number at which a vector
            could begin.
        owners: Which source each vector is in, shape (vectors,); None: there is one.
        places: Where it is there, shape (vectors,); None: in order.
    """

    sources: tuple[NDArray[Any], ...]
    owners: NDArray[np.int32] | None = None
    places: Positions | None = None

    def __len__(self) -> int:
        return len(self.sources[0] if self.places is None else self.places)

    @property
    def matrix(self) -> NDArray[Any] | None:
        """All of them, if they lie in order in one array."""
        return self.sources[0] if self.owners is None and self.places is None else None

    @property
    def where(self) -> Positions:
        """The place of each in its source."""
        return np.arange(len(self)) if self.places is None else self.places

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What takes memory; files that are mapped don't."""
        own = [source for source in self.sources if source.flags.owndata]
        return (*own, *(each for each in (self.owners, self.places) if each is not None))

    def at(self, positions: Positions | slice) -> NDArray[Any]:
        """The vectors at *positions*, in their order; shape (len(positions), ndims)."""
        if self.owners is None:
            return self.sources[0][positions if self.places is None else self.places[positions]]
        owners, places = self.owners[positions], self.where[positions]
        found = np.empty((len(owners), self.sources[0].shape[1]), self.sources[0].dtype)
        for owner in np.unique(owners).tolist():
            its = owners == owner
            found[its] = self.sources[owner][places[its]]
        return found

    def only(self, positions: Positions) -> Vectors:
        """Those at *positions*, where they are."""
        owners = None if self.owners is None else self.owners[positions]
        return Vectors(self.sources, owners, positions if self.places is None else self.places[positions])


def joined(several: Sequence[Vectors]) -> Vectors:
    """All of *several*, at least one, one after the other."""
    if len(several) == 1:
        return several[0]
    matrices = [matrix for each in several if (matrix := each.matrix) is not None]
    if len(matrices) == len(several) and sum(each.nbytes for each in matrices) <= FEW_BYTES:
        return Vectors((np.concatenate(matrices),))
    owners, first = [], 0
    for each in several:
        own = np.zeros(len(each), np.int32) if each.owners is None else each.owners
        owners.append(own + np.int32(first))
        first += len(each.sources)
    sources = tuple(source for each in several for source in each.sources)
    return Vectors(sources, np.concatenate(owners), np.concatenate([each.where for each in several]))
