"""Full-text indices and searches through the table."""

from __future__ import annotations

from pathlib import Path

import pytest

import lancelike
from lancelike.errors import ColumnNotFoundError, IndexExistsError, IndexNotFoundError, QueryError
from lancelike.index import FTS, BTree
from lancelike.lifecycle.indexing import MOST_UNINDEXED
from lancelike.query import (
    LanceEmptyQueryBuilder,
    LanceFtsQueryBuilder,
    LanceHybridQueryBuilder,
    LanceVectorQueryBuilder,
    MatchQuery,
)

from .conftest import TEXTS


@pytest.fixture
def plain(db: lancelike.DBConnection) -> lancelike.Table:
    """The five texts, with nothing that embeds them."""
    return db.create_table("plain", [{"id": i, "text": text, "vector": [i, 1.0]} for i, text in enumerate(TEXTS)])


def texts(table: lancelike.Table) -> list[str]:
    return [token.text for token in table.tokenize("The Files", column="text")]


def test_a_text_means_words_where_nothing_embeds_it(docs: lancelike.Table, plain: lancelike.Table) -> None:
    for table in (docs, plain):
        table.create_index("text", config=FTS())
    assert isinstance(docs.search("file"), LanceVectorQueryBuilder)
    assert isinstance(docs.search("file", query_type="fts"), LanceFtsQueryBuilder)
    assert isinstance(docs.search("file", query_type="hybrid"), LanceHybridQueryBuilder)
    assert isinstance(docs.search(MatchQuery("file", "text")), LanceFtsQueryBuilder)
    builder: object = plain.search("file")
    assert isinstance(builder, LanceFtsQueryBuilder)
    assert isinstance(plain.search("file", query_type="vector"), LanceVectorQueryBuilder)
    assert isinstance(plain.search(["file", "list"]), LanceVectorQueryBuilder)
    builder = plain.search(None, query_type="vector")
    assert isinstance(builder, LanceEmptyQueryBuilder)
    assert sorted(row["id"] for row in plain.search("file").to_list()) == [2, 3]
    assert {row["id"] for row in docs.search("read a file", query_type="hybrid").limit(2).to_list()} == {2, 3}


def test_the_function_of_the_column_that_is_named(docs: lancelike.Table) -> None:
    docs.add_columns({"other": "arrow_cast(vector, 'FixedSizeList(32, Float32)')"})
    docs.create_index("text", config=FTS())
    assert docs.search("file", vector_column_name="vector").to_query_object().query_type == "vector"
    assert docs.search("file", vector_column_name="other").to_query_object().query_type == "fts"


def test_an_argument_of_old(plain: lancelike.Table) -> None:
    plain.create_index("text", config=FTS())
    with pytest.warns(DeprecationWarning, match=r"ordering_field_name is deprecated; write \.order_by"):
        assert plain.search("file", ordering_field_name="id").limit(1).to_list()


def test_the_older_spelling(plain: lancelike.Table) -> None:
    with pytest.warns(DeprecationWarning, match=r"create_index\('text', config=FTS"):
        plain.create_fts_index("text", with_position=True, stem=False)
    assert texts(plain) == ["files"]
    found = plain.search("read a file", query_type="fts").phrase_query().to_list()
    assert [row["id"] for row in found] == [3]
    with (
        pytest.warns(DeprecationWarning, match="create_fts_index"),
        pytest.raises(IndexExistsError, match="already exists"),
    ):
        plain.create_fts_index("text")
    with pytest.warns(DeprecationWarning, match="create_fts_index"):
        plain.create_fts_index("text", replace=True, tokenizer_name="en_stem", name="text_idx")
    assert texts(plain) == ["the", "file"]
    with pytest.warns(DeprecationWarning, match="create_fts_index"):
        plain.create_fts_index("text", replace=True, tokenizer_name="whitespace")
    assert texts(plain) == ["The", "Files"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"field_names": ["text", "id"]}, "Native FTS indexes can only be created on a single field.*'text', 'id'"),
        ({"field_names": "text", "use_tantivy": True}, "use_tantivy was for the Tantivy-based FTS"),
        ({"field_names": "text", "ordering_field_names": ["id"]}, "ordering_field_names"),
        ({"field_names": "text", "writer_heap_size": 7}, "writer_heap_size"),
        ({"field_names": "text", "tokenizer_name": "words"}, "Invalid tokenizer name words; there are default, raw"),
        ({"field_names": "text", "tokenizer_name": "xx_stem"}, "Invalid language code xx; there are ar"),
        ({"field_names": "text", "block_size": 100}, "128 or 256"),
        ({"field_names": "text", "language": "Klingon"}, "Klingon.*English"),
        ({"field_names": "text", "base_tokenizer": "none"}, "unknown base tokenizer none"),
        ({"field_names": "text", "base_tokenizer": "jieba/none"}, "no model at .*jieba/none.*lance.download jieba"),
        ({"field_names": "id"}, "FTS index cannot be created on column 'id', which holds int64"),
    ],
)
def test_what_makes_no_index(plain: lancelike.Table, arguments: dict[str, object], says: str) -> None:
    with (
        pytest.warns(DeprecationWarning, match="create_fts_index"),
        pytest.raises(ValueError, match=says),
    ):
        plain.create_fts_index(**arguments)  # type: ignore[arg-type]
    assert plain.list_indices() == []


