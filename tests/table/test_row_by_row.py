"""Tables that grow row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.index import BTree


def row(number: int) -> dict[str, Any]:
    return {"id": number, "text": f"text {number}", "vector": [float(number), 1.0]}


def fragments(table: lancelike.table.LanceTable) -> int:
    return table.stats().fragment_stats.num_fragments


def test_fragments_stay_few(tmp_path: Path) -> None:
    table = lancelike.connect(tmp_path).create_table("t", [row(0)])
    versions = [table.add([row(number)]).version for number in range(1, 150)]
    assert fragments(table) < 50
    assert versions == sorted(set(versions))
    assert sorted(each["id"] for each in table.to_arrow().to_pylist()) == list(range(150))
    assert table.search([77.2, 1.0]).limit(1).to_list()[0]["id"] == 77
    table.checkout(versions[40])
    assert table.count_rows() == 42


def test_updates_and_upserts_of_rows_keep_them_few_too(tmp_path: Path) -> None:
    table = lancelike.connect(tmp_path).create_table("t", [row(number) for number in range(100)])
    table.create_index("id", config=BTree())
    upsert = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    for number in range(50):
        table.update(f"id = {number}", {"text": "new"})
        upsert.execute([row(number + 75)])
    assert fragments(table) < 50
    assert table.count_rows("text = 'new'") == 50
    assert sorted(table.to_arrow()["id"].to_pylist()) == list(range(125))


@pytest.mark.parametrize("policy", ["manual", "auto"])
def test_a_manual_policy_merges_none(tmp_path: Path, policy: Any) -> None:
    table = lancelike.connect(tmp_path, index_policy=policy).create_table("t", [row(0)])
    for number in range(1, 40):
        table.add([row(number)])
    assert (fragments(table) == 40) == (policy == "manual")
