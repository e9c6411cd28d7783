"""Windows over rows: joined texts, a first row's other columns, no window across groups."""

from __future__ import annotations

import pandas as pd
import pytest

from lancelike.context import contextualize
from lancelike.errors import ColumnNotFoundError

WORDS = ["The", "quick", "brown", "fox", "jumped", "over", "the", "lazy", "dog", "I", "love", "sandwiches"]


@pytest.fixture
def tokens() -> pd.DataFrame:
    return pd.DataFrame({"token": WORDS, "document_id": [1] * 9 + [2] * 3}, index=range(100, 112))


def test_each_window_has_the_first_of_its_rows(tokens: pd.DataFrame) -> None:
    windows = contextualize(tokens).window(4).stride(2).text_col("token").to_pandas()
    assert windows["token"].tolist() == [" ".join(WORDS[start : start + 4]) for start in range(0, 12, 2)]
    assert windows.index.tolist() == [100, 102, 104, 106, 108, 110]
    assert windows["document_id"].tolist() == [1, 1, 1, 1, 1, 2]
    assert tokens["token"].tolist() == WORDS


def test_no_window_crosses_from_one_group_to_another(tokens: pd.DataFrame) -> None:
    windows = contextualize(tokens).window(4).stride(2).text_col("token").groupby("document_id").to_pandas()
    assert windows["token"].tolist()[-2:] == ["the lazy dog", "I love sandwiches"]
    assert windows.index.tolist() == [100, 102, 104, 106, 109]


@pytest.mark.parametrize(("fewest", "expected"), [(1, 12), (2, 11), (3, 10), (5, 10), (9, 10)])
def test_short_windows_at_the_end_are_left_out(tokens: pd.DataFrame, fewest: int, expected: int) -> None:
    windows = contextualize(tokens).window(3).stride(1).min_window_size(fewest).text_col("token").to_pandas()
    assert len(windows) == expected


def test_what_is_missing_is_named(tokens: pd.DataFrame) -> None:
    with pytest.raises(ColumnNotFoundError, match="no column 'text'"):
        contextualize(tokens).window(2).stride(1).text_col("text").to_pandas()
    with pytest.raises(ValueError, match=r"window\(n\)"):
        contextualize(tokens).stride(1).text_col("token").to_pandas()
    with pytest.raises(ValueError, match=r"stride\(n\).*0"):
        contextualize(tokens).window(2).stride(0).text_col("token").to_pandas()


def test_to_df_says_what_to_write(tokens: pd.DataFrame) -> None:
    with pytest.warns(DeprecationWarning, match="to_pandas"):
        assert len(contextualize(tokens).window(2).stride(2).text_col("token").to_df()) == 6
