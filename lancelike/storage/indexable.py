"""What can be indexed, and what index suits it when nothing is said: measured in docs/design, default-indexes."""

from __future__ import annotations

import math

import pyarrow as pa

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.index import BTree, FloatDistanceType, IvfFlat, IvfRq, IvfSq

FEWEST_ROWS_OF_PARTITION = 256
GRAPH_VALUES = 1_000_000
"""Values of centroids from which on Lance looks for a row's partition in a graph, which finds one nearly as near. Then
searches in memory look at far more rows: of 200 000 x 1536 in 894 partitions at all, 12.8 ms, in 650 0.9 ms; of
2 000 000 x 384 in 2828 4.8 ms, in 2600 1.6. The graph saves up to a quarter of the time of building."""
MOST_TIMES_LARGER = 8
"""How much larger partitions may be so that there is no graph; with more rows they would take too long to read."""
CODE_BITS = 2
"""Of a RaBitQ code, for each dimension. With a refine factor of 5 they had a recall@10 of 0.96 to 0.98 from 64 to 1536
dimensions; one bit had 0.80 to 0.84, and three 1.00 for a third more bytes."""
RABITQ_STEP = 8
"""RaBitQ takes dimensions that this divides."""


def default_config(schema: pa.Schema, column: str) -> IvfRq | IvfSq | IvfFlat | BTree:
    """The index that suits a column's type.

    IVF_RQ for vectors; IVF_SQ where 8 doesn't divide their dimension; both by cosine where a row has several; IVF_FLAT
    by Hamming distance for bits; a B-tree for anything else.

    Raises:
        ColumnNotFoundError: There is no such column.
    """
    vector = vector_type(schema, column)
    if vector is None:
        return BTree()
    if pa.types.is_uint8(vector.value_type):
        return IvfFlat(distance_type="hamming")
    metric: FloatDistanceType = "cosine" if has_several(schema, column) else "l2"
    if vector.list_size % RABITQ_STEP:
        return IvfSq(distance_type=metric)
    return IvfRq(distance_type=metric, num_bits=CODE_BITS)


def default_column(schema: pa.Schema) -> str:
    """What to index where no column is named: `"vector"`, or the only one that holds vectors.

    Raises:
        QueryError: Several do.
    """
    found: list[str] = [name for name in schema.names if vector_type(schema, name) is not None]
    if "vector" in schema.names or not found:
        return "vector"
    if len(found) > 1:
        raise QueryError(f"say which column to index: {', '.join(map(repr, found))} hold vectors")
    return found[0]


def default_partition_size(rows: int, ndims: int) -> int:
    """Rows that a partition should hold in a table of so many vectors: then there are twice the square root of them.

    Searches that look at so many rows find more of the nearest, the smaller the partitions are, and assigning the rows
    takes longer: of 30 000 sentences (MiniLM) 0.95 of the ten nearest were in the nearest 9000 by 173 partitions, and
    in 5100 by 692. Smaller tables than of 260 000 rows get fewer: they are soon read whole. So do those whose centroids
    would have `GRAPH_VALUES`.
    """
    size = max(FEWEST_ROWS_OF_PARTITION, round(math.sqrt(rows) / 2))
    without_graph = math.ceil(rows / max(1, GRAPH_VALUES // ndims - 1))
    return max(size, without_graph) if without_graph <= MOST_TIMES_LARGER * size else size


def default_sub_vectors(ndims: int) -> int:
    """Pieces that PQ cuts a vector of *ndims* numbers into: of 16 numbers, else of 8, else of the next length."""
    lengths = [16, *range(8, ndims + 1)]
    return next((ndims // length for length in lengths if length <= ndims and ndims % length == 0), 1)


def vector_columns(schema: pa.Schema) -> list[str]:
    """Columns that hold vectors of floats: one, or several, in each row."""
    kinds = ((name, vector_type(schema, name)) for name in schema.names)
    return [name for name, kind in kinds if kind is not None and pa.types.is_floating(kind.value_type)]


def vector_type(schema: pa.Schema, column: str) -> pa.FixedSizeListType | None:
    """The fixed-size list in *column*, one vector or each of several; None if it holds something else.

    Raises:
        ColumnNotFoundError: There is no such column.
    """
    kind = column_type(schema, column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return kind if pa.types.is_fixed_size_list(kind) else None


def has_several(schema: pa.Schema, column: str) -> bool:
    """Whether each row of a column of vectors has a list of them."""
    return not pa.types.is_fixed_size_list(column_type(schema, column))


def column_type(schema: pa.Schema, path: str) -> pa.DataType:
    """The type of a column, nested ones by dotted path.

    Raises:
        ColumnNotFoundError: There is no such column.
    """
    if path in schema.names:
        return schema.field(path).type
    kind = pa.struct(list(schema))
    for name in path.replace("`", "").split("."):
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            raise ColumnNotFoundError(path, schema.names)
        kind = kind.field(name).type
    return kind
