"""A table's rows as torch's `IterableDataset`: shared out over ranks and workers, and resumable in the middle."""

from __future__ import annotations

import ctypes
import heapq
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import RawArray
from multiprocessing.context import get_spawning_popen
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from torch.utils.data import IterableDataset, get_worker_info

from lancelike.legacy import warn_deprecated
from lancelike.permutation import Permutation, Transforms, permutation_builder
from lancelike.permutation.builder import ROW_ID, SPLIT_ID, path_to_sql
from lancelike.permutation.reading import ConnectionFactory, Source, Version, pinned_to
from lancelike.query.predicates import Expression, filter_of
from lancelike.streaming.packing import Packer, Packing, check_token_column, token_lists
from lancelike.streaming.pipeline import Counters, OnTransformError, RowTransform, SplitReader, reading
from lancelike.streaming.state import SplitState, Tracked, check_same_run, from_dict, merge, to_dict
from lancelike.table import Table

DEFAULT_READ_BATCH_SIZE = 64
DEFAULT_PREFETCH_BATCHES = 4

_EPOCH_PRIME = 100003
_SHARED = ("unscanned", "raw", "cooked", "consumed", "bytes_loaded", "fetch_s", "transform_s", "skipped")
"""What each worker tells this process, in its own part of an array that they share."""
_CUMULATIVE = ("bytes_loaded", "fetch_s", "transform_s", "skipped")


