"""A small typed table that remembers where each row came from, so that every number can name its source rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `origins[i]` says which line of `name` (or which run) row i came from."""

    name: str
    columns: Mapping[str, NDArray[Any]]
    origins: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def where(self, test: Callable[[Mapping[str, Any]], bool] | None = None, /, **equal: Any) -> Table:
        """Keep the rows whose columns equal the given values and that pass `test`."""
        keep = np.ones(len(self), dtype=bool)
        for column, value in equal.items():
            keep &= self.columns[column] == value
        if test is not None:
            keep &= np.array([test(row) for row in self.rows()], dtype=bool)
        return self.take(np.flatnonzero(keep))

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Table:
        """Return the rows at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Table(self.name, columns, tuple(self.origins[i] for i in chosen))

    def sort(self, column: str) -> Table:
        """Return the rows in ascending order of `column` (stable)."""
        return self.take(np.argsort(self.columns[column], kind="stable"))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as plain values."""
        names = list(self.columns)
        for values in zip(*(self.columns[name].tolist() for name in names), strict=True):
            yield dict(zip(names, values, strict=True))

    def replace(self, column: str, values: NDArray[Any]) -> Table:
        """Return a copy with one column replaced (self-tests and what-if questions)."""
        return Table(self.name, {**self.columns, column: values}, self.origins)


def concatenate(tables: Sequence[Table]) -> Table:
    """Stack tables that share their columns."""
    first = tables[0]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in first.columns}
    return Table(first.name, columns, tuple(origin for table in tables for origin in table.origins))


def from_rows(name: str, columns: Mapping[str, type], rows: Sequence[Sequence[Any]], origins: Sequence[str]) -> Table:
    """Build a table from row tuples; `columns` gives each column's Python type."""
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    kinds = {str: object, int: np.int64, float: np.float64}
    arrays = {
        column: np.array(values, dtype=kinds[kind])
        for (column, kind), values in zip(columns.items(), by_column, strict=True)
    }
    return Table(name, arrays, tuple(origins))


def spans(table: Table) -> str:
    """Name the rows briefly: `learning_curves.csv lines 2-7, 25` (or the run ids of a table of runs)."""
    lines = [origin.rpartition(":")[2] for origin in table.origins]
    if not lines:
        return f"{table.name}: no rows"
    if not all(line.isdigit() for line in lines):
        return f"{table.name}: " + ", ".join(dict.fromkeys(table.origins))
    return f"{table.name} line{'s' if len(lines) > 1 else ''} {_ranges(sorted(map(int, lines)))}"


def _ranges(numbers: Sequence[int]) -> str:
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)
