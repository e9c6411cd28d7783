"""Windows over the rows of a data frame: sentences joined into the passages that are embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from lancelike._optional import require
from lancelike.errors import ColumnNotFoundError
from lancelike.legacy import warn_deprecated

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Contextualizer", "contextualize"]


def contextualize(raw_df: pd.DataFrame) -> Contextualizer:
    """Start a frame of windows over *raw_df*: say how wide they are and how far apart, then call `to_pandas`.

    Example:
        >>> import pandas as pd
        >>> words = pd.DataFrame({"token": ["the", "quick", "brown", "fox"], "page": [1, 1, 1, 2]})
        >>> contextualize(words).window(3).stride(1).text_col("token").to_pandas()["token"].tolist()
        ['the quick brown', 'quick brown fox', 'brown fox']
    """
    return Contextualizer(raw_df)


class Contextualizer:
    """Windows over a data frame's rows; each method says one thing about them and returns the same object."""

    def __init__(self, raw_df: pd.DataFrame) -> None:
        self._raw_df = raw_df
        self._text_col: str | None = None
        self._groupby: str | None = None
        self._stride: int | None = None
        self._window: int | None = None
        self._min_window_size = 2

    def window(self, window: int) -> Self:
        """Join the texts of *window* rows."""
        self._window = window
        return self

    def stride(self, stride: int) -> Self:
        """Start a window every *stride* rows."""
        self._stride = stride
        return self

    def groupby(self, groupby: str) -> Self:
        """Let no window cross from one value of this column to another; without it they may."""
        self._groupby = groupby
        return self

    def text_col(self, text_col: str) -> Self:
        """Join the texts of this column."""
        self._text_col = text_col
        return self

    def min_window_size(self, min_window_size: int) -> Self:
        """Leave out windows at the end that are cut to fewer rows than this, 2 by default."""
        self._min_window_size = min_window_size
        return self

    def to_pandas(self) -> pd.DataFrame:
        """A row for each window: the first of its rows, index included, with the window's text joined by spaces.

        Raises:
            ColumnNotFoundError: The frame has no such text column, or none was named.
            ValueError: `window` or `stride` was not said, or is below 1.
        """
        pandas = require("pandas", extra="pandas", needed_by="contextualize()")
        text_col = self._text_col
        if text_col is None or text_col not in self._raw_df.columns:
            raise ColumnNotFoundError(str(text_col), list(map(str, self._raw_df.columns)))
        window, stride = _at_least_one("window", self._window), _at_least_one("stride", self._stride)
        groups = [self._raw_df]
        if self._groupby is not None:
            groups = [group for _, group in self._raw_df.groupby(self._groupby)]
        frames = [_windows(group, text_col, window, stride, self._min_window_size) for group in groups]
        return frames[0] if self._groupby is None else pandas.concat(frames)

    def to_df(self) -> pd.DataFrame:
        """Older spelling of `to_pandas`."""
        warn_deprecated("to_df()", "to_pandas()")
        return self.to_pandas()


def _windows(rows: pd.DataFrame, text_col: str, window: int, stride: int, fewest: int) -> pd.DataFrame:
    starts = [
        start for start in range(0, len(rows), stride) if start + window <= len(rows) or len(rows) - start >= fewest
    ]
    texts = rows[text_col].tolist()
    windows = rows.iloc[starts].copy()
    windows[text_col] = [" ".join(texts[start : start + window]) for start in starts]
    return windows


def _at_least_one(name: str, rows: int | None) -> int:
    if rows is None or rows < 1:
        raise ValueError(f"contextualize needs {name}(n), a number of rows from 1; it has {rows}")
    return rows
