"""Inputs that vectors are to be paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike.storage.key_index import Keys


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """Distinct inputs that have no vector yet.

    Attributes:
        inputs: The inputs.
        keys: Their keys.
        new: Which of them the call has not met before, shape (len(inputs),).
        counted: Which of them the receipt counts, shape (len(inputs),): those that are new, and not a part of another.
    """

    inputs: list[Any]
    keys: Keys
    new: NDArray[np.bool_]
    counted: NDArray[np.bool_]

    def at(self, places: Sequence[int]) -> Due:
        """Those at *places*, in that order."""
        chosen = np.array(places, np.intp)
        inputs = [self.inputs[place] for place in places]
        return Due(inputs, self.keys[chosen], self.new[chosen], self.counted[chosen])

    def __add__(self, other: Due) -> Due:
        return Due(
            [*self.inputs, *other.inputs],
            np.concatenate([self.keys, other.keys]),
            np.concatenate([self.new, other.new]),
            np.concatenate([self.counted, other.counted]),
        )
