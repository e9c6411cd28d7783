"""Searches by words, in both libraries on the same data: equal rows and equal scores."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROWS = 300
VOCABULARY = [
    *("puppy", "kitten", "quick", "lazy", "running", "jumped", "house", "garden", "river", "mountain"),
    *("compress", "file", "list", "sort", "number", "café", "naïve", "the", "of", "and"),
]


class Library:
    """LanceDB, or what takes its place in a script."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.query: Any = importlib.import_module(f"{name}.query")
        self.index: Any = importlib.import_module(f"{name}.index")
        self.rerankers: Any = importlib.import_module(f"{name}.rerankers")

    def connect(self, uri: Any) -> Any:
        return importlib.import_module(self.name).connect(uri)


OURS, THEIRS = Library("lancelike"), Library("lancedb")


def rows_of(count: int = ROWS, start: int = 0) -> list[dict[str, Any]]:
    """Texts of Zipf's words, no two of equal length, and vectors."""
    rng = np.random.default_rng(start)
    weights = 1 / np.arange(1, len(VOCABULARY) + 1)
    return [
        {
            "id": i,
            "text": " ".join([*rng.choice(VOCABULARY, 4 + i % 25, p=weights / weights.sum()), f"n{i}"]),
            "title": " ".join([*rng.choice(VOCABULARY, 2 + i % 5), f"t{i}"]),
            "meta": {"note": " ".join([*rng.choice(VOCABULARY, 3 + i % 9), f"m{i}"])},
            "vector": rng.standard_normal(8).astype(np.float32).tolist(),
        }
        for i in range(start, start + count)
    ]


def table_of(library: Library, folder: Path, **settings: Any) -> Any:
    table = library.connect(str(folder / library.name)).create_table("t", rows_of())
    for column in ("text", "title", "meta.note"):
        table.create_index(column, config=library.index.FTS(with_position=True, **settings))
    return table


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Library, Any]]:
    folder = tmp_path_factory.mktemp("words")
    made = [(library, table_of(library, folder)) for library in (OURS, THEIRS)]
    for _, table in made:
        table.add(rows_of(40, start=ROWS))  # newer than the index
    return made


def match(words: str, column: str = "text", **more: Any) -> Callable[[Any], Any]:
    return lambda q: q.MatchQuery(words, column, **more)


def phrase(words: str, **more: Any) -> Callable[[Any], Any]:
    return lambda q: q.PhraseQuery(words, "text", **more)


QUERIES: dict[str, Callable[[Any], Any]] = {
    "text": lambda q: "mountain compress",
    "match": match("puppy mountain"),
    "nested": match("mountain puppy", "meta.note"),
    "stemmed": match("runs jumping"),
    "folded": match("cafe"),
    "all words": match("kitten river garden", operator="AND"),
    "boosted": match("sort list", boost=2.5),
    "stop words": match("the of and"),
    "phrase": phrase("quick lazy"),
    "loose phrase": phrase("lazy house", slop=3),
    "boost": lambda q: q.BoostQuery(match("garden")(q), match("puppy")(q), negative_boost=0.3),
    "multi match": lambda q: q.MultiMatchQuery("river sort", ["text", "title"], boosts=[1.0, 2.0]),
    "multi match, all words": lambda q: q.MultiMatchQuery("river puppy", ["text", "title"], operator="AND"),
    "must": lambda q: match("kitten")(q) & match("file")(q),
    "should": lambda q: match("number")(q) | phrase("quick lazy")(q),
    "must not": lambda q: q.BooleanQuery(
        [
            (q.Occur.MUST, match("mountain")(q)),
            (q.Occur.MUST_NOT, match("quick")(q)),
            (q.Occur.SHOULD, match("sort")(q)),
        ]
    ),
}
FUZZY: dict[str, Callable[[Any], Any]] = {
    "one letter": match("mountian puppi", fuzziness=2),
    "prefix": match("montain", fuzziness=1, prefix_length=2),
    "few expansions": match("lost", fuzziness=2, max_expansions=1),
}


