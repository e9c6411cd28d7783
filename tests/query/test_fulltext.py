"""Full-text queries as values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lancelike.errors import QueryError
from lancelike.query import (
    BooleanQuery,
    BoostQuery,
    DocumentGranularity,
    FullTextOperator,
    FullTextQuery,
    FullTextQueryType,
    FullTextSearchQuery,
    MatchQuery,
    MultiMatchQuery,
    Occur,
    PhraseQuery,
    Query,
    query_from,
)
from lancelike.query.fulltext import as_phrase, full_text_search, searched_columns, words
from lancelike.query.ranked import FtsQueryBuilder, HybridQueryBuilder, VectorQueryBuilder
from lancelike.rerankers import RRFReranker

A, B = MatchQuery("a", "t"), MatchQuery("b", "u")


def test_json_as_lance_reads_it() -> None:
    assert MatchQuery("puppy", "text", fuzziness=2).to_json() == (
        '{"match":{"column":"text","terms":"puppy","boost":1.0,"fuzziness":2,"max_expansions":50,"operator":"Or",'
        '"prefix_length":0}}'
    )
    assert PhraseQuery("a b", "t", slop=2).to_json() == '{"phrase":{"column":"t","terms":"a b","slop":2}}'
    multi = MultiMatchQuery("a", ["t", "u"], boosts=[1, 2])
    assert multi.to_json() == '{"multi_match":{"query":"a","columns":["t","u"],"boost":[1.0,2.0]}}'
    assert json.loads(BoostQuery(A, B).to_json()) == {
        "boost": {"positive": A.to_dict(), "negative": B.to_dict(), "negative_boost": 0.5}
    }
    both = BooleanQuery([(Occur.MUST, A), (Occur.MUST_NOT, B)])
    assert json.loads(both.to_json()) == {
        "boolean": {"should": [], "must": [A.to_dict()], "must_not": [B.to_dict()]},
    }
    by_element = MatchQuery("a", "t", document_granularity=DocumentGranularity.LIST_ELEMENT)
    assert json.loads(by_element.to_json())["match"]["document_granularity"] == "list_element"
    assert "fünf" in MatchQuery("fünf", "t").to_json()


def test_and_and_or() -> None:
    assert BooleanQuery([(Occur.MUST, A), (Occur.MUST, B)]) == (A & B)
    assert BooleanQuery([(Occur.SHOULD, A), (Occur.SHOULD, B)]) == (A | B)


def test_words_for_choices_are_enough() -> None:
    query = MatchQuery("a", "t", operator="AND")  # type: ignore[arg-type]  # as scripts write it
    assert query.operator is FullTextOperator.AND
    assert BooleanQuery([("MUST", A)]) == BooleanQuery([(Occur.MUST, A)])  # type: ignore[list-item]


def test_kinds() -> None:
    queries = [A, PhraseQuery("a", "t"), BoostQuery(A, B), MultiMatchQuery("a", ["t"]), A & B]
    assert [query.query_type() for query in queries] == list(FullTextQueryType)


def test_the_repr_tells_all() -> None:
    assert repr(PhraseQuery("a b", "t", slop=1)) == (
        "PhraseQuery(query='a b', column='t', slop=1, document_granularity=None)"
    )


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: MatchQuery(3, "t"), "query must be a string, got 3"),  # type: ignore[arg-type]
        (lambda: MatchQuery("a", None), "column must be a string"),  # type: ignore[arg-type]
        (lambda: MatchQuery("a", "t", fuzziness=-1), "fuzziness must be a whole number from 0, got -1"),
        (lambda: MatchQuery("a", "t", max_expansions=True), "max_expansions"),
        (lambda: MatchQuery("a", "t", operator="NOR"), "'NOR'; there are AND, OR"),  # type: ignore[arg-type]
        (lambda: PhraseQuery("a", "t", slop=1.5), "slop"),  # type: ignore[arg-type]
        (lambda: BoostQuery(A, "b"), "must be one itself, got 'b'"),  # type: ignore[arg-type]
        (lambda: MultiMatchQuery("a", "t"), "columns must be a list of names"),
        (lambda: MultiMatchQuery("a", []), "columns must be a list of names"),
        (lambda: MultiMatchQuery("a", ["t"], boosts=[1, 2]), "as many as the 1 columns, got 2"),
        (lambda: BooleanQuery([]), "must have a MUST or a SHOULD"),
        (lambda: BooleanQuery([(Occur.MUST_NOT, A)]), "must have a MUST or a SHOULD"),
        (lambda: full_text_search("a", [1]), r"fts_columns\[0\] must be a string"),  # type: ignore[list-item]
    ],
)
def test_what_makes_no_query(make: Any, problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        make()


def test_the_words_that_a_reranker_sees() -> None:
    assert words("a b") == words('"a b"') == "a b"
    assert words(PhraseQuery("a b", "t")) == words(MultiMatchQuery("a b", ["t"])) == "a b"
    assert words(BoostQuery(A, B)) == "a"
    assert words(BooleanQuery([(Occur.MUST, A), (Occur.MUST_NOT, B), (Occur.SHOULD, MatchQuery("c", "t"))])) == "a c"


def test_where_a_query_looks() -> None:
    query = BooleanQuery([(Occur.MUST, BoostQuery(A, B)), (Occur.SHOULD, MultiMatchQuery("c", ["v", "w"]))])
    assert searched_columns(query) == {"t", "u", "v", "w"}


def test_phrases() -> None:
    assert as_phrase("a b") == as_phrase('"a b"') == '"a b"'
    assert as_phrase('"') == '"""'
    assert as_phrase(PhraseQuery("a", "t")) == PhraseQuery("a", "t")
    with pytest.raises(TypeError, match=r"phrase_query\(\) requires a string or PhraseQuery, got MatchQuery"):
        FtsQueryBuilder(query_from(A)).phrase_query()
    with pytest.raises(TypeError, match="got MatchQuery"):
        HybridQueryBuilder(query_from(None, query_type="hybrid")).phrase_query().text(A)