class StreamingDataset(IterableDataset):  # type: ignore[misc]  # torch is optional, and untyped here
    """Rows of the version of *table* that is shown now, as a stream.

    The rows are put into `num_splits` splits of one size. Each rank reads its share of the splits, each worker its
    share of the rank's, and both give a row of each split in turn. So the rows of a global step are the same for any
    number of ranks and workers that divides `num_splits`; and a checkpoint taken with some numbers goes on with others.

    An iteration starts where the last one stopped; a next epoch is a new dataset, with the next *epoch*.

    Args:
        table: The table.
        num_splits: How many splits; None is *world_size*. Up to `num_splits - 1` rows, left over, are not read.
        shuffle: Put rows into splits at random; False: in the table's order.
        shuffle_seed: With *epoch*, makes the shuffle; None takes one at random, the same for all workers.
        epoch: Which time through the data this is.
        rank: This process, of the training's.
        world_size: How many these are.
        read_batch_size: Rows read, and transformed, at a time.
        io_queue_depth: Batches of each split that are under way.
        columns: Columns to read; None: all.
        shuffle_clump_size: Keep so many neighbouring rows together, which is faster to read.
        filter: SQL condition, or an `Expr`, of the rows to read.
        transform: Makes of a RecordBatch as many samples as it has rows; None makes dicts.
        transform_parallelism: Threads that transform; None is one for each core.
        pack_sequences: Join the lists of tokens in the one column of *columns*, and give blocks of so many of them:
            dicts of `input_ids` and `doc_ids`, int64 tensors.
        eos_id: Token after each document.
        pad_id: Token that fills the blocks of a split that has no more documents.
        blocks_per_epoch: Blocks of all splits together; `"auto"` counts the tokens, and makes no more than they fill.
        on_transform_error: `"raise"`, or `"skip"` or `"warn"` and leave out the rows that fail, or a function that says
            of an exception whether to. Splits that lose rows end early, and the epoch with the first of them.
        transform_queue_depth: Bound on *io_queue_depth*, for transforms that make much of little.
        connection_factory: As in `Permutation.with_connection_factory`.
        worker_info_override: Stands for `torch.utils.data.get_worker_info()`.
        prefetch_batches: Older spelling of *io_queue_depth*.

    Raises:
        ValueError: The numbers don't divide, or aren't positive; packing lacks what it needs.
        QueryError: The filter can't be run.
        ColumnNotFoundError: A column isn't there.
    """

    def __init__(
        self,
        table: Table,
        *,
        num_splits: int | None = None,
        shuffle: bool = True,
        shuffle_seed: int | None = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        read_batch_size: int = DEFAULT_READ_BATCH_SIZE,
        io_queue_depth: int = DEFAULT_PREFETCH_BATCHES,
        columns: list[str] | None = None,
        shuffle_clump_size: int | None = None,
        filter: Expression | None = None,
        transform: Callable[[pa.RecordBatch], Any] | None = None,
        transform_parallelism: int | None = None,
        pack_sequences: int | None = None,
        eos_id: int | None = None,
        pad_id: int | None = None,
        blocks_per_epoch: int | Literal["auto"] | None = None,
        on_transform_error: OnTransformError = "raise",
        transform_queue_depth: int | None = None,
        connection_factory: ConnectionFactory | None = None,
        worker_info_override: Any = None,
        prefetch_batches: int | None = None,
    ) -> None:
        super().__init__()
        if prefetch_batches is not None:
            warn_deprecated("prefetch_batches=", "io_queue_depth=")
            io_queue_depth = prefetch_batches
        self._num_splits = world_size if num_splits is None else num_splits
        if self._num_splits % world_size:
            raise ValueError(f"num_splits ({self._num_splits}) must be divisible by world_size ({world_size})")
        _check_numbers(
            read_batch_size=read_batch_size,
            io_queue_depth=io_queue_depth,
            transform_parallelism=transform_parallelism,
            transform_queue_depth=transform_queue_depth,
        )
        _check_policy(on_transform_error)
        self._shuffle, self._epoch, self._filter, self._columns = shuffle, epoch, filter_of(filter), columns
        self._shuffle_seed = random.randrange(2**32) if shuffle_seed is None else shuffle_seed
        self._clump_size, self._factory = shuffle_clump_size, connection_factory
        self._read_batch_size, self._workers_override = read_batch_size, worker_info_override
        self._ahead = min(io_queue_depth, transform_queue_depth or io_queue_depth)
        self._parallelism = transform_parallelism or os.cpu_count() or 1
        self._rank_splits = range(self._num_splits // world_size * rank, self._num_splits // world_size * (rank + 1))
        self._source = Source(pinned_to(table), connection_factory)
        self._packing = self._packed(pack_sequences, eos_id, pad_id, blocks_per_epoch, transform)
        row_transform = token_lists if self._packing else transform or Transforms.arrow2python
        self._transform = RowTransform(row_transform, on_transform_error)
        self._splits = self._split()
        self._states = [SplitState()] * self._num_splits
        self._consumed, self._needs_whole_step = False, False
        self._share()

    def _packed(
        self, length: int | None, eos_id: int | None, pad_id: int | None, blocks: int | str | None, transform: object
    ) -> Packing | None:
        if length is None:
            if blocks is not None:
                raise ValueError("blocks_per_epoch requires pack_sequences")
            return None
        if length < 1:
            raise ValueError(f"pack_sequences must be greater than 0, got {length}")
        if eos_id is None or pad_id is None or blocks is None:
            raise ValueError("eos_id, pad_id and blocks_per_epoch are required when pack_sequences is set")
        if transform is not None:
            raise ValueError("transform cannot be combined with pack_sequences")
        column = check_token_column(self._source.table.schema, self._columns)
        if blocks == "auto":
            whole = self._count_tokens(column) // length
            blocks = max(self._num_splits, whole - whole % self._num_splits)
        if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 1:
            raise ValueError(f"blocks_per_epoch must be a positive integer or 'auto', got {blocks!r}")
        if blocks % self._num_splits:
            raise ValueError(f"blocks_per_epoch ({blocks}) must be divisible by num_splits ({self._num_splits})")
        return Packing(length, eos_id, pad_id, blocks // self._num_splits)

    def _count_tokens(self, column: str) -> int:
        lengths = {"n": f"array_length({path_to_sql(column)})"}
        batches = self._source.table.search().where(self._filter).select(lengths).to_batches()
        return sum((pc.sum(batch["n"]).as_py() or 0) + batch.num_rows for batch in batches)

    def _split(self) -> list[Permutation]:
        """The splits, read through the one source, that a forked worker too reads through."""
        builder = permutation_builder(self._source.table)
        builder = builder.filter(self._filter) if self._filter else builder
        if self._shuffle:
            seed = self._shuffle_seed + self._epoch * _EPOCH_PRIME
            builder = builder.split_random(fixed=self._num_splits, seed=seed, clump_size=self._clump_size)
        else:
            builder = builder.split_sequential(fixed=self._num_splits)
        rows = builder.execute().to_arrow()
        row_ids, numbers = rows[ROW_ID].to_numpy(), rows[SPLIT_ID].to_numpy()
        splits = [Permutation(self._source, row_ids[numbers == n], None, n) for n in range(self._num_splits)]
        return [
            (split if self._columns is None else split.select_columns(self._columns)).with_format("arrow")
            for split in splits
        ]

    # -- iterating -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        """The rows, from where the last checkpoint loaded stands; one iteration at a time.

        Raises:
            RuntimeError: Another iteration is under way.
        """
        worker = get_worker_info()
        with self.consuming():
            if worker is not None:
                self._untracked[0] = 1
            for tracked in self.tracked():
                self.commit({tracked.split: tracked.state})
                yield tracked.sample

    @contextmanager
    def consuming(self, workers: int = 0) -> Iterator[None]:
        """Reserve the dataset for one iteration.

        Raises:
            RuntimeError: Another one is under way.
        """
        if self._consumed:
            raise RuntimeError("StreamingDataset does not support concurrent iteration: finish or drop the other one")
        self._consumed, self._needs_whole_step = True, self._needs_whole_step or workers > 1
        try:
            yield
        finally:
            self._consumed = False

    def tracked(self) -> Iterator[Tracked]:
        """The rows with the state that each brings its split to; the dataset's own state is left alone."""
        slot, mine = self._share_of_worker()
        if not mine:
            return
        counters = self._counters(slot)
        states = [self._states[split] for split in mine]
        starts = [(self._splits[split], state.position) for split, state in zip(mine, states, strict=True)]
        with reading(
            starts,
            self._transform,
            counters,
            batch_size=self._read_batch_size,
            ahead=self._ahead,
            parallelism=self._parallelism,
        ) as readers:
            give = self._rows if self._packing is None else self._blocks
            try:
                for place, sample, state in give(readers, states):
                    self._publish(slot, counters)
                    yield Tracked(sample, mine[place], state)
            finally:
                counters.unscanned = counters.raw = counters.cooked = 0
                self._publish(slot, counters)

    def _rows(self, readers: Sequence[SplitReader], states: list[SplitState]) -> Iterator[tuple[int, Any, SplitState]]:
        """A row of each split in turn; of those that lag behind, as after a checkpoint amid a step, first."""

        def advance(place: int) -> tuple[int, Any, SplitState]:
            position, row = readers[place].next_row()
            states[place] = SplitState(samples=states[place].samples + 1, position=position + 1)
            return place, row, states[place]

        furthest = max(state.samples for state in states)
        lagging = [(state.samples, place) for place, state in enumerate(states) if state.samples < furthest]
        heapq.heapify(lagging)
        while lagging:
            samples, place = heapq.heappop(lagging)
            if not readers[place].has_row():
                return
            yield advance(place)
            if samples + 1 < furthest:
                heapq.heappush(lagging, (samples + 1, place))
        while all(reader.has_row() for reader in readers):
            for place in range(len(readers)):
                yield advance(place)

    def _blocks(
        self, readers: Sequence[SplitReader], states: list[SplitState]
    ) -> Iterator[tuple[int, Any, SplitState]]:
        assert self._packing is not None
        if len({state.blocks for state in states}) > 1:
            raise ValueError("a packed checkpoint amid a step: merge every rank's with merge_state_dicts first")
        packers = [Packer(self._packing, *pair) for pair in zip(readers, states, strict=True)]
        while packers[0].state.blocks < self._packing.blocks:
            for place, packer in enumerate(packers):
                block = packer.block()
                yield place, block, packer.state

    def _share_of_worker(self) -> tuple[int, range]:
        """The number of this worker, and its splits."""
        worker = self._workers_override or get_worker_info()
        if worker is None:
            return 0, self._rank_splits
        if len(self._rank_splits) % worker.num_workers:
            raise ValueError(
                f"Number of rank splits ({len(self._rank_splits)}) must be divisible by "
                f"num_workers ({worker.num_workers})"
            )
        share = len(self._rank_splits) // worker.num_workers
        return worker.id, self._rank_splits[worker.id * share : (worker.id + 1) * share]

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def commit(self, states: dict[int, SplitState]) -> None:
        """Note that the consumer has got the rows which brought splits to *states*."""
        for split, state in states.items():
            self._states[split] = max(self._states[split], state)
        if self._packing is None and get_worker_info() is None:
            done = min(self._states[split].samples for split in self._rank_splits)
            for split in range(self._num_splits):  # at the end of a step the other ranks have come as far
                if split not in self._rank_splits and self._states[split].samples < done:
                    self._states[split] = SplitState(samples=done, position=done)

    def state_dict(self) -> dict[str, Any]:
        """How far the consumer has come, for `load_state_dict`, here or where there are other numbers of processes.

        At the end of a global step every rank says the same; otherwise, and when rows were skipped, `merge_state_dicts`
        of all ranks' is what to load.

        Raises:
            RuntimeError: A plain DataLoader with workers has read ahead: use `StreamingDataLoader`. Or the workers of
                that one, or the splits of packed sequences, are amid a step.
        """
        if self._untracked[0] and get_worker_info() is None:
            raise RuntimeError(
                "StreamingDataset cannot checkpoint a standard DataLoader with num_workers > 0, which reads ahead of "
                "its consumer. Use StreamingDataLoader instead."
            )
        states = [self._states[split] for split in self._rank_splits]
        if (self._needs_whole_step or self._packing) and len({(state.blocks, state.samples) for state in states}) > 1:
            raise RuntimeError("a checkpoint is only safe at a complete logical step boundary; consume more batches")
        return to_dict(self._run(), self._states)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, with the rows of the table's version that it was taken on.

        Raises:
            ValueError: It is of another seed, epoch or number of splits, or packs otherwise.
            VersionNotFoundError: That version is gone.
        """
        check_same_run(state, self._run())
        version: Version | None = tuple(state["version"]) if "version" in state else None
        if version is not None and version != self._source.version:
            self._source = Source(pinned_to(self._source.table, version), self._factory)
            self._splits = self._split()
        self._states, self._needs_whole_step = from_dict(state), False

    @staticmethod
    def merge_state_dicts(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """One checkpoint of all ranks', whatever their number was or will be.

        Raises:
            ValueError: There are none, they are not of one run, or packed ones not of one step.
        """
        return merge(states)

    def _run(self) -> dict[str, Any]:
        run: dict[str, Any] = {
            "shuffle_seed": self._shuffle_seed,
            "num_splits": self._num_splits,
            "epoch": self._epoch,
            "version": list(self._source.version),
        }
        if self._packing is None:
            return run
        packing = self._packing
        blocks = packing.blocks * self._num_splits
        packed = {"pack_sequences": packing.length, "eos_id": packing.eos_id, "pad_id": packing.pad_id}
        return {**run, **packed, "blocks_per_epoch": blocks}

    # -- counts --------------------------------------------------------------------------------------------------

    @property
    def bytes_loaded(self) -> int:
        """Bytes of Arrow data read, in all iterations."""
        return int(self._total("bytes_loaded"))

    @property
    def fetch_time(self) -> float:
        """Seconds that reading took, of all threads together, in all iterations."""
        return self._total("fetch_s")

    @property
    def transform_time(self) -> float:
        """Seconds that transforms took, of all threads together, in all iterations."""
        return self._total("transform_s")

    @property
    def rows_skipped(self) -> int:
        """Rows left out since their transform failed, in all iterations."""
        return int(self._total("skipped"))

    @property
    def raw_queue_depth(self) -> int:
        """Rows read that wait for their transform."""
        return int(self._total("raw"))

    @property
    def prefetch_queue_depth(self) -> int:
        """Rows transformed that wait to be given out."""
        return int(self._total("cooked"))

    @property
    def unscanned_rows(self) -> int:
        """Rows that nobody has asked the table for yet."""
        return int(self._total("unscanned"))

    @property
    def consumed_rows(self) -> int:
        """Rows given out in this iteration, or the last."""
        return int(self._total("consumed"))

    def _total(self, name: str) -> float:
        return sum(self._shared[_SHARED.index(name) :: len(_SHARED)])

    def _counters(self, slot: int) -> Counters:
        first = slot * len(_SHARED)
        told = dict(zip(_SHARED, self._shared[first : first + len(_SHARED)], strict=True))
        return Counters(**{name: told[name] for name in _CUMULATIVE})  # type: ignore[arg-type]  # counts are whole

    def _publish(self, slot: int, counters: Counters) -> None:
        for place, name in enumerate(_SHARED):
            self._shared[slot * len(_SHARED) + place] = getattr(counters, name)

    def _share(self) -> None:
        """Make what is shared with workers: a part for each, of which there is one for each split at most."""
        self._shared = RawArray(ctypes.c_double, len(_SHARED) * max(1, len(self._rank_splits)))
        self._untracked = RawArray(ctypes.c_int64, 1)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if get_spawning_popen() is None:  # a copy that shares nothing with this process
            del state["_shared"], state["_untracked"]
        return {**state, "_consumed": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_shared" not in state:
            self._share()


def _check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} must be greater than 0, got {number}")


def _check_policy(on_transform_error: object) -> None:
    if on_transform_error not in ("raise", "skip", "warn") and not callable(on_transform_error):
        raise ValueError(f"on_transform_error must be 'raise', 'skip', 'warn' or a callable: {on_transform_error!r}")
