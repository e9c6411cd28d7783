"""Rerankers that make one list of several from places and scores alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lancelike
from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.rerankers import LinearCombinationReranker, MRRReranker, Reranker, RRFReranker
from lancelike.rerankers.base import check_reranker_result

from .conftest import fts_rows, scores_by_row, vector_rows

ROW_IDS = st.lists(st.integers(1, 5), unique=True, max_size=5)
FUSIONS = (RRFReranker(), MRRReranker(), LinearCombinationReranker())


def test_rrf_adds_the_reciprocal_places(nearest: pa.Table, matching: pa.Table) -> None:
    found = scores_by_row(RRFReranker().rerank_hybrid("", nearest, matching))
    assert list(found) == [2, 1, 4, 3]
    assert found == pytest.approx({2: 1 / 62 + 1 / 61, 1: 1 / 61 + 1 / 63, 4: 1 / 62, 3: 1 / 63})


def test_rrf_with_another_constant(nearest: pa.Table, matching: pa.Table) -> None:
    found = scores_by_row(RRFReranker(K=1).rerank_hybrid("", nearest, matching))
    assert found == pytest.approx({2: 1 / 3 + 1 / 2, 1: 1 / 2 + 1 / 4, 4: 1 / 3, 3: 1 / 4})


def test_mrr_weighs_the_reciprocal_places(nearest: pa.Table, matching: pa.Table) -> None:
    found = scores_by_row(MRRReranker(weight_vector=0.8, weight_fts=0.2).rerank_hybrid("", nearest, matching))
    assert found == pytest.approx({1: 0.8 + 0.2 / 3, 2: 0.4 + 0.2, 3: 0.8 / 3, 4: 0.1})
    assert list(found) == [1, 2, 3, 4]


def test_linear_combination_weighs_the_scores(nearest: pa.Table, matching: pa.Table) -> None:
    found = scores_by_row(LinearCombinationReranker(weight=0.7, fill=0.9).rerank_hybrid("", nearest, matching))
    assert found == pytest.approx(
        {1: 0.7 * 0.9 + 0.3 * 0.7, 2: 0.7 * 0.8 + 0.3 * 0.9, 3: 0.7 * 0.7 + 0.3 * 0.1, 4: 0.7 * 0.1 + 0.3 * 0.8}
    )
    assert list(found) == [1, 2, 3, 4]


@pytest.mark.parametrize("reranker", FUSIONS, ids=str)
def test_one_empty_list(reranker: Reranker, nearest: pa.Table, matching: pa.Table) -> None:
    assert scores_by_row(reranker.rerank_hybrid("", nearest, matching[:0])).keys() == {1, 2, 3}
    assert scores_by_row(reranker.rerank_hybrid("", nearest[:0], matching)).keys() == {1, 2, 4}


@pytest.mark.parametrize("reranker", FUSIONS, ids=str)
def test_no_rows_come_back_with_the_column(reranker: Reranker, nearest: pa.Table, matching: pa.Table) -> None:
    none = reranker.rerank_hybrid("", nearest[:0], matching[:0])
    assert none.num_rows == 0
    assert {"text", "_rowid", "_relevance_score"} == set(none.column_names)
    assert "_relevance_score" in reranker.rerank_vector("", nearest[:0]).column_names
    assert "_relevance_score" in reranker.rerank_fts("", matching[:0]).column_names


@pytest.mark.parametrize("reranker", FUSIONS, ids=str)
def test_one_list_keeps_its_order(reranker: Reranker, nearest: pa.Table, matching: pa.Table) -> None:
    assert list(scores_by_row(reranker.rerank_vector("", nearest))) == [1, 2, 3]
    assert list(scores_by_row(reranker.rerank_fts("", matching))) == [2, 4, 1]
    without_ids = reranker.rerank_vector("", nearest.drop_columns(["_rowid"]))
    assert without_ids["text"].to_pylist() == ["apple pie", "apple tart", "beef stew"]


@pytest.mark.parametrize("kind", [RRFReranker, MRRReranker, LinearCombinationReranker])
def test_all_scores_are_kept_when_asked_for(kind: type[Reranker], nearest: pa.Table, matching: pa.Table) -> None:
    found = kind(return_score="all").rerank_hybrid("", nearest, matching)
    rows = {row["_rowid"]: (row["_distance"], row["_score"]) for row in found.to_pylist()}
    assert rows == {
        1: (pytest.approx(0.1), pytest.approx(0.7)),
        2: (pytest.approx(0.2), pytest.approx(0.9)),
        3: (pytest.approx(0.3), None),
        4: (None, pytest.approx(0.8)),
    }
    assert kind().rerank_hybrid("", nearest, matching).column_names == ["text", "_rowid", "_relevance_score"]


def test_ties_stay_in_the_order_of_the_first_list() -> None:
    found = RRFReranker().rerank_hybrid("", vector_rows([5, 3, 1]), fts_rows([4, 2]))
    assert found["_rowid"].to_pylist() == [5, 4, 3, 2, 1]


@given(vector=ROW_IDS, fts=ROW_IDS)
def test_each_row_once_and_in_order(vector: list[int], fts: list[int]) -> None:
    for reranker in FUSIONS:
        found = reranker.rerank_hybrid("", vector_rows(vector), fts_rows(fts))
        assert sorted(found["_rowid"].to_pylist()) == sorted({*vector, *fts})
        assert np.all(np.diff(found["_relevance_score"].to_numpy()) <= 0)
        assert found["_relevance_score"].null_count == 0


@given(vector=ROW_IDS, fts=ROW_IDS)
def test_rrf_does_not_mind_which_list_is_which(vector: list[int], fts: list[int]) -> None:
    one = scores_by_row(RRFReranker().rerank_hybrid("", vector_rows(vector), fts_rows(fts)))
    other = scores_by_row(RRFReranker().rerank_hybrid("", vector_rows(fts), fts_rows(vector)))
    assert one == pytest.approx(other)


def test_several_searches_make_one_list(nearest: pa.Table) -> None:
    other = vector_rows([4, 1])
    assert scores_by_row(RRFReranker().rerank_multivector([nearest, other])) == pytest.approx(
        {1: 1 / 61 + 1 / 62, 4: 1 / 61, 2: 1 / 62, 3: 1 / 63}
    )
    assert scores_by_row(MRRReranker().rerank_multivector([nearest, other])) == pytest.approx(
        {1: (1 + 1 / 2) / 2, 4: 1 / 2, 2: 1 / 4, 3: 1 / 6}
    )


def test_searches_are_run(tmp_path: Path) -> None:
    rows = [{"id": i, "vector": [float(i), 0.0], "other": [0.0, float(i)]} for i in range(5)]
    schema = pa.schema(
        [("id", pa.int64()), ("vector", pa.list_(pa.float32(), 2)), ("other", pa.list_(pa.float32(), 2))]
    )
    table = lancelike.connect(tmp_path).create_table("t", rows, schema=schema)
    one = table.search([0.0, 0.0], vector_column_name="vector").limit(2).with_row_id()
    other = table.search([0.0, 4.0], vector_column_name="other").limit(2).with_row_id()
    assert RRFReranker().rerank_multivector([one, other])["id"].to_pylist() == [0, 4, 1, 3]
    assert RRFReranker().rerank_multivector(one)["id"].to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([], "must not be empty"),
        ([vector_rows([1]).drop_columns(["_rowid"])], "'_rowid' is required for deduplication"),
        (["apple"], "should be tables or searches"),
        ([vector_rows([1]), "apple"], "same type"),
    ],
)
def test_results_that_cannot_be_joined(results: Any, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        RRFReranker().rerank_multivector(results)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RRFReranker(K=0), "K must be greater than 0, got 0"),
        (lambda: MRRReranker(1.5, -0.5), "weight_vector must be between"),
        (lambda: MRRReranker(0.5, 0.2), "must equal 1.0"),
        (lambda: LinearCombinationReranker(weight=2), "weight must be between"),
        (lambda: RRFReranker(return_score="some"), "either 'relevance' or 'all'"),
    ],
)
def test_settings_out_of_range(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert isinstance(caught.value, QueryError)


def test_a_score_that_is_missing_is_named(nearest: pa.Table) -> None:
    with pytest.raises(ColumnNotFoundError, match="no column '_score'; this table has text"):
        LinearCombinationReranker().rerank_fts("", nearest)


class Longest(Reranker):
    """As LanceDB's users write one."""

    def __init__(self, boost: float = 1.0, return_score: str = "relevance") -> None:
        super().__init__(return_score)
        self.boost = boost

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        combined = self._merge_and_keep_scores(vector_results, fts_results)
        scores = [self.boost * len(text) for text in combined["text"].to_pylist()]
        combined = combined.append_column("_relevance_score", pa.array(scores, type=pa.float32()))
        return self._keep_relevance_score(combined).sort_by([("_relevance_score", "descending")])


def test_a_reranker_of_ones_own(nearest: pa.Table, matching: pa.Table) -> None:
    found = Longest(boost=2.0).rerank_hybrid("", nearest, matching)
    assert found["text"].to_pylist() == ["noodle soup", "apple tart", "apple pie", "beef stew"]
    assert check_reranker_result(found) is found
    assert str(Longest()) == "Longest"
    with pytest.raises(NotImplementedError, match="Longest does not implement rerank_vector"):
        Longest().rerank_vector("", nearest)
    with pytest.raises(NotImplementedError, match="Longest does not implement rerank_fts"):
        Longest().rerank_fts("", matching)


def test_what_a_reranker_must_return(nearest: pa.Table) -> None:
    with pytest.raises(TypeError, match=r"must return a pyarrow.Table, got list"):
        check_reranker_result([])
    with pytest.raises(QueryError, match="column named `_relevance_score`; this one has text"):
        check_reranker_result(nearest)
