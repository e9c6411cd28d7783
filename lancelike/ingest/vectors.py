"""Vectors that the caller gives: made to fit the column, or handled by the policy for bad ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lancelike.errors import BadDataError, BadVectorError, shorten
from lancelike.ingest.aligning import null_error
from lancelike.ingest.batch import Batch
from lancelike.ingest.casts import first_failure, without_views
from lancelike.ingest.kinds import is_list, is_multivector, is_number, is_vector_field, vector_of
from lancelike.schema.bindings import EmbeddingFunctionConfig
from lancelike.types import OnBadVectors

POLICIES = ("error", "drop", "fill", "null")
WAYS_OUT = "give on_bad_vectors='drop', 'fill' (with fill_value) or 'null' to go on without it"


def fit_vectors(
    batches: Iterable[Batch],
    schema: pa.Schema,
    bindings: Sequence[EmbeddingFunctionConfig],
    on_bad_vectors: OnBadVectors = "error",
    fill_value: float = 0.0,
) -> Iterator[Batch]:
    """*batches* with their vectors in the types of *schema*, whose columns they have in its order.

    A vector is bad if it has another length, or a number that is NaN, missing or too large for the column; infinity is
    not bad. Null is bad unless a function fills the column or the whole batch has none; `"null"` makes a bad vector of
    a column that a function fills one that the function makes.

    Args:
        batches: Rows aligned with *schema*.
        schema: The table's schema.
        bindings: The columns that functions fill.
        on_bad_vectors: Raise, drop the row, fill what is missing, or make the vector null.
        fill_value: What `"fill"` puts for each number that is missing.

    Raises:
        BadVectorError: A bad vector, and *on_bad_vectors* is `"error"`.
        BadDataError: A value that is no vector at all.
    """
    if on_bad_vectors not in POLICIES:
        raise ValueError(f"on_bad_vectors is one of {', '.join(map(repr, POLICIES))}, not {on_bad_vectors!r}")
    if on_bad_vectors == "fill" and fill_value is None:
        raise ValueError("`fill_value` must not be None if `on_bad_vectors` is 'fill'")
    bound = {binding.vector_column for binding in bindings}
    fields = [field for field in schema if is_vector_field(field, bound)]
    policy = _Policy(on_bad_vectors, fill_value, frozenset(bound))
    return _fit_all(batches, fields, policy)


@dataclass(frozen=True, slots=True)
class _Policy:
    on_bad: OnBadVectors
    fill_value: float
    bound: frozenset[str]


def _fit_all(batches: Iterable[Batch], fields: Sequence[pa.Field], policy: _Policy) -> Iterator[Batch]:
    def fit(batch: Batch) -> Batch:
        for field in fields:
            batch = _fit(batch, field, policy)
        return batch

    return filter(len, map(fit, batches))


def _fit(batch: Batch, field: pa.Field, policy: _Policy) -> Batch:
    array = _unwrap(batch.data.column(field.name))
    if array.null_count == len(array):
        _refuse_null(batch, array, field, policy)
        return _put(batch, field, array if array.type.equals(field.type) else pa.nulls(len(array), field.type))
    takes_nulls = policy.on_bad == "null" or field.name in policy.bound
    if (takes_nulls or not array.null_count) and _is_clean(array, field.type):
        _refuse_null(batch, array, field, policy)
        return batch if batch.data.schema.field(field.name).type.equals(field.type) else _put(batch, field, array)
    vectors = _measure(batch, array, field)
    bad = vectors.bad | (vectors.null if field.name not in policy.bound else False)
    if not bad.any():
        return _put(batch, field, vectors.to_arrow(vectors.null))
    if policy.on_bad == "error":
        raise _bad_vector(batch, array, field, int(np.argmax(bad)))
    if policy.on_bad == "drop":
        return _put(batch, field, vectors.to_arrow(vectors.null)).keep(~bad)
    if policy.on_bad == "null":
        nulled = vectors.to_arrow(vectors.null | bad)
        _refuse_null(batch, nulled, field, policy)
        return _put(batch, field, nulled)
    return _put(batch, field, vectors.filled(policy.fill_value).to_arrow(vectors.null & ~bad))


def _refuse_null(batch: Batch, array: pa.Array, field: pa.Field, policy: _Policy) -> None:
    if not field.nullable and field.name not in policy.bound and array.null_count:
        raise null_error(batch, array, field.name)


def _unwrap(array: pa.Array) -> pa.Array:
    """*array* without an extension type or a view layout over its lists."""
    return without_views(array.storage if isinstance(array.type, pa.BaseExtensionType) else array)


def _put(batch: Batch, field: pa.Field, array: pa.Array) -> Batch:
    if not array.type.equals(field.type):
        array = array.cast(field.type)
    index = batch.data.schema.get_field_index(field.name)
    return batch.with_data(batch.data.set_column(index, field, array))


def _is_clean(array: pa.Array, kind: pa.DataType) -> bool:
    """Whether *array* is of *kind*, with every number there of what isn't null, and of what lies under nulls.

    It is one pass over the numbers at memory speed.
    """
    if not array.type.equals(kind):
        return False
    if is_multivector(kind):
        vectors = array.flatten()
        if vectors.null_count:
            return False
        flat = vectors.flatten()
    else:
        flat = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
    return not flat.null_count and not _has_nan(flat.to_numpy())


_INFINITY, _NEGATIVE_INFINITY = 0x7C00, 0xFC00


def _has_nan(numbers: NDArray[Any]) -> bool:
    if numbers.dtype.kind != "f":
        return False
    if numbers.dtype == np.float16:  # numpy has to convert each; of their bits, as integers, NaN's are the largest
        signed, unsigned = numbers.view(np.int16), numbers.view(np.uint16)
        return bool(signed.max(initial=0) > _INFINITY or unsigned.max(initial=0) > _NEGATIVE_INFINITY)
    with np.errstate(all="ignore"):
        return bool(np.isnan(np.dot(numbers, numbers)))  # squares can't cancel, so NaN in means NaN out


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Vectors of a batch in the column's length and number type, and what was wrong with them.

    Attributes:
        kind: The column's type.
        numbers: shape (vectors, length).
        missing: Which numbers are NaN, null, too large, or beyond the vector's end; shape of *numbers*.
        flawed: Which vectors are bad; shape (vectors,).
        null: Which rows are null; shape (rows,).
        offsets: Where each row's vectors begin and end, shape (rows + 1,), for multivectors; else None.
    """

    kind: pa.DataType
    numbers: NDArray[Any]
    missing: NDArray[np.bool_] | None
    flawed: NDArray[np.bool_]
    null: NDArray[np.bool_]
    offsets: NDArray[np.int32] | None = None

    @property
    def bad(self) -> NDArray[np.bool_]:
        """Which rows that aren't null hold a bad vector, shape (rows,)."""
        if self.offsets is None:
            return self.flawed & ~self.null
        before = np.concatenate([[0], np.cumsum(self.flawed)])
        return np.asarray(before[self.offsets[1:]] > before[self.offsets[:-1]])

    def filled(self, value: float) -> _Measured:
        if self.missing is None:
            return self
        numbers = np.where(self.missing, np.asarray(value, self.numbers.dtype), self.numbers)
        return _Measured(self.kind, numbers, None, self.flawed, self.null, self.offsets)

    def to_arrow(self, null: NDArray[np.bool_]) -> pa.Array:
        mask = pa.array(null) if null.any() else None
        flat = pa.array(self.numbers.reshape(-1))
        if self.offsets is None:
            return pa.FixedSizeListArray.from_arrays(flat, type=self.kind, mask=mask)
        inner = pa.FixedSizeListArray.from_arrays(flat, type=self.kind.value_type)
        return pa.ListArray.from_arrays(pa.array(self.offsets), inner, mask=mask).cast(self.kind)


