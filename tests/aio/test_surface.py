"""Whatever a blocking table or database has, the awaited one has: names, parameters, defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import lancelike
from lancelike.aio import AsyncBranches, AsyncJob, AsyncMergeInsertBuilder, AsyncTags
from lancelike.job import Job
from lancelike.merge import LanceMergeInsertBuilder
from lancelike.query import (
    AsyncFTSQuery,
    AsyncHybridQuery,
    AsyncQuery,
    AsyncTakeQuery,
    AsyncVectorQuery,
    LanceEmptyQueryBuilder,
    LanceFtsQueryBuilder,
    LanceHybridQueryBuilder,
    LanceTakeQueryBuilder,
    LanceVectorQueryBuilder,
)
from lancelike.storage import Tags
from lancelike.table.branches import Branches

FACES: list[tuple[type, type]] = [
    (lancelike.Table, lancelike.AsyncTable),
    (lancelike.DBConnection, lancelike.AsyncConnection),
    (Tags, AsyncTags),
    (Branches, AsyncBranches),
    (Job, AsyncJob),
    (LanceMergeInsertBuilder, AsyncMergeInsertBuilder),
    (LanceEmptyQueryBuilder, AsyncQuery),
    (LanceVectorQueryBuilder, AsyncVectorQuery),
    (LanceFtsQueryBuilder, AsyncFTSQuery),
    (LanceHybridQueryBuilder, AsyncHybridQuery),
    (LanceTakeQueryBuilder, AsyncTakeQuery),
]

QUERIES = ["LanceEmpty", "LanceVector", "LanceFts", "LanceHybrid", "LanceTake"]
OLDER = "an older spelling, which LanceDB's awaited face never had"
LEFT_OUT = {
    "DBConnection.read_consistency_interval": "LanceDB calls it get_read_consistency_interval() there",
    "Table.create_scalar_index": OLDER,
    "Table.create_fts_index": OLDER,
    **{f"{each}QueryBuilder.to_df": OLDER for each in QUERIES},
}
OTHER_PARAMETERS = {
    "Table.create_index": "without LanceDB's older form, which its awaited face never had",
    "DBConnection.create_table": "None stands for defaults there, as in LanceDB",
    **{f"{each}QueryBuilder.where": "LanceDB calls it predicate there" for each in QUERIES},
    **{f"{each}QueryBuilder.rerank": "the reranker may be left out there, as in LanceDB" for each in QUERIES},
}
CASES = [
    pytest.param(blocking, awaited, name, id=f"{blocking.__name__}.{name}")
    for blocking, awaited in FACES
    for name in dir(blocking)
    if not name.startswith("_")
]


@pytest.mark.parametrize(("blocking", "awaited", "name"), CASES)
def test_the_awaited_face_has(blocking: type, awaited: type, name: str) -> None:
    if f"{blocking.__name__}.{name}" in LEFT_OUT:
        assert not hasattr(awaited, name), "it is there after all: take it off the list"
        return
    assert hasattr(awaited, name)
    if f"{blocking.__name__}.{name}" not in OTHER_PARAMETERS:
        assert parameters(awaited, name).items() >= parameters(blocking, name).items()


def parameters(face: type, name: str) -> dict[str, Any]:
    """Defaults by parameter; none of a property."""
    member = inspect.getattr_static(face, name)
    if not callable(member):
        return {}
    listed = list(inspect.signature(member).parameters.values())[1:]
    return {each.name: each.default for each in listed}


def test_lancedb_paths_lead_to_them() -> None:
    from lancelike.arrow import AsyncRecordBatchReader
    from lancelike.db import AsyncConnection
    from lancelike.query import AsyncQueryBase
    from lancelike.table import AsyncTable

    assert AsyncTable is lancelike.AsyncTable
    assert AsyncConnection is lancelike.AsyncConnection
    assert AsyncRecordBatchReader.__name__ == "AsyncRecordBatchReader"
    assert issubclass(AsyncVectorQuery, AsyncQueryBase)
