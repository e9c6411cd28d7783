"""A DataLoader whose dataset can be asked, between batches, how far the consumer has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from lancelike.streaming.dataset import StreamingDataset
from lancelike.streaming.state import SplitState, Tracked


@dataclass(frozen=True, slots=True)
class _Batch:
    data: Any
    states: dict[int, SplitState]


@dataclass(frozen=True, slots=True)
class _Collate:
    """Collates samples, and says how far their splits have come with them."""

    collate: Callable[[Any], Any]

    def __call__(self, tracked: list[Tracked] | Tracked) -> _Batch:
        if isinstance(tracked, Tracked):
            return _Batch(self.collate(tracked.sample), {tracked.split: tracked.state})
        return _Batch(self.collate([each.sample for each in tracked]), {each.split: each.state for each in tracked})


class _TrackedDataset(IterableDataset):  # type: ignore[misc]  # torch is optional, and untyped here
    def __init__(self, dataset: StreamingDataset) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator[Tracked]:
        return self._dataset.tracked()


class StreamingDataLoader(DataLoader):  # type: ignore[misc]  # torch is optional, and untyped here
    """A `DataLoader` of a `StreamingDataset`: the dataset's `state_dict` counts what this loader has handed over.

    Workers read ahead of the training loop, so the dataset of a plain `DataLoader` can't say how far that has come.
    Arguments are those of `DataLoader`.

    Raises:
        TypeError: *dataset* is none, or a class of it with an `__iter__` of its own.
        ValueError: `drop_last`, `persistent_workers` or `in_order=False`, with which a checkpoint would lose rows.
    """

    def __init__(self, dataset: StreamingDataset, *args: Any, **kwargs: Any) -> None:
        if not isinstance(dataset, StreamingDataset) or type(dataset).__iter__ is not StreamingDataset.__iter__:
            raise TypeError("StreamingDataLoader requires a StreamingDataset with its own __iter__")
        super().__init__(_TrackedDataset(dataset), *args, **kwargs)
        if self.drop_last or self.persistent_workers or not getattr(self, "in_order", True):
            raise ValueError("StreamingDataLoader takes no drop_last, persistent_workers or in_order=False")
        self._streamed = dataset
        self.collate_fn: Any = _Collate(self.collate_fn)

    def __iter__(self) -> Iterator[Any]:
        with self._streamed.consuming(workers=self.num_workers):
            for batch in super().__iter__():
                self._streamed.commit(batch.states)
                yield batch.data
