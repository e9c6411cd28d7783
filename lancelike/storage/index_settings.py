"""What a vector index is told: seen to fit its column, in words of ours, before Lance begins to build it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from numbers import Integral
from typing import Any

import pyarrow as pa

from lancelike.errors import QueryError
from lancelike.index import HnswFlat, HnswPq, IvfFlat, IvfPq, IvfRq
from lancelike.storage.indexable import RABITQ_STEP, has_several, vector_type

_METRICS = ("l2", "euclidean", "cosine", "dot", "hamming")
_MAY_BE_NONE = ("num_partitions", "num_sub_vectors", "target_partition_size")
_BITS: Mapping[type, tuple[int, ...]] = {IvfPq: (4, 8), HnswPq: (4, 8), IvfRq: tuple(range(1, 10))}


def check_settings(config: Any, schema: pa.Schema, column: str) -> None:
    """See that *config* can be built on *column*, which holds vectors.

    Raises:
        QueryError: It can't; says which setting must be what.
    """
    for problem in _problems(config, schema, column):
        raise QueryError(f"a {type(config).__name__} index can't be created on column {column!r}: {problem}")


def _problems(config: Any, schema: pa.Schema, column: str) -> Iterator[str]:
    vector = vector_type(schema, column)
    assert vector is not None, "the column holds vectors"
    yield from _of_numbers(config)
    yield from _of_metric(str(config.distance_type).lower(), vector.value_type, has_several(schema, column))
    if pa.types.is_uint8(vector.value_type) and not isinstance(config, IvfFlat | HnswFlat):
        yield "vectors of uint8 are indexed whole, by IvfFlat(distance_type='hamming')"
    yield from _of_dimension(config, vector.list_size)


def _of_numbers(config: Any) -> Iterator[str]:
    for name in (each.name for each in fields(config)):
        value = getattr(config, name)
        if name in ("distance_type", "accelerator") or (value is None and name in _MAY_BE_NONE):
            continue
        if not isinstance(value, Integral) or value < 1:
            yield f"{name} is a whole number, at least 1, not {value!r}"
    bits = _BITS.get(type(config))
    if bits and config.num_bits not in bits:
        yield f"num_bits is one of {', '.join(map(str, bits))}, not {config.num_bits}"


def _of_metric(metric: str, value_type: pa.DataType, several: bool) -> Iterator[str]:
    if metric not in _METRICS:
        yield f"distance_type is one of {', '.join(_METRICS)}, not {metric!r}"
    is_bits = pa.types.is_uint8(value_type)
    if several and (is_bits or metric != "cosine"):
        yield "where a row has several vectors, they must be of floats, and distance_type='cosine'"
    elif is_bits != (metric == "hamming"):
        wanted = "'hamming'" if is_bits else "'l2', 'cosine' or 'dot'"
        yield f"distance_type must be {wanted} for vectors of {value_type}, not {metric!r}"


def _of_dimension(config: Any, ndims: int) -> Iterator[str]:
    if isinstance(config, IvfRq) and ndims % RABITQ_STEP:
        yield f"RaBitQ takes vectors of a length that {RABITQ_STEP} divides, and these have {ndims}; take IvfSq"
    if isinstance(config, IvfPq | HnswPq) and config.num_sub_vectors is not None:
        if ndims % config.num_sub_vectors:
            yield f"num_sub_vectors={config.num_sub_vectors} doesn't divide the {ndims} numbers of a vector"
        if config.num_bits == 4 and config.num_sub_vectors % 2:
            yield f"num_sub_vectors must be even with num_bits=4, not {config.num_sub_vectors}"