def scores(rows: list[dict[str, Any]]) -> Any:
    """The score of each row, by its id; equal to others that are nearly the same."""
    return pytest.approx({row["id"]: row["_score"] for row in rows}, rel=1e-5)


@pytest.mark.parametrize("name", QUERIES)
def test_rows_and_scores(tables: list[tuple[Library, Any]], name: str) -> None:
    ours, theirs = (
        table.search(QUERIES[name](library.query), query_type="fts").limit(500).to_list() for library, table in tables
    )
    assert scores(ours) == {row["id"]: row["_score"] for row in theirs}
    assert [row["_score"] for row in ours] == pytest.approx([row["_score"] for row in theirs], rel=1e-5)
    assert len(ours) > 0 or name == "stop words"
    assert all(one == {**other, "_score": one["_score"]} for one, other in _paired(ours, theirs))


def _paired(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    others = {row["id"]: row for row in theirs}
    return [(row, others[row["id"]]) for row in ours]


@pytest.mark.parametrize("name", FUZZY)
def test_fuzzy_words(tables: list[tuple[Library, Any]], name: str) -> None:
    ours, theirs = (
        table.search(FUZZY[name](library.query)).fast_search().limit(500).to_list() for library, table in tables
    )
    assert scores(ours) == {row["id"]: row["_score"] for row in theirs}
    assert len(ours) > 0


@pytest.mark.parametrize("prefilter", [True, False])
def test_filters_columns_and_pages(tables: list[tuple[Library, Any]], prefilter: bool) -> None:
    found = []
    for _, table in tables:
        query = table.search("mountain compress", query_type="fts", fts_columns="text").where("id > 200", prefilter)
        found.append(query.select({"double": "id * 2"}).limit(20).offset(3).to_list())
    assert [row.keys() for row in found[0]] == [row.keys() for row in found[1]]
    assert [row["_score"] for row in found[0]] == pytest.approx([row["_score"] for row in found[1]], rel=1e-5)


def reranker_of(library: Library, name: str, **settings: Any) -> Any:
    return getattr(library.rerankers, name)(**settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("RRFReranker", {}),
        ("RRFReranker", {"K": 5}),
        ("LinearCombinationReranker", {"weight": 0.4}),
        ("MRRReranker", {}),
    ],
)
@pytest.mark.parametrize("normalize", ["score", "rank"])
def test_hybrid(tables: list[tuple[Library, Any]], name: str, settings: dict[str, Any], normalize: str) -> None:
    vector, found = rows_of(1, start=5)[0]["vector"], []
    for library, table in tables:
        query = table.search(query_type="hybrid", fts_columns="text").vector(vector).text("mountain n7 n9 river")
        found.append(query.rerank(reranker_of(library, name, **settings), normalize=normalize).limit(25).to_list())
    ours, theirs = found
    assert [row["_relevance_score"] for row in ours] == pytest.approx(
        [row["_relevance_score"] for row in theirs], rel=1e-5, abs=1e-6
    )
    lowest = ours[-1]["_relevance_score"]  # of the rows with the lowest score, either may keep others
    sure = [{row["id"] for row in rows if row["_relevance_score"] > lowest * 1.0001} for rows in found]
    assert sure[0] == sure[1]
    assert ours[0].keys() == theirs[0].keys()


@pytest.mark.parametrize(
    "settings",
    [
        {"base_tokenizer": "whitespace", "lower_case": False, "stem": False},
        {"base_tokenizer": "ngram", "ngram_min_length": 2, "ngram_max_length": 4, "prefix_only": True},
        {"base_tokenizer": "icu"},
        {"language": "French", "ascii_folding": False},
        {"custom_stop_words": ["puppy"]},
        {"max_token_length": 4},
        {"block_size": 256},
    ],
    ids=str,
)
def test_settings_and_tokens(tmp_path: Path, settings: dict[str, Any]) -> None:
    tables = [table_of(library, tmp_path, **settings) for library in (OURS, THEIRS)]
    for text in ("The puppies of Café mountain", "compr"):
        tokens = [[(token.text, token.position) for token in table.tokenize(text, column="text")] for table in tables]
        assert tokens[0] == tokens[1]
    ours, theirs = (table.search("puppy café compress", query_type="fts").limit(400).to_list() for table in tables)
    assert scores(ours) == {row["id"]: row["_score"] for row in theirs}


