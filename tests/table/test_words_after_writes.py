"""Whatever is written, in whatever order, a search by words finds the rows that have them, and no others."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

import lancelike
from lancelike.index import FTS
from lancelike.query import BooleanQuery, FullTextQuery, MatchQuery, Occur, PhraseQuery

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta"]
PLAIN = FTS(with_position=True, stem=False, remove_stop_words=False)
Rows = dict[int, str]


class Written:
    """A table with a full-text index, and a dict of its texts by id."""

    def __init__(self, seed: int, stable: bool) -> None:
        self.random = random.Random(seed)
        options = {"new_table_enable_stable_row_ids": str(stable).lower()}
        self.texts: Rows = {i: self.text() for i in range(20)}
        rows = [{"id": i, "text": text, "n": 0} for i, text in self.texts.items()]
        self.table = lancelike.connect("memory://").create_table("t", rows, storage_options=options)
        self.reindex()

    def text(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, 4)))

    def some(self) -> int:
        return self.random.choice([*self.texts, 0])

    def new(self) -> Rows:
        first = max(self.texts, default=0) + 1
        return {first + i: self.text() for i in range(self.random.randint(1, 5))}

    def add(self) -> None:
        new = self.new()
        self.table.add([{"id": i, "text": text, "n": 0} for i, text in new.items()])
        self.texts |= new

    def update(self) -> None:
        i, text = self.some(), self.text()
        self.table.update(where=f"id = {i}", values={"text": text})
        if i in self.texts:
            self.texts[i] = text

    def update_another_column(self) -> None:
        self.table.update(where=f"id <= {self.some()}", values={"n": 1})

    def delete(self) -> None:
        i = self.some()
        self.table.delete(f"id = {i}")
        self.texts.pop(i, None)

    def merge(self) -> None:
        new = {**self.new(), self.some(): self.text()}
        merge = self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute([{"id": i, "text": text, "n": 2} for i, text in new.items()])
        self.texts |= new

    def optimize(self) -> None:
        self.table.optimize()

    def compact(self) -> None:
        self.table.compact_files()

    def reindex(self) -> None:
        self.table.create_index("text", config=PLAIN)

    def found(self, query: FullTextQuery) -> list[int]:
        return sorted(row["id"] for row in self.table.search(query).limit(1_000).to_list())

    def expected(self, has: Callable[[list[str]], bool]) -> list[int]:
        return sorted(i for i, text in self.texts.items() if has(text.split()))

    def check(self) -> None:
        one, other = self.random.sample(WORDS, 2)
        a, b = MatchQuery(one, "text"), MatchQuery(other, "text")
        assert self.found(a) == self.expected(lambda words: one in words)
        assert self.found(a & b) == self.expected(lambda words: {one, other} <= set(words))
        without = BooleanQuery([(Occur.MUST, a), (Occur.MUST_NOT, b)])
        assert self.found(without) == self.expected(lambda words: one in words and other not in words)
        phrase = PhraseQuery(f"{one} {other}", "text")
        assert self.found(phrase) == self.expected(lambda words: (one, other) in pairwise(words))


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_random_writes(seed: int, stable: bool) -> None:
    written = Written(seed, stable)
    operations = [
        *(written.add, written.update, written.update_another_column, written.delete, written.merge),
        *(written.optimize, written.compact, written.reindex),
    ]
    for _ in range(25):
        written.random.choice(operations)()
        written.check()
