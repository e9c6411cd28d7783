"""Documents of tokens, joined and cut into blocks of one length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from lancelike._optional import require
from lancelike.streaming.pipeline import SplitReader
from lancelike.streaming.state import SplitState


@dataclass(frozen=True, slots=True)
class Packing:
    """How blocks are made.

    Attributes:
        length: Tokens in a block.
        eos_id: Token put after each document.
        pad_id: Token that fills a block when there are no documents left.
        blocks: Blocks that each split gives.
    """

    length: int
    eos_id: int
    pad_id: int
    blocks: int


@dataclass(slots=True)
class Packer:
    """Makes the blocks of one split, from the state that it is in."""

    packing: Packing
    reader: SplitReader
    state: SplitState
    _tokens: list[int] = field(init=False)
    _starts: list[int] = field(init=False)
    _position: int = field(init=False)

    def __post_init__(self) -> None:
        self._tokens, self._starts = list(self.state.tokens), list(self.state.starts)
        self._position = self.state.position

    def block(self) -> dict[str, Any]:
        """The next block: `input_ids` and `doc_ids`, int64 tensors of shape (length,); moves `state` on.

        `doc_ids` counts the documents in the block, from 0 for what goes on from the block before.
        """
        length = self.packing.length
        while len(self._tokens) < length and self.reader.has_row():
            self._position, document = self.reader.next_row()
            self._position += 1
            self._starts.append(len(self._tokens))
            self._tokens += [*document, self.packing.eos_id]
        self._tokens += [self.packing.pad_id] * (length - len(self._tokens))
        tokens = np.array(self._tokens[:length], np.int64)
        documents = np.zeros(length, np.int64)
        documents[[start for start in self._starts if 0 < start < length]] = 1
        del self._tokens[:length]
        self._starts = [start - length for start in self._starts if start >= length]
        self.state = SplitState(
            blocks=self.state.blocks + 1,
            position=self._position,
            tokens=tuple(self._tokens),
            starts=tuple(self._starts),
        )
        torch = require("torch", extra="torch", needed_by="StreamingDataset")
        return {"input_ids": torch.from_numpy(tokens), "doc_ids": torch.from_numpy(documents.cumsum())}


def token_lists(batch: pa.RecordBatch) -> list[list[int]]:
    """The documents of a batch with one column.

    Raises:
        ValueError: One is null, or has a null in it.
    """
    column = batch.column(0)
    if column.null_count or column.flatten().null_count:
        raise ValueError("pack_sequences does not support null token lists or values")
    documents: list[list[int]] = column.to_pylist()
    return documents


def check_token_column(schema: pa.Schema, columns: list[str] | None) -> str:
    """The one column of *columns*, if it holds lists of integers.

    Raises:
        ValueError: There is none, or another one.
    """
    if columns is None or len(columns) != 1:
        raise ValueError("pack_sequences requires columns to name exactly one list-typed column of token ids")
    kind = schema.field(columns[0]).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type):
        raise ValueError(f"pack_sequences requires a list of integers; {columns[0]} has type {kind}")
    return columns[0]