def test_each_searches_the_others_index(tmp_path: Path) -> None:
    for maker, reader in ((OURS, THEIRS), (THEIRS, OURS)):
        folder = tmp_path / maker.name
        made = table_of(maker, tmp_path)
        opened = reader.connect(str(folder)).open_table("t")
        found = [table.search("mountain", query_type="fts").limit(400).to_list() for table in (made, opened)]
        assert scores(found[0]) == {row["id"]: row["_score"] for row in found[1]}
        assert {index.columns[0]: index.index_type for index in opened.list_indices()} == {
            "text": "FTS",
            "title": "FTS",
            "meta.note": "FTS",
        }
        assert opened.index_stats("text_idx").num_indexed_rows == ROWS


def test_tokens_without_a_table() -> None:
    import lancedb

    import lancelike

    for settings in ({}, {"stem": False}, {"base_tokenizer": "ngram"}, {"custom_stop_words": ["fox"]}):
        ours = [(t.text, t.position) for t in lancelike.tokenize("The quick Brown foxés", **settings)]
        theirs = [(t.text, t.position) for t in lancedb.tokenize("The quick Brown foxés", **settings)]
        assert ours == theirs


@pytest.mark.parametrize("name", ["default", "raw", "whitespace", "en_stem", "fr_stem"])
def test_older_tokenizer_names(tmp_path: Path, name: str) -> None:
    found = []
    for library in (OURS, THEIRS):
        table = library.connect(str(tmp_path / library.name)).create_table("t", rows_of(50))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table.create_fts_index("text", tokenizer_name=name)
        found.append([token.text for token in table.tokenize("The Foxes running à la carte", column="text")])
    assert found[0] == found[1]


@pytest.mark.parametrize("maker", ["lancelike", "lancedb"])
@pytest.mark.parametrize("stable", ["true", "false"])
def test_both_write_and_both_find(tmp_path: Path, maker: str, stable: str) -> None:
    """Rows that either library adds, changes, deletes and moves are found by both, through an index of either."""
    databases = {library.name: library.connect(str(tmp_path)) for library in (OURS, THEIRS)}
    options = {"new_table_enable_stable_row_ids": stable}
    texts = {i: " ".join(VOCABULARY[:10][(i * k) % 10] for k in (1, 3, 7)) for i in range(30)}
    made = databases[maker].create_table("t", _rows_with(texts), storage_options=options)
    made.create_index("text", config={"lancelike": OURS, "lancedb": THEIRS}[maker].index.FTS(stem=False))
    tables = {name: database.open_table("t") for name, database in databases.items()}
    for step, (name, what) in enumerate([(n, w) for w in ("add", "update", "merge", "delete", "move") for n in tables]):
        for table in tables.values():
            table.checkout_latest()
        table, new = tables[name], {100 + step: "puppy river", 7 + step: "quick mountain"}
        if what == "add":
            new = {100 + step: "lazy river"}
            table.add(_rows_with(new))
        elif what == "update":
            new = {9 + step: "garden river"}
            table.update(where=f"id = {9 + step}", values={"text": "garden river"})
        elif what == "merge":
            table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(_rows_with(new))
        else:
            new = {}
            if what == "delete":
                table.delete(f"id = {step}")
                del texts[step]
            else:
                table.optimize()
        texts |= new
        for table in tables.values():
            table.checkout_latest()
            for word in ("puppy", "river", "mountain", "garden"):
                found = sorted(row["id"] for row in table.search(word, query_type="fts").limit(1_000).to_list())
                assert found == sorted(i for i, text in texts.items() if word in text.split()), (step, name, what, word)


def _rows_with(texts: dict[int, str]) -> list[dict[str, Any]]:
    return [{"id": i, "text": text} for i, text in texts.items()]
