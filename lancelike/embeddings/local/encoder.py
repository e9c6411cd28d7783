"""Running a text model's graph: texts to tokens, passes of tokens through onnxruntime, token vectors to one each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.embeddings.local.folder import ModelFolder, Pooling
from lancelike.embeddings.local.texts import valid_text
from lancelike.errors import EmbeddingFunctionUnavailable
from lancelike.processors import usable_processors
from lancelike.types import Vectors

TOKENS_PER_PASS = 1024
"""Tokens of one pass for each thread: on a CPU larger passes are no faster, and hold up other threads longer."""
ERRORS_ONLY = 3
Tokens: TypeAlias = list[int]
Mask: TypeAlias = NDArray[np.int64]


class TextEncoder:
    """A model in memory. Any number of threads may encode at once.

    Args:
        folder: The model's tokenizer and configuration.
        graph: Its ONNX graph, a file or the bytes of one.
        threads: Threads of one pass; None for as many as this process may run on.
    """

    def __init__(self, folder: ModelFolder, graph: Path | bytes, threads: int | None) -> None:
        self.folder = folder
        self._threads = threads or usable_threads()
        self._tokenizer = _load_tokenizer(folder)
        self._tokenizer.enable_truncation(folder.max_length)
        self._counter = _load_tokenizer(folder)
        self._session = _open_session(graph, self._threads)
        self._inputs = _input_names(self._session)
        self._output = _output(self._session)
        self.ndims = self._ndims()

    def encode(self, texts: Sequence[str], pooling: Pooling, normalize: bool) -> Vectors:
        """Embed *texts*: float32, shape (len(texts), ndims); each row depends on its text alone.

        Texts are passed through the model with others of about their length, since a pass takes as long as its
        longest.
        """
        vectors = np.empty((len(texts), self.ndims), dtype=np.float32)
        tokens = self.tokenize(texts)
        for rows in _passes(tokens, TOKENS_PER_PASS * self._threads):
            vectors[rows] = self._pass([tokens[row] for row in rows], pooling)
        return _unit(vectors) if normalize else vectors

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The numbers of each text's tokens, at most the model's `max_length`, the special ones included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(self._cleaned(texts))]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each of *texts*, the special ones included, as if none were cut off."""
        return [len(encoding) for encoding in self._counter.encode_batch_fast(self._cleaned(texts))]

    def _cleaned(self, texts: Sequence[str]) -> list[str]:
        """*texts* as the tokenizer takes them, in the case that the model is for."""
        valid = [valid_text(text) for text in texts]
        return [text.lower() for text in valid] if self.folder.lowercase else valid

    def _pass(self, tokens: list[Tokens], pooling: Pooling) -> Vectors:
        ids, mask = _padded(tokens)
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        answer: Vectors = self._session.run([self._output.name], {name: values[name] for name in self._inputs})[0]
        return answer if answer.ndim == 2 else POOLERS[pooling](answer, mask)

    def _ndims(self) -> int:
        size = self._output.shape[-1]
        return size if isinstance(size, int) else int(self._pass([[0]], "cls").shape[-1])


def usable_threads() -> int:
    """Threads to use where none are asked for: `OMP_NUM_THREADS`, or the CPUs that this process may run on."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit() and int(stated) > 0:
        return int(stated)
    return usable_processors()


def _load_tokenizer(folder: ModelFolder) -> Any:
    tokenizers = require("tokenizers", extra="onnx", needed_by="OnnxEmbeddings")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _open_session(graph: Path | bytes, threads: int) -> Any:
    onnxruntime = require("onnxruntime", extra="onnx", needed_by="OnnxEmbeddings")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    # A thread that spins while it waits slows down all else on a busy machine, several times over.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(graph) if isinstance(graph, Path) else graph
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _input_names(session: Any) -> list[str]:
    names = [each.name for each in session.get_inputs()]
    unknown = set(names) - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown or "input_ids" not in names:
        raise _unusable(
            f"takes {', '.join(names)}", "it must take input_ids, attention_mask and token_type_ids at most"
        )
    return names


def _output(session: Any) -> Any:
    """The output to use: one vector per text where the graph has it, else one per token."""
    outputs = session.get_outputs()
    for rank in (2, 3):
        for output in outputs:
            if len(output.shape) == rank and output.name != "pooler_output":
                return output
    raise _unusable(f"gives {', '.join(o.name for o in outputs)}", "it must give a vector per text, or one per token")


def _passes(tokens: Sequence[Tokens], budget: int) -> Iterator[list[int]]:
    """Positions of *tokens*, those of like length together, at most *budget* tokens with padding, one text at least."""
    rows: list[int] = []
    for row in sorted(range(len(tokens)), key=lambda i: len(tokens[i])):
        if rows and (len(rows) + 1) * len(tokens[row]) > budget:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _padded(tokens: list[Tokens]) -> tuple[NDArray[np.int64], Mask]:
    shape = len(tokens), max(1, *map(len, tokens)) if tokens else 1
    ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, numbers in enumerate(tokens):
        ids[row, : len(numbers)] = numbers
        mask[row, : len(numbers)] = 1
    return ids, mask


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False)
    return unit


def _mean(hidden: Vectors, mask: Mask) -> Vectors:
    return _sum(hidden, mask) / _lengths(mask)


def _mean_sqrt_len(hidden: Vectors, mask: Mask) -> Vectors:
    pooled: Vectors = (_sum(hidden, mask) / np.sqrt(_lengths(mask))).astype(np.float32, copy=False)
    return pooled


def _weighted_mean(hidden: Vectors, mask: Mask) -> Vectors:
    return _mean(hidden, mask * np.arange(1, mask.shape[1] + 1))


def _max(hidden: Vectors, mask: Mask) -> Vectors:
    largest: Vectors = np.where(mask[..., None] > 0, hidden, np.float32(-np.inf)).max(axis=1)
    return largest


def _cls(hidden: Vectors, _mask: Mask) -> Vectors:
    return hidden[:, 0]


def _last_token(hidden: Vectors, mask: Mask) -> Vectors:
    last: Vectors = hidden[np.arange(len(hidden)), np.maximum(mask.sum(axis=1), 1) - 1]
    return last


def _sum(hidden: Vectors, weights: Mask) -> Vectors:
    total: Vectors = np.einsum("btd,bt->bd", hidden, weights.astype(np.float32))
    return total


def _lengths(weights: Mask) -> Vectors:
    lengths: Vectors = np.maximum(weights.sum(axis=1, keepdims=True), 1).astype(np.float32)
    return lengths


POOLERS: Mapping[Pooling, Callable[[Vectors, Mask], Vectors]] = {
    "mean": _mean,
    "cls": _cls,
    "max": _max,
    "lasttoken": _last_token,
    "weightedmean": _weighted_mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
}
"""From token vectors of shape (batch, sequence, n) and their mask of 0 and 1 to vectors of shape (batch, n)."""


def _unusable(problem: str, hint: str) -> EmbeddingFunctionUnavailable:
    return EmbeddingFunctionUnavailable(f"the model's ONNX graph {problem}", function="onnx", hint=hint)
