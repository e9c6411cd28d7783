"""A service that fails in every way it can, in random order: the table ends as if it never had."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

import lancelike
from lancelike.embeddings import EmbeddingFunctionConfig, get_registry
from lancelike.ledger.canaries import TEXT_CANARIES
from tests.embeddings.flaky_service import Answer, FlakyService, HttpEmbeddings, serving, vector_of

ROWS = 3_000
FAULTS = {
    "busy": lambda: Answer(429, {"Retry-After": "0.01"}),
    "busy until": lambda: Answer(429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=0.01))}),
    "broken": lambda: Answer(500),
    "down": lambda: Answer(503),
    "garbage": lambda: Answer(body=b"<html>not what you asked for</html>"),
    "too few": lambda: Answer(body=b"[[1.0, 2.0, 3.0]]"),
    "half": lambda: Answer(cut=True),
    "hangs up": lambda: Answer(hang_up=True),
    "too slow": lambda: Answer(delay_s=1.3),
}


@pytest.fixture
def service() -> Iterator[FlakyService]:
    get_registry().register("flaky")(HttpEmbeddings)
    with serving() as flaky:
        yield flaky


@pytest.mark.parametrize(("seed", "concurrency"), [(1, 1), (2, 4)])
def test_the_table_ends_complete_and_each_text_is_paid_for_once(
    service: FlakyService, tmp_path: Path, seed: int, concurrency: int
) -> None:
    dice = random.Random(seed)
    faults = list(FAULTS.values())
    service.script = [dice.choice(faults) if dice.random() < 0.4 else Answer() for _ in range(400)]
    service.script[20:20] = [FAULTS["too slow"], FAULTS["half"], FAULTS["garbage"], FAULTS["too few"]]
    function = (
        get_registry()
        .get("flaky")
        .create(
            url=service.url,
            batch_size=50,
            max_concurrency=concurrency,
            max_retries=20,
            first_wait_s=0.001,
            max_wait_s=0.02,
        )
    )
    config = EmbeddingFunctionConfig("vector", "text", function)
    texts = [f"text {dice.randrange(ROWS * 2)} of {ROWS}" for _ in range(ROWS)]
    table = lancelike.connect(tmp_path).create_table(
        "docs", [{"id": i, "text": text} for i, text in enumerate(texts)], embedding_functions=[config]
    )

    rows = sorted(table.to_arrow().to_pylist(), key=lambda row: row["id"])
    assert [row["text"] for row in rows] == texts
    assert [row["vector"] for row in rows] == [vector_of(text) for text in texts]
    assert table.embedding_errors().num_rows == 0

    answered = Counter(text for asked, answer in service.given if answer.is_good for text in asked)
    assert answered.keys() >= set(texts)
    paid_twice = {text for text, times in answered.items() if times > 1} - set(TEXT_CANARIES)
    assert not paid_twice, "only texts whose answer was lost are sent again"
    kinds = {(a.status, a.cut, a.hang_up, a.delay_s > 0, a.body is None) for _, a in service.given}
    assert len(kinds) >= 7, "every kind of fault was met"
