"""What searches of a column go by when they say nothing of it, noted with the column for the index it was found for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias, get_args

import pyarrow as pa

from lancelike.storage import fields
from lancelike.storage.dataset import Dataset

_KEY = "lancelike:tuning"

Way: TypeAlias = Literal["in_memory", "through_lance"]


@dataclass(frozen=True, slots=True)
class Effort:
    """How far searches look.

    Attributes:
        nprobes: Partitions to look into, and into further ones only for want of k rows.
        refine_factor: Rows to measure anew, as a multiple of k; None: the index's default.
        recall: What that found of the exact answers.
    """

    nprobes: int
    refine_factor: int | None
    recall: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """The efforts that reach a recall through one index.

    Attributes:
        index: Its name; through another one they mean nothing.
        index_type: Its kind.
        num_partitions: How many it has.
        k: Rows that were asked for.
        target_recall: Recall@k that was asked for.
        in_memory: What searches through its partitions in memory take; None: nothing is known of these.
        through_lance: What searches through Lance take.
    """

    index: str
    index_type: str
    num_partitions: int
    k: int
    target_recall: float
    in_memory: Effort | None
    through_lance: Effort | None

    def effort(self, way: Way) -> Effort | None:
        """That of searches which go *way*."""
        return self.in_memory if way == "in_memory" else self.through_lance


def tunings(columns: Iterable[pa.Field], prefix: str = "") -> Iterator[tuple[str, Tuning]]:
    """The tuning noted with each of *columns*, those in structs by dotted path."""
    for column in columns:
        name = f"{prefix}{column.name}"
        if noted := (column.metadata or {}).get(_KEY.encode()):
            yield name, _parsed(noted)
        if pa.types.is_struct(column.type):
            yield from tunings(column.type, f"{name}.")


def note(dataset: Dataset, column: str, tuning: Tuning) -> None:
    """Note *tuning* with *column*, in place of what was."""
    fields.update_metadata(dataset, column, {_KEY: json.dumps(asdict(tuning))})


def forget(dataset: Dataset, index: str) -> None:
    """Drop what was found for *index*, which is there no more, or built anew."""
    for column, tuning in list(tunings(dataset.schema)):
        if tuning.index == index:
            fields.update_metadata(dataset, column, {_KEY: None})


def _parsed(text: bytes) -> Tuning:
    noted = json.loads(text)
    efforts = {way: noted[way] and Effort(**noted[way]) for way in get_args(Way)}
    return Tuning(**{**noted, **efforts})
