"""Results as tables: the same columns as NumPy records, as a pandas table, and as HTML in a notebook."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.errors import MissingDependency

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped,import-not-found]

Columns = Mapping[str, ArrayLike]
"""Values by the name of their column, all of one length."""

SHOWN_ROWS = 20
"""Rows of a long table that a notebook shows."""


class Tabular:
    """What has rows and columns. Names of columns are those of the CSV files of the same results."""

    __slots__ = ()

    @abstractmethod
    def columns(self) -> dict[str, ArrayLike]:
        """Values by column, one per row."""

    def to_numpy(self) -> NDArray[Any]:
        """A structured array [rows]: ``table["score"]`` is a column."""
        return records(self.columns())

    def to_pandas(self) -> pandas.DataFrame:
        """A table with one line a row.

        Raises:
            MissingDependency: pandas is not installed.
        """
        return data_frame(self.columns())

    def _repr_html_(self) -> str:
        return html_table(self.columns(), caption=self._caption())

    def _caption(self) -> str:
        return type(self).__name__


def records(columns: Columns) -> NDArray[Any]:
    """One structured array of named columns.

    Raises:
        ValueError: columns of different lengths.
    """
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of a table have one length, got {lengths}")
    table = np.empty(next(iter(lengths.values()), 0), dtype=[(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        table[name] = array
    return table


def data_frame(columns: Columns) -> pandas.DataFrame:
    """
    Raises:
        MissingDependency: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as cause:
        raise MissingDependency(
            "Tables of pandas need the package pandas, which is not installed. Run: pip install pandas; or take "
            ".to_numpy() or .to_dict()"
        ) from cause
    return pandas.DataFrame({name: np.asarray(values) for name, values in columns.items()})


def html_table(columns: Columns, caption: str = "", most: int = SHOWN_ROWS) -> str:
    """An HTML table of the first ``most`` rows. Everything in it is text, never markup."""
    arrays = [np.asarray(values) for values in columns.values()]
    num_rows = len(arrays[0]) if arrays else 0
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in islice(_rows(arrays), most))
    left = f"<p>{num_rows - most} more rows</p>" if num_rows > most else ""
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left}"


def stacked(tables: Iterable[Columns]) -> dict[str, ArrayLike]:
    """Tables under one another, columns in the order of their first appearance; NaN where a table lacks one."""
    parts = [{name: np.asarray(values) for name, values in table.items()} for table in tables]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: np.concatenate([_column(part, name) for part in parts]) for name in names}


def _column(part: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name in part:
        return part[name]
    return np.full(len(next(iter(part.values()))), np.nan, dtype=np.float32)


def _rows(arrays: Sequence[NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*arrays, strict=True)


def _cells(row: Iterable[Any]) -> str:
    texts = (f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value) for value in row)
    return "".join(f"<td>{escape(text)}</td>" for text in texts)
