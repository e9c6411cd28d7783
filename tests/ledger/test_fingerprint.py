"""What makes two functions the same is in the fingerprint; how they are reached is not."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from lancelike.embeddings import get_registry
from lancelike.ledger import fingerprint
from tests.ledger.conftest import Counting


@pytest.mark.parametrize(
    "change", [{"dim": 5}, {"flavour": "other"}, {"source_prompt": "passage: "}, {"query_prompt": "query: "}]
)
def test_settings_that_shape_vectors_change_it(change: dict[str, Any]) -> None:
    assert fingerprint(Counting(**change)) != fingerprint(Counting())


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 3}, {"max_retries": 9}, {"deadline_s": 1.0}, {"max_concurrency": 4}, {"api_key": "sk-123"}],
)
def test_transport_and_secrets_do_not(change: dict[str, Any]) -> None:
    assert fingerprint(Counting(**change)) == fingerprint(Counting())


def test_the_name_is_part_of_it() -> None:
    class Other(Counting):
        """The same settings."""

    assert fingerprint(Other()) != fingerprint(Counting())


def test_it_is_the_same_in_every_process() -> None:
    with multiprocessing.Pool(1) as pool:
        assert pool.apply(of_hash, (32,)) == of_hash(32) != of_hash(33)


def of_hash(dim: int) -> str:
    return fingerprint(get_registry().get("hash").create(dim=dim))