def test_columns_of_a_text() -> None:
    assert full_text_search("a", "t") == FullTextSearchQuery(query="a", columns=["t"])
    assert full_text_search("a").columns is None


def hybrid(search: Any = None) -> HybridQueryBuilder:
    return HybridQueryBuilder(query_from(search, query_type="hybrid", fts_columns="t"))


def test_a_hybrid_query_takes_its_parts_from_search_or_one_by_one() -> None:
    query = hybrid("words").to_query_object()
    assert (query.content, query.full_text_query) == ("words", FullTextSearchQuery(query="words", columns=["t"]))
    query = hybrid().vector([1.0, 2.0]).text("words").to_query_object()
    assert query.vector is not None
    assert query.full_text_query == FullTextSearchQuery(query="words", columns=["t"])
    query = hybrid().vector("embed me").text(A).to_query_object()
    assert (query.content, query.vector) == ("embed me", None)
    with pytest.raises(QueryError, match="You can either provide a string query in search"):
        hybrid("a").text("b")
    with pytest.raises(QueryError, match="You can either provide a string query in search"):
        hybrid([1.0]).vector([2.0])


def test_rerankers_and_what_they_compare_with() -> None:
    by_vector = VectorQueryBuilder(query_from([1.0]))
    with pytest.raises(QueryError, match=r"not a string.*query_string="):
        by_vector.rerank(RRFReranker())
    assert by_vector.rerank(RRFReranker(), query_string="x").to_query_object().query_string == "x"
    assert VectorQueryBuilder(query_from("x")).rerank(RRFReranker()).to_query_object().reranker is not None
    with pytest.raises(QueryError, match="must be an instance of Reranker class, got 'rrf'"):
        hybrid("a").rerank("rrf")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="normalize must be 'rank' or 'score', got 'no'"):
        hybrid("a").rerank(normalize="no")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="only supports string queries"):
        hybrid("a").rerank(query_string=3)  # type: ignore[arg-type]
    assert isinstance(hybrid("a").rerank().to_query_object().reranker, RRFReranker)


def test_a_ranked_query_by_words_has_a_limit() -> None:
    builder = FtsQueryBuilder(query_from("a", query_type="fts"))
    assert builder.limit(3).to_query_object().limit == 3
    assert builder.limit(None).to_query_object().limit is None
    assert builder.limit(0).to_query_object().limit is None


def test_a_word_query_is_no_vector() -> None:
    with pytest.raises(QueryError, match="a MatchQuery is no vector"):
        query_from(A, query_type="vector")
    assert isinstance(A, FullTextQuery)
    assert Query(full_text_query=full_text_search(A)).query_type == "fts"
