"""Build indices of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import lance
from lance.indices import IndexConfig as LanceIndexConfig
from lance.progress import IndexProgress

from lancelike.errors import IndexExistsError, QueryError
from lancelike.index import FTS, Bitmap, BTree, Fm, HnswFlat, HnswPq, HnswSq, IvfFlat, IvfPq, IvfRq, IvfSq, LabelList
from lancelike.storage.dataset import Dataset
from lancelike.storage.fulltext import text_settings
from lancelike.storage.index import VECTOR_TYPES, index_stats
from lancelike.storage.index_settings import check_settings
from lancelike.storage.indexable import column_type, default_partition_size, default_sub_vectors, vector_type
from lancelike.storage.masking import mask_deleted
from lancelike.storage.reindexing import trained_if_possible
from lancelike.types import ProgressCallback

SCALAR_TYPES: dict[type, str | LanceIndexConfig] = {
    BTree: "BTREE",
    Bitmap: "BITMAP",
    LabelList: "LABEL_LIST",
    Fm: LanceIndexConfig("fm", {}),
    FTS: "INVERTED",
}
_LANCE_NAMES = {"distance_type": "metric", "max_iterations": "max_iters"}


def create_vector_index(
    dataset: Dataset,
    column: str,
    config: IvfFlat | IvfSq | IvfPq | IvfRq | HnswPq | HnswSq | HnswFlat,
    *,
    name: str | None = None,
    replace: bool = True,
    train: bool = True,
    progress: ProgressCallback | None = None,
) -> str:
    """Train and build a vector index on *column*; its name.

    Partitions are of `default_partition_size` where neither their number nor their size is given. With fewer vectors
    than training needs (256 for PQ of 8 bits, 1 for most) the index stays empty, and searches scan the rows.

    Args:
        dataset: The table.
        column: A fixed-size list of floats (or of uint8, for `"hamming"`), or a list of such.
        config: Kind and settings.
        name: None is `"{column}_idx"`.
        replace: Take the place of an index of that name.
        train: False makes an empty index, to be filled by `optimize`.
        progress: Called with `event` ("start", "progress", "complete"), `stage`, `completed`, `total`, `unit`.

    Raises:
        ColumnNotFoundError: There is no such column.
        QueryError: The column holds no vectors, or a setting does not fit it.
        IndexExistsError: There is an index of that name, and *replace* is False.
    """
    vector = vector_type(dataset.schema, column)
    if vector is None:
        raise QueryError(f"column {column!r} holds {column_type(dataset.schema, column)}, not vectors of one length")
    check_settings(config, dataset.schema, column)
    settings = _vector_settings(config, vector.list_size)
    name = _free_name(dataset, name or f"{column}_idx", replace)

    def build(latest: lance.LanceDataset, callback: Callable[[IndexProgress], None] | None, train: bool) -> None:
        latest.create_index(
            column,
            VECTOR_TYPES[type(config)],
            name=name,
            replace=replace,
            train=train,
            progress_callback=callback,
            **_with_partition_size(settings, config, latest, vector.list_size),
        )

    with dataset.indexing, _heard(progress) as callback:
        dataset.change(lambda latest: trained_if_possible(partial(build, latest, callback), train))
        dataset.change(partial(mask_deleted, storage_options=dataset.location.storage_options))
    return name


def create_scalar_index(
    dataset: Dataset,
    column: str,
    config: BTree | Bitmap | LabelList | Fm | FTS,
    *,
    name: str | None = None,
    replace: bool = True,
    train: bool = True,
    progress: ProgressCallback | None = None,
) -> str:
    """Build an index for filters, or for full-text search, on *column*; its name.

    Args:
        dataset: The table.
        column: A column of a type that the index takes.
        config: Kind and settings.
        name: None is `"{column}_idx"`.
        replace: Take the place of an index of that name.
        train: False makes an empty index, to be filled by `optimize`.
        progress: As for `create_vector_index`.

    Raises:
        ColumnNotFoundError: There is no such column.
        QueryError: The column's type does not suit the index.
        IndexExistsError: There is an index of that name, and *replace* is False.
    """
    settings = text_settings(config) if isinstance(config, FTS) else {}
    kind = SCALAR_TYPES[type(config)]
    name = _free_name(dataset, name or f"{column}_idx", replace)
    with dataset.indexing, _heard(progress) as callback, _told_of_type(dataset, column, config):
        dataset.change(
            lambda latest: latest.create_scalar_index(
                column, kind, name=name, replace=replace, train=train, progress_callback=callback, **settings
            )
        )
        if isinstance(config, FTS):
            dataset.change(partial(mask_deleted, storage_options=dataset.location.storage_options))
    return name


def scalar_config(index_type: str) -> BTree | Bitmap | LabelList | Fm | FTS:
    """The settings class that LanceDB's word for a scalar index means.

    Raises:
        QueryError: There is no such kind.
    """
    named: dict[str, type] = {"BTREE": BTree, "BITMAP": Bitmap, "LABEL_LIST": LabelList, "FM": Fm, "FTS": FTS}
    if index_type.upper() not in named:
        raise QueryError(f"no scalar index of type {index_type!r}; there are {', '.join(named)}")
    config: BTree | Bitmap | LabelList | Fm | FTS = named[index_type.upper()]()
    return config


def _with_partition_size(
    settings: dict[str, Any], config: Any, latest: lance.LanceDataset, ndims: int
) -> dict[str, Any]:
    """*settings* with what Lance is told where nothing is said of partitions; a graph is best left in few."""
    if isinstance(config, HnswPq | HnswSq | HnswFlat) or {"num_partitions", "target_partition_size"} & settings.keys():
        return settings
    return {**settings, "target_partition_size": default_partition_size(latest.count_rows(), ndims)}


def _vector_settings(config: Any, ndims: int) -> dict[str, Any]:
    settings = {_LANCE_NAMES.get(key, key): value for key, value in asdict(config).items() if value is not None}
    if isinstance(config, IvfPq | HnswPq):
        settings.setdefault("num_sub_vectors", default_sub_vectors(ndims))
    return settings


def _free_name(dataset: Dataset, name: str, replace: bool) -> str:
    dataset.refresh()
    if not replace and index_stats(dataset, name):
        raise IndexExistsError(name)
    return name


@contextmanager
def _told_of_type(dataset: Dataset, column: str, config: object) -> Iterator[None]:
    """Name index and type where Lance refuses a column for its type."""
    try:
        yield
    except QueryError as error:
        if "index column" not in str(error):
            raise
        kind, found = type(config).__name__, dataset.lance.lance_schema.field(column).to_arrow().type
        raise QueryError(f"a {kind} index cannot be created on column {column!r}, which holds {found}") from error


@contextmanager
def _heard(progress: ProgressCallback | None) -> Iterator[Callable[[IndexProgress], None] | None]:
    """A callback for Lance that calls *progress*; what that raises comes out once the index is built."""
    if progress is None:
        yield None
        return
    raised: list[BaseException] = []

    def report(event: IndexProgress) -> None:
        try:
            if not raised:
                progress(asdict(event))
        except Exception as error:  # noqa: BLE001 - Lance only logs it; it is raised below
            raised.append(error)
        except KeyboardInterrupt as error:  # Lance stops, or has built the index already
            raised.append(error)
            raise

    yield report
    if raised:
        raise raised[0]
