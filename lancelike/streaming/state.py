"""How far a stream has come: values, and their form in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

RUN = ("shuffle_seed", "num_splits", "epoch")
"""What two checkpoints of one run agree on."""
PACKING = ("pack_sequences", "eos_id", "pad_id", "blocks_per_epoch")
"""What they agree on too, when sequences are packed."""


@dataclass(frozen=True, slots=True, order=True)
class SplitState:
    """How far one split has come; of two states of a split, the larger is the later.

    Attributes:
        blocks: Packed blocks given out.
        samples: Rows given out.
        position: Rows read: more than *samples* where a transform failed on some that were skipped.
        tokens: Tokens read that are in no block yet.
        starts: Where in *tokens* documents start.
    """

    blocks: int = 0
    samples: int = 0
    position: int = 0
    tokens: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tracked:
    """A sample, and how far its split has come with it."""

    sample: Any
    split: int
    state: SplitState


def to_dict(run: dict[str, Any], states: Sequence[SplitState]) -> dict[str, Any]:
    """The checkpoint of *run* with its splits at *states*; `run` has the packing's settings if there is any."""
    if "pack_sequences" not in run:
        return {
            **run,
            "samples_consumed_per_split": [state.samples for state in states],
            "positions_consumed_per_split": [state.position for state in states],
        }
    return {
        **run,
        "samples_consumed_per_split": [state.position for state in states],
        "blocks_emitted_per_split": [state.blocks for state in states],
        "pack_buffers": {
            split: {"tokens": list(state.tokens), "starts": list(state.starts)} for split, state in enumerate(states)
        },
    }


def from_dict(checkpoint: dict[str, Any]) -> list[SplitState]:
    """The splits' states in a checkpoint, which may have come through JSON, or be one of LanceDB's."""
    num_splits = checkpoint["num_splits"]
    consumed = checkpoint["samples_consumed_per_split"]
    samples = [consumed] * num_splits if isinstance(consumed, int) else list(consumed)
    if "pack_buffers" not in checkpoint:
        positions = checkpoint.get("positions_consumed_per_split") or samples
        return [SplitState(samples=int(n), position=int(at)) for n, at in zip(samples, positions, strict=True)]
    blocks = checkpoint["blocks_emitted_per_split"]
    if len(samples) != num_splits or len(blocks) != num_splits:
        raise ValueError("a packed checkpoint has one entry for each split")
    buffers = {int(split): buffer for split, buffer in checkpoint["pack_buffers"].items()}
    return [
        SplitState(
            blocks=int(blocks[split]),
            position=int(samples[split]),
            tokens=tuple(buffers.get(split, {}).get("tokens", ())),
            starts=tuple(buffers.get(split, {}).get("starts", ())),
        )
        for split in range(num_splits)
    ]


def check_same_run(checkpoint: dict[str, Any], run: dict[str, Any]) -> None:
    """See that *checkpoint* is of *run*.

    Raises:
        ValueError: It is of another one: its rows are not ours.
    """
    for key in (*RUN, *(PACKING if "pack_buffers" in checkpoint or "pack_sequences" in run else ())):
        if checkpoint.get(key) != run.get(key):
            raise ValueError(f"{key} mismatch: the checkpoint has {checkpoint.get(key)}, this dataset {run.get(key)}")


def merge(checkpoints: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One checkpoint of what each rank saved: of each split the furthest state.

    Raises:
        ValueError: There are none, they are not of one run, or packed ones not of one step.
    """
    if not checkpoints:
        raise ValueError("merge_state_dicts requires at least one state dict")
    first = checkpoints[0]
    packed = "pack_buffers" in first
    run = {key: first[key] for key in (*RUN, "version", *(PACKING if packed else ())) if key in first}
    for other in checkpoints[1:]:
        if ("pack_buffers" in other) != packed:
            raise ValueError("cannot merge packed and unpacked state dicts")
        check_same_run(other, run)
    states = [max(of_split) for of_split in zip(*map(from_dict, checkpoints), strict=True)]
    if packed and len({state.blocks for state in states}) > 1:
        raise ValueError("packed state dicts were not captured at the same global step, or a rank's is missing")
    if not packed:  # rows skipped in one rank and not yet known to another are counted apart from samples
        furthest = [from_dict(checkpoint) for checkpoint in checkpoints]
        states = [
            SplitState(samples=state.samples, position=max(each[split].position for each in furthest))
            for split, state in enumerate(states)
        ]
    return to_dict(run, states)