def _measure(batch: Batch, array: pa.Array, field: pa.Field) -> _Measured:
    vector = vector_of(field.type)
    depth = 2 if is_multivector(field.type) else 1
    if not _holds_numbers(array.type, depth):
        raise _not_vectors(batch, array, field)
    null = array.is_null().to_numpy(zero_copy_only=False)
    try:
        if depth == 1:
            return _Measured(field.type, *_numbers(array, vector), null)
        _, lengths = _extents(array)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        inner = array.flatten()  # leaves out what lies under nulls, as the lengths do
        return _Measured(field.type, *_numbers(inner, vector), null, offsets)
    except pa.ArrowException as error:
        index = first_failure(array, lambda part: _numbers(part.flatten() if depth == 2 else part, vector))
        raise BadVectorError(
            f"{shorten(array[index].as_py())} does not fit {field.type}",
            row=batch.row(index),
            column=field.name,
            value=array[index].as_py(),
            hint=f"give numbers that {vector.value_type} holds exactly",
        ) from error


def _holds_numbers(kind: pa.DataType, depth: int) -> bool:
    for _ in range(depth):
        if not is_list(kind):
            return False
        kind = kind.value_type
    return is_number(kind) or bool(pa.types.is_null(kind))


def _extents(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each list begins in `array.values`, and its length; a null is empty."""
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        starts = (array.offset + np.arange(len(array), dtype=np.int64)) * size
        lengths = np.full(len(array), size, dtype=np.int64)
    else:
        offsets = array.offsets.to_numpy().astype(np.int64)
        starts, lengths = offsets[:-1], np.diff(offsets)
    if array.null_count:
        lengths = np.where(array.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    return starts, lengths


def _numbers(array: pa.Array, kind: pa.DataType) -> tuple[NDArray[Any], NDArray[np.bool_] | None, NDArray[np.bool_]]:
    """Numbers, missing and flawed, as in `_Measured`, of lists of any length."""
    size = kind.list_size
    starts, lengths = _extents(array)
    first, last = (int(starts[0]), int((starts + lengths).max())) if len(array) else (0, 0)
    flat, holes = _to_numbers(array.values.slice(first, last - first), kind.value_type)
    if len(flat) == len(array) * size and (lengths == size).all():  # nothing ragged, nothing in between
        missing = None if holes is None else holes.reshape(-1, size)
        flawed = np.zeros(len(array), bool) if missing is None else np.asarray(missing.any(axis=1))
        return flat.reshape(-1, size), missing, flawed
    return _gather(flat, holes, starts - first, lengths, size)


def _gather(
    flat: NDArray[Any],
    holes: NDArray[np.bool_] | None,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    size: int,
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """The first *size* numbers of each list; those that a short one lacks are missing."""
    steps = np.arange(size)
    inside = steps < lengths[:, None]
    places = np.where(inside, starts[:, None] + steps, 0)
    if not len(flat):
        flat = np.zeros(1, flat.dtype)
    numbers = np.where(inside, flat[places], np.zeros(1, flat.dtype))
    missing = ~inside
    if holes is not None:
        missing |= holes[places] & inside
    return numbers, missing, (lengths != size) | missing.any(axis=1)


def _to_numbers(flat: pa.Array, kind: pa.DataType) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """*flat* in the number type *kind*, and which of it is NaN, null or too large; None if nothing is.

    Raises:
        pa.ArrowException: *kind* is an integer type, and a number isn't one of it.
    """
    nulls = flat.is_null().to_numpy(zero_copy_only=False) if flat.null_count else None
    if pa.types.is_null(flat.type):
        return np.zeros(len(flat), kind.to_pandas_dtype()), nulls
    if pa.types.is_integer(kind):
        return flat.fill_null(0).cast(kind).to_numpy(), nulls
    source = flat.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        numbers = source.astype(kind.to_pandas_dtype(), copy=False)
    holes = np.isnan(numbers) if _has_nan(numbers) else None
    if numbers.dtype != source.dtype and np.isinf(numbers).any():
        too_large = np.isinf(numbers) & ~np.isinf(source)
        holes = too_large if holes is None else holes | too_large
    return numbers, holes


def _not_vectors(batch: Batch, array: pa.Array, field: pa.Field) -> BadDataError:
    index = array.is_valid().index(pa.scalar(True)).as_py()
    value = array[index].as_py()
    return BadVectorError(
        f"{shorten(value)} ({array.type}) is not a vector",
        row=batch.row(index),
        column=field.name,
        value=value,
        hint=f"give {vector_of(field.type).list_size} numbers",
    )


def _bad_vector(batch: Batch, array: pa.Array, field: pa.Field, index: int) -> BadVectorError:
    value = array[index].as_py()
    return BadVectorError(
        _flaw(value, vector_of(field.type).list_size),
        row=batch.row(index),
        column=field.name,
        value=value,
        hint=WAYS_OUT,
    )


def _flaw(value: Any, size: int) -> str:
    if value is None:
        return "a vector is null"
    if value and isinstance(value[0], list):
        return next(_flaw(vector, size) for vector in value if _is_flawed(vector, size))
    if len(value) != size:
        return f"a vector of length {len(value)} where the column's are {size} long: {shorten(value)}"
    kind = "NaN" if any(number is None or number != number for number in value) else "numbers too large"
    return f"a vector with {kind}: {shorten(value)}"


def _is_flawed(vector: Sequence[float | None] | None, size: int) -> bool:
    return vector is None or len(vector) != size or any(number is None or number != number for number in vector)