def test_an_index_of_tantivy(tmp_path: Path) -> None:
    plain = lancelike.connect(tmp_path).create_table("plain", [{"text": "a file"}])
    Path(plain.uri, "_indices", "fts").mkdir(parents=True)
    with pytest.raises(QueryError, match="Legacy Tantivy FTS index detected"):
        plain.search("file", query_type="fts").to_list()
    with (
        pytest.warns(DeprecationWarning, match="create_fts_index"),
        pytest.raises(QueryError, match="Legacy Tantivy FTS index detected"),
    ):
        plain.create_fts_index("text")
    plain.create_index("text", config=FTS())
    assert plain.search("file", query_type="fts").to_arrow().num_rows == 1


def test_tokens(plain: lancelike.Table) -> None:
    with pytest.raises(QueryError, match="Column 'text' does not have a full text search index: create_index"):
        plain.tokenize("a", column="text")
    plain.create_index("text", config=FTS(custom_stop_words=["fox"]), name="words")
    plain.create_index("id", config=BTree())
    tokens = plain.tokenize("a fox jumped", index_name="words")
    assert [(token.text, token.position) for token in tokens] == [("a", 0), ("jump", 2)]
    for given in ({}, {"column": "text", "index_name": "words"}):
        with pytest.raises(QueryError, match="Specify exactly one of 'column' or 'index_name'"):
            plain.tokenize("a", **given)
    with pytest.raises(ColumnNotFoundError, match="no column 'nope'"):
        plain.tokenize("a", column="nope")
    with pytest.raises(IndexNotFoundError, match="no index 'nope'; this table has id_idx, words"):
        plain.tokenize("a", index_name="nope")
    with pytest.raises(QueryError, match="'id_idx' is not a full text search index"):
        plain.tokenize("a", index_name="id_idx")
    with pytest.raises(QueryError, match="unknown base tokenizer nope"):
        lancelike.tokenize("a", base_tokenizer="nope")


def test_an_index_on_an_empty_table(db: lancelike.DBConnection) -> None:
    table = db.create_table("empty", [{"id": 0, "text": "gone"}])
    table.delete("true")
    table.create_index("text", config=FTS(stem=False))
    assert [token.text for token in table.tokenize("the files", column="text")] == ["files"]
    assert table.search("files", query_type="fts").to_list() == []
    table.add([{"id": 1, "text": "many files"}, {"id": 2, "text": "a file"}])
    assert [row["id"] for row in table.search("files", query_type="fts").to_list()] == [1]
    table.optimize()
    assert [row["id"] for row in table.search("files", query_type="fts").fast_search().to_list()] == [1]


def test_facts_about_an_index(plain: lancelike.Table) -> None:
    plain.create_index("text", config=FTS(), name="words")
    [index] = plain.list_indices()
    assert (index.name, index.index_type, index.columns) == ("words", "FTS", ["text"])
    stats = plain.index_stats("words")
    assert stats is not None
    assert (stats.index_type, stats.distance_type, stats.num_indexed_rows) == ("FTS", None, 5)
    plain.wait_for_index(["words"])
    plain.prewarm_index("words")
    plain.add([{"id": 9, "text": "one more file", "vector": [0.0, 0.0]}])
    assert plain.health().unindexed == 6  # for want of a vector index
    plain.drop_index("words")
    with pytest.raises(QueryError, match="unless an INVERTED index"):
        plain.search("file").to_list()


def test_writes_keep_it_up_to_date(db: lancelike.DBConnection) -> None:
    table = db.create_table("many", [{"id": -1, "text": "the first"}])
    table.create_index("text", config=FTS(custom_stop_words=["never"]))
    table.add([{"id": i, "text": f"word{i % 100} never"} for i in range(MOST_UNINDEXED)])
    stats = table.index_stats("text_idx")
    assert stats is not None
    assert stats.num_unindexed_rows == MOST_UNINDEXED
    table.add([{"id": MOST_UNINDEXED, "text": "the last"}])
    stats = table.index_stats("text_idx")
    assert stats is not None
    assert stats.num_unindexed_rows == 0
    assert table.search("word7", query_type="fts").fast_search().limit(1000).to_arrow().num_rows == 100
    assert table.search("never", query_type="fts").fast_search().to_list() == []
    table.add([{"id": i, "text": "later"} for i in range(MOST_UNINDEXED + 1)])
    table.optimize()
    stats = table.index_stats("text_idx")
    assert stats is not None
    assert (stats.num_unindexed_rows, stats.num_indexed_rows) == (0, 2 * MOST_UNINDEXED + 3)
    assert table.search("last", query_type="fts").to_list()[0]["id"] == MOST_UNINDEXED
    assert table.health().advice == ()


def test_words_of_updated_merged_and_deleted_rows(plain: lancelike.Table) -> None:
    plain.create_index("text", config=FTS())
    plain.update(where="id = 2", values={"text": "squeeze it"})
    merge = plain.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute(
        [{"id": 3, "text": "write it", "vector": [0.0, 1.0]}, {"id": 7, "text": "a file", "vector": [0.0, 1.0]}]
    )
    plain.delete("id = 0")
    for _ in range(2):
        assert [row["id"] for row in plain.search("file").to_list()] == [7]
        assert [row["id"] for row in plain.search("squeeze").to_list()] == [2]
        assert [row["id"] for row in plain.search("write").to_list()] == [3]
        assert plain.search("hello").to_list() == []
        plain.optimize()
