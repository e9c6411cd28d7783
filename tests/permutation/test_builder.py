"""Splits: each row in one at most, of the size asked for, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import lancelike
from lancelike.errors import ColumnNotFoundError, QueryError
from lancelike.permutation import PermutationBuilder, permutation_builder


def sizes(permutation: lancelike.Table) -> dict[int, int]:
    return dict(sorted(Counter(permutation.to_arrow()["split_id"].to_pylist()).items()))


def row_ids(permutation: lancelike.Table) -> list[int]:
    ids: list[int] = permutation.to_arrow()["row_id"].to_pylist()
    return ids


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ratios": [0.3, 0.7]}, [30, 70]),
        ({"ratios": [1 / 3, 1 / 3, 1 / 3]}, [34, 33, 33]),
        ({"ratios": [0.333, 0.1]}, [33, 10]),
        ({"counts": [10, 20]}, [10, 20]),
        ({"fixed": 3}, [33, 33, 33]),
    ],
)
@pytest.mark.parametrize("method", ["split_random", "split_sequential"])
def test_splits_have_the_sizes_asked_for(
    table: lancelike.Table, method: str, given: dict[str, Any], expected: list[int]
) -> None:
    permutation = getattr(permutation_builder(table), method)(**given).execute()
    assert list(sizes(permutation).values()) == expected
    assert len(set(row_ids(permutation))) == sum(expected)


def test_without_a_word_it_is_the_table(table: lancelike.Table) -> None:
    permutation = permutation_builder(table).execute()
    assert sizes(permutation) == {0: 100}
    assert row_ids(permutation) == table.search().with_row_id().to_arrow()["_rowid"].to_pylist()


def test_a_seed_makes_it_the_same(table: lancelike.Table) -> None:
    def split(seed: int) -> list[int]:
        return row_ids(permutation_builder(table).split_random(fixed=2, seed=seed).execute())

    assert split(1) == split(1) != split(2)
    assert split(1) != sorted(split(1))


def test_clumps_stay_together(table: lancelike.Table) -> None:
    ids = row_ids(permutation_builder(table).shuffle(seed=3, clump_size=10).execute())
    plain = row_ids(permutation_builder(table).execute())
    clumps = [ids[start : start + 10] for start in range(0, 100, 10)]
    assert sorted(clumps) == [plain[start : start + 10] for start in range(0, 100, 10)] != clumps


def test_shuffling_keeps_rows_in_their_splits(table: lancelike.Table) -> None:
    plain = row_ids(permutation_builder(table).split_sequential(fixed=2).execute())
    ids = row_ids(permutation_builder(table).split_sequential(fixed=2).shuffle(seed=1).execute())
    assert sorted(ids[:50]) == plain[:50] != ids[:50]


def test_a_hash_stays_where_it_is_when_rows_come_and_go(table: lancelike.Table) -> None:
    def splits() -> dict[int, int]:
        rows = permutation_builder(table).split_hash(["id"], [1, 1], discard_weight=1).execute().to_arrow()
        return dict(zip(rows["row_id"].to_pylist(), rows["split_id"].to_pylist(), strict=True))

    before = splits()
    assert Counter(before.values()).keys() == {0, 1}
    assert 40 < len(before) < 90
    table.delete("id < 30")
    table.add([{"id": 1000, "kind": "new", "vector": [0.0, 0.0]}])
    after = splits()
    assert {row: after[row] for row in before.keys() & after.keys()} == {
        row: before[row] for row in after if row in before
    }


def test_rows_equal_in_the_hashed_columns_stay_together(table: lancelike.Table) -> None:
    rows = permutation_builder(table).split_hash(["kind"], [1, 2]).execute().to_arrow().to_pylist()
    kinds = {row["_rowid"]: row["kind"] for row in table.search().with_row_id().to_list()}
    assert len({(kinds[row["row_id"]], row["split_id"]) for row in rows}) == 5


def test_splits_are_calculated(table: lancelike.Table) -> None:
    builder = permutation_builder(table).filter("id < 10").split_calculated("id % 3", split_names=["a", "b", "c"])
    permutation = builder.execute()
    assert sizes(permutation) == {0: 4, 1: 3, 2: 3}
    assert permutation.schema.metadata == {
        b"base_version": str(table.version).encode(),
        b"split_names": b'["a", "b", "c"]',
    }


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda b: b.split_random(), "Exactly one of"),
        (lambda b: b.split_random(fixed=3, counts=[1]), "Exactly one of"),
        (lambda b: b.split_random(ratios=[0.9, 0.7]), "must sum to 1.0 or less"),
        (lambda b: b.split_random(fixed=0), "at least one split"),
        (lambda b: b.split_sequential(counts=[100, 20]), "specified 120 rows but only 100 are available"),
        (lambda b: b.split_calculated("kind"), "gives string"),
        (lambda b: b.split_calculated("id - 5"), "gives -5"),
        (lambda b: b.split_hash(["id"], [0, 0]), "not all of them 0"),
        (lambda b: b.shuffle(clump_size=0), "clump_size"),
    ],
)
def test_what_makes_no_splits_is_refused(table: lancelike.Table, ask: Any, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        ask(PermutationBuilder(table)).execute()


def test_columns_that_are_not_there_are_named(table: lancelike.Table) -> None:
    with pytest.raises(ColumnNotFoundError, match="nope"):
        permutation_builder(table).split_hash(["nope"], [1]).execute()
    with pytest.raises(ColumnNotFoundError, match="nope"):
        permutation_builder(table).filter("nope > 1").execute()


def test_no_rows_make_no_splits(table: lancelike.Table) -> None:
    assert len(permutation_builder(table).filter("id < 0").split_hash(["id"], [1, 1]).execute()) == 0
