"""Nearest rows: exact against numpy, through an index by recall, and everything that shapes the answer."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.query import ColumnOrdering
from lancelike.schema.model import LanceModel
from lancelike.schema.vector import Vector
from lancelike.storage.dataset import Dataset

from .conftest import NDIMS, ROWS, Make, search, squared_distances, vectors_column

Float32 = NDArray[np.float32]


def nearest(vectors: Float32, query: Float32, k: int = 10) -> list[int]:
    return np.argsort(squared_distances(vectors, query), kind="stable")[:k].tolist()  # type: ignore[no-any-return]


def index(dataset: Dataset, metric: str = "l2", kind: str = "IVF_FLAT", **options: Any) -> None:
    dataset.lance.create_index("vector", kind, metric=metric, **{"num_partitions": 4, **options})
    dataset.refresh()


def test_the_nearest_rows_with_their_distances(docs: Dataset, vectors: Float32) -> None:
    rows = search(docs, vectors[3]).limit(5).to_arrow()
    assert rows.column_names == ["id", "text", "vector", "_distance"]
    assert rows["id"].to_pylist() == nearest(vectors, vectors[3], 5)
    expected = np.sort(squared_distances(vectors, vectors[3]))[:5]
    np.testing.assert_allclose(rows["_distance"].to_numpy(), expected, atol=1e-5)


def test_ten_by_default(docs: Dataset, vectors: Float32) -> None:
    assert search(docs, vectors[3].tolist()).to_arrow()["id"].to_pylist() == nearest(vectors, vectors[3])


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_distances_as_defined(docs: Dataset, vectors: Float32, metric: str) -> None:
    query = vectors[5] * 2
    dots = vectors @ query
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    expected = np.sort(1 - (dots / norms if metric == "cosine" else dots))[:10]
    rows = search(docs, query).distance_type(metric).to_arrow()
    np.testing.assert_allclose(rows["_distance"].to_numpy(), expected, atol=1e-5)


def test_select_brings_the_distance_and_says_nothing(
    docs: Dataset, vectors: Float32, capfd: pytest.CaptureFixture[str]
) -> None:
    query = search(docs, vectors[0])
    assert query.select(["text", "id"]).to_arrow().column_names == ["text", "id", "_distance"]
    assert query.select(["_distance", "id"]).to_arrow().column_names == ["_distance", "id"]
    assert query.select({"n": "id + 1"}).limit(1).to_list() == [{"n": 1, "_distance": 0.0}]
    assert query.select(["id"]).with_row_id().to_arrow().column_names == ["id", "_distance", "_rowid"]
    assert query.explain_plan()
    assert capfd.readouterr().err == ""


def test_offset_goes_on_where_limit_ended(docs: Dataset, vectors: Float32) -> None:
    rows = search(docs, vectors[3]).limit(3).offset(2).to_arrow()
    assert rows["id"].to_pylist() == nearest(vectors, vectors[3])[2:5]


def test_prefilter_fills_the_limit_and_postfilter_does_not(docs: Dataset, vectors: Float32) -> None:
    ranked = nearest(vectors, vectors[3], ROWS)
    pre = search(docs, vectors[3]).where("id > 100").limit(5).to_arrow()["id"].to_pylist()
    post = search(docs, vectors[3]).where("id > 100", prefilter=False).limit(5).to_arrow()["id"].to_pylist()
    assert pre == [i for i in ranked if i > 100][:5]
    assert post == [i for i in ranked[:5] if i > 100]


def test_distance_range_has_its_lower_bound_and_not_its_upper(docs: Dataset, vectors: Float32) -> None:
    distances = search(docs, vectors[3]).limit(10).to_arrow()["_distance"].to_pylist()
    inside = search(docs, vectors[3]).distance_range(distances[2], distances[6]).limit(10).to_arrow()
    assert inside["_distance"].to_pylist() == distances[2:6]
    below = search(docs, vectors[3]).distance_range(upper_bound=distances[2]).to_arrow()
    assert below["_distance"].to_pylist() == distances[:2]


def test_order_by_sorts_the_nearest(docs: Dataset, vectors: Float32) -> None:
    query = search(docs, vectors[3]).limit(5).order_by([ColumnOrdering(column_name="id")]).select(["text"])
    assert query.to_arrow()["text"].to_pylist() == [f"text {i}" for i in sorted(nearest(vectors, vectors[3], 5))]


def test_batches_hold_at_most_what_was_asked(docs: Dataset, vectors: Float32) -> None:
    assert [batch.num_rows for batch in search(docs, vectors[3]).to_batches(4)] == [4, 4, 2]


def test_several_queries_each_get_their_rows(docs: Dataset, vectors: Float32) -> None:
    rows = search(docs, vectors[:3]).limit(4).to_arrow()
    assert rows.column_names == ["query_index", "id", "text", "vector", "_distance"]
    for i in range(3):
        own = rows.filter(pa.compute.equal(rows["query_index"], i))
        assert own["id"].to_pylist() == nearest(vectors, vectors[i], 4)


def test_one_query_in_a_list_is_still_a_list(docs: Dataset, vectors: Float32) -> None:
    assert search(docs, [vectors[0]]).limit(2).to_arrow()["query_index"].to_pylist() == [0, 0]


def test_several_queries_each_skip_their_own_offset(docs: Dataset, vectors: Float32) -> None:
    query = search(docs, vectors[:3]).limit(2).offset(3).select(["id"])
    rows = query.to_arrow()
    assert rows["query_index"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert rows["id"].to_pylist() == [i for q in vectors[:3] for i in nearest(vectors, q, 5)[3:]]
    assert query.to_batches(4).read_all() == rows
    assert query.output_schema() == rows.schema


def test_several_queries_through_an_index_and_a_filter(docs: Dataset, vectors: Float32) -> None:
    index(docs)
    rows = search(docs, vectors[:2]).where("id >= 100").limit(3).select(["id"]).nprobes(4).to_arrow()
    expected = [i for q in vectors[:2] for i in nearest(vectors, q, ROWS) if i >= 100]
    assert rows["id"].to_pylist() == expected[:3] + [i for i in nearest(vectors, vectors[1], ROWS) if i >= 100][:3]


def test_another_metric_than_the_index_has_is_computed_exactly(
    docs: Dataset, vectors: Float32, capfd: pytest.CaptureFixture[str]
) -> None:
    index(docs, "cosine")
    assert "metric=Cosine" in search(docs, vectors[3]).explain_plan()
    exact = search(docs, vectors[3]).distance_type("l2")
    assert "KNNVectorDistance: metric=l2" in exact.explain_plan()
    assert exact.to_arrow()["id"].to_pylist() == nearest(vectors, vectors[3])
    assert capfd.readouterr().err == ""


def test_bypassing_the_index_keeps_its_metric(docs: Dataset, vectors: Float32) -> None:
    index(docs, "cosine")
    plan = search(docs, vectors[3]).bypass_vector_index().explain_plan()
    assert "KNNVectorDistance: metric=cosine" in plan


def test_an_index_made_later_is_noticed(docs: Dataset, vectors: Float32) -> None:
    assert "ANN" not in search(docs, vectors[3]).explain_plan()
    index(docs, "cosine")
    assert "metric=Cosine" in search(docs, vectors[3]).explain_plan()


def test_rows_newer_than_the_index_are_found_unless_fast_search(docs: Dataset, vectors: Float32) -> None:
    index(docs)
    new = pa.table({"id": [999], "text": ["new"], "vector": vectors_column(vectors[:1] + 9)})
    docs.append(new.to_reader())
    assert search(docs, vectors[0] + 9).limit(1).to_arrow()["id"].to_pylist() == [999]
    assert search(docs, vectors[0] + 9).fast_search().limit(1).to_arrow()["id"].to_pylist() != [999]


def test_fast_search_without_use_of_an_index_leaves_out_nothing(docs: Dataset, vectors: Float32) -> None:
    assert len(search(docs, vectors[0]).fast_search().to_list()) == 10
    index(docs, "cosine")
    for query in (search(docs, vectors[0]).bypass_vector_index(), search(docs, vectors[0]).metric("l2")):
        assert len(query.fast_search().to_list()) == 10


@pytest.mark.parametrize("vector", [np.zeros(NDIMS), np.stack([np.ones(NDIMS), np.zeros(NDIMS)])])
def test_zeros_have_no_cosine(docs: Dataset, vector: Any) -> None:
    with pytest.raises(QueryError, match="no cosine distance"):
        search(docs, vector).distance_type("cosine").to_list()
    assert search(docs, vector).to_list()


def test_rows_without_a_vector_are_not_found(make: Make, vectors: Float32) -> None:
    column = pa.array([None, vectors[0].tolist()], pa.list_(pa.float32(), NDIMS))
    assert search(make(pa.table({"id": [1, 2], "vector": column})), vectors[0]).to_arrow()["id"].to_pylist() == [2]


def test_an_empty_table(make: Make, vectors: Float32) -> None:
    table = make(pa.table({"id": pa.array([], pa.int64()), "vector": vectors_column(vectors[:0])}))
    assert search(table, vectors[0]).to_list() == []
    rows = search(table, vectors[:2]).offset(1).to_arrow()
    assert rows.num_rows == 0
    assert rows.column_names == ["query_index", "id", "vector", "_distance"]


def test_recall_through_an_index(make: Make) -> None:
    """Recall@10 of IVF_PQ with refinement on 4000 clustered vectors, seed 11: at least 0.95."""
    rng = np.random.default_rng(11)
    centers = rng.normal(size=(40, 32))
    stored = (centers[rng.integers(0, 40, 4000)] + rng.normal(scale=0.4, size=(4000, 32))).astype(np.float32)
    queries = (stored[rng.integers(0, 4000, 50)] + rng.normal(scale=0.1, size=(50, 32))).astype(np.float32)
    dataset = make(pa.table({"id": range(4000), "vector": vectors_column(stored)}))
    index(dataset, kind="IVF_PQ", num_partitions=16, num_sub_vectors=8)
    builder = search(dataset, queries).nprobes(8).refine_factor(10).select(["id"])
    found = builder.to_arrow()["id"].to_numpy().reshape(50, 10)
    hits = [len(set(found[i]) & set(nearest(stored, queries[i]))) for i in range(50)]
    assert np.mean(hits) / 10 >= 0.95
    exact = search(dataset, queries).bypass_vector_index().select(["id"]).to_arrow()["id"].to_numpy().reshape(50, 10)
    assert np.mean([len(set(exact[i]) & set(nearest(stored, queries[i]))) for i in range(50)]) / 10 >= 0.999


def test_a_wrong_length_names_column_and_lengths(docs: Dataset, vectors: Float32) -> None:
    for column in (None, "vector"):
        for query in (vectors[0, :5], vectors[:2, :5]):
            with pytest.raises(QueryError, match=r"5(?s:.*)'vector'.* 8 values|'vector'.* 8 values.*5"):
                search(docs, query, column).to_list()


def test_a_column_that_is_not_there_or_holds_no_vectors(docs: Dataset, vectors: Float32) -> None:
    with pytest.raises(ColumnNotFoundError, match="no column 'nope'; this table has id, text, vector"):
        search(docs, vectors[0], "nope").to_list()
    with pytest.raises(QueryError, match="column 'text' holds no vectors"):
        search(docs, vectors[0], "text").to_list()


def test_the_column_is_inferred_from_the_length(make: Make, vectors: Float32) -> None:
    wide, narrow = vectors_column(vectors), vectors_column(np.ascontiguousarray(vectors[:, :4]))
    both = make(pa.table({"wide": wide, "narrow": narrow}))
    assert "metric=l2" in search(both, vectors[0, :4]).explain_plan()
    assert search(both, vectors[0, :4]).limit(1).to_arrow()["narrow"].to_pylist() == [vectors[0, :4].tolist()]
    twins = make(pa.table({"a": wide, "b": wide}))
    with pytest.raises(QueryError, match=r"specify the vector column name.*Candidates: \['a', 'b'\]"):
        search(twins, vectors[0]).to_list()
    assert len(search(twins, vectors[0], "b").to_list()) == 10
    with pytest.raises(QueryError, match="There is no vector column in the data"):
        search(make(pa.table({"id": [1]})), vectors[0]).to_list()


@pytest.mark.parametrize("kind", [pa.list_(pa.int8(), 8), pa.list_(pa.float32()), pa.list_(pa.int64(), 8)])
def test_lists_that_are_no_vectors_are_named(make: Make, vectors: Float32, kind: pa.DataType) -> None:
    table = make(pa.table({"id": [1], "v": pa.array([[1] * 8], kind), "tags": [["a"]]}))
    told = rf"column 'v' is {re.escape(str(kind))}, and vectors are lists of one length of float16"
    with pytest.raises(QueryError, match=f"There is no vector column in the data: {told}") as raised:
        search(table, vectors[0]).to_list()
    assert "tags" not in str(raised.value)
    with pytest.raises(QueryError, match=f"column 'v' holds no vectors: {told}"):
        search(table, vectors[0], "v").to_list()


def test_a_vector_inside_a_struct(make: Make, vectors: Float32) -> None:
    inner = pa.StructArray.from_arrays([vectors_column(vectors), pa.array(range(ROWS))], names=["v", "n"])
    nested = make(pa.table({"s": inner}))
    rows = search(nested, vectors[4]).select(["s.n"]).limit(2).to_arrow()
    assert rows.column(0).to_pylist() == nearest(vectors, vectors[4], 2)


def test_the_rows_of_a_multivector_column_take_several_vectors_as_one_query(make: Make) -> None:
    rng = np.random.default_rng(3)
    parts = rng.normal(size=(20, 3, NDIMS)).astype(np.float32)
    kind = pa.list_(pa.list_(pa.float32(), NDIMS))
    table = make(pa.table({"id": range(20), "vector": pa.array(parts.tolist(), kind)}))
    rows = search(table, parts[6, :2]).distance_type("cosine").limit(2).select(["id"]).to_arrow()
    assert rows.column_names == ["id", "_distance"]
    assert rows["id"].to_pylist()[0] == 6
    assert search(table, parts[6, 1]).distance_type("cosine").limit(1).to_arrow()["id"].to_pylist() == [6]
    with pytest.raises(QueryError, match="holds vectors of 8 values; the query has 4"):
        search(table, parts[6, :2, :4], "vector").to_list()


def test_bytes_are_ranked_by_hamming(make: Make) -> None:
    bits = np.random.default_rng(4).integers(0, 256, (50, NDIMS)).astype(np.uint8)
    table = make(pa.table({"id": range(50), "vector": vectors_column(bits)}))
    expected = np.sort(np.bitwise_count(bits ^ bits[9]).sum(axis=1))[:10]
    assert search(table, bits[9]).to_arrow()["_distance"].to_pylist() == expected.tolist()
    with pytest.raises(QueryError, match="hamming"):
        search(make(pa.table({"vector": vectors_column(bits.astype(np.float32))})), bits[0]).metric("hamming").to_list()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_widths_of_float(make: Make, vectors: Float32, dtype: Any) -> None:
    table = make(pa.table({"id": range(ROWS), "vector": vectors_column(vectors.astype(dtype))}))
    assert search(table, vectors[8]).limit(1).to_arrow()["id"].to_pylist() == [8]


class Doc(LanceModel):
    id: int
    text: str
    vector: Vector(NDIMS) = None  # type: ignore[valid-type]  # a type made by a call


def test_results_as_models_and_frames(docs: Dataset, vectors: Float32) -> None:
    query = search(docs, vectors[3]).limit(2)
    ids = nearest(vectors, vectors[3], 2)
    models = query.to_pydantic(Doc)
    assert [(doc.id, doc.text) for doc in models] == [(i, f"text {i}") for i in ids]
    np.testing.assert_array_equal(models[0].vector, vectors[3])
    assert query.to_pandas()["id"].tolist() == ids
    assert query.to_polars()["id"].to_list() == ids
    assert [row["id"] for row in query.to_list()] == ids


def test_plans(docs: Dataset, vectors: Float32) -> None:
    query = search(docs, vectors[:2])
    assert "queries=2" in query.explain_plan(verbose=True)
    assert "output_rows" in query.analyze_plan()
    assert query.output_schema().names == ["query_index", "id", "text", "vector", "_distance"]
