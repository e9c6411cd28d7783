"""What `search` was given becomes a vector, content to embed, or a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from lancelike.errors import QueryError
from lancelike.query import Query, query_from
from lancelike.query.query import sought


def test_none_is_a_scan() -> None:
    query = query_from(None)
    assert query.query_type == "scan"
    assert query.vector is None
    assert query.content is None


@pytest.mark.parametrize(
    "search",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        [np.float32(1), 2, 3.0],
        np.array([1, 2, 3], np.float16),
        np.array([1, 2, 3], np.uint8),
        pa.array([1.0, 2.0, 3.0]),
        pa.chunked_array([[1, 2], [3]]),
        pd.Series([1, 2, 3]),
        pl.Series([1.0, 2.0, 3.0]),
        torch.tensor([1.0, 2.0, 3.0]),
    ],
)
def test_numbers_are_a_vector(search: Any) -> None:
    query = query_from(search)
    assert query.query_type == "vector"
    assert query.vector is not None
    assert query.vector.tolist() == [1, 2, 3]
    assert query.content is None


@pytest.mark.parametrize(
    "search",
    [[[1, 2], [3, 4]], [(1, 2), [3, 4]], [np.array([1, 2]), np.array([3, 4])], np.array([[1, 2], [3, 4]])],
)
def test_rows_of_numbers_are_several_vectors(search: Any) -> None:
    vector = query_from(search).vector
    assert vector is not None
    assert vector.tolist() == [[1, 2], [3, 4]]


IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize("search", ["text", ["a", "b"], b"bytes", Path("a.png"), {"a": 1}, IMAGE, [IMAGE, IMAGE], 3.5])
def test_anything_else_is_content(search: Any) -> None:
    query = query_from(search, "vector")
    assert query.query_type == "vector"
    assert query.vector is None
    assert query.content is search
    assert query.vector_column == "vector"


def test_an_image_is_content() -> None:
    class Image:
        """Offers its pixels as Pillow's do."""

        __array_interface__ = np.zeros((2, 2), np.uint8).__array_interface__

    image = Image()
    assert query_from(image).content is image


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ([], "empty"),
        (np.zeros((0, 4)), "empty"),
        ([[]], "empty"),
        ([[1, 2], [3]], "one length; these have 1, 2"),
        ([1.0, float("nan")], "NaN"),
        ([[1.0, float("inf")]], "NaN or infinite"),
        ([None, 1.0], "None"),
        ([True, False], "bool"),
        ([[None, 1.0]], "made of numbers"),
        ([[[1.0]]], "made of numbers"),
        ([1, 2j], "made of numbers"),
    ],
)
def test_vectors_that_are_none(search: Any, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        query_from(search)


def test_a_query_keeps_its_own_vector() -> None:
    buffer = np.ones(3, np.float32)
    query = query_from(buffer)
    buffer[:] = 7
    assert query.vector is not None
    assert query.vector.tolist() == [1, 1, 1]


def test_kinds_of_search() -> None:
    with pytest.raises(QueryError, match="Unknown query type: 'foo'"):
        query_from("text", query_type="foo")  # type: ignore[arg-type]  # what a script may do
    with pytest.raises(TypeError, match="'fts' query must be a string or FullTextQuery"):
        query_from([1.0], query_type="fts")
    assert query_from("text", query_type="fts").query_type == "fts"
    assert query_from("text").query_type == "vector"
    assert query_from("text", embeds_texts=False).query_type == "fts"
    assert query_from("text", query_type="hybrid").query_type == "hybrid"
    with pytest.raises(QueryError, match="None is near nothing"):
        sought(None)
    with pytest.raises(QueryError, match=r"vector\(...\).text\(...\)"):
        query_from(([1.0, 2.0], "text"), query_type="hybrid")
    assert query_from([1.0], query_type="vector").query_type == "vector"
    assert query_from(None, query_type="vector").query_type == "scan"


def test_a_query_can_be_printed() -> None:
    assert "limit=3" in repr(Query(vector=np.zeros(3), limit=3))
