"""Are the columns that a patch gives to the detections hook those that the authors' code holds itself?

They are looked for in the variables of the function that calls the hook, and in the attributes of its `self`: lists,
arrays, tables, rows, dictionaries of them, videos one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np

COLUMNS = ("start_s", "end_s", "label", "score")
DEPTH = 3
CLOSE = 1e-4  # relative, and absolute: the authors may hold single precision


def matches(columns: Mapping[str, Any], frame: FrameType) -> dict[str, Any]:
    """Return, for each column, the share of its values that the best variable holds too, and where it first differs.

    {"share": 0..1, "variable": name or "", "video": the first that differs or ""}.
    """
    rows = len(columns["video_id"])
    own = [(name, column) for name, value in _variables(frame) for column in _columns(value, rows, DEPTH)]
    return {name: _best(columns[name], columns["video_id"], own) for name in COLUMNS}


def _variables(frame: FrameType) -> Iterator[tuple[str, Any]]:
    for name, value in list(frame.f_locals.items()):
        yield name, value
        if name == "self":
            yield from ((f"self.{field}", item) for field, item in list(getattr(value, "__dict__", {}).items()))


def _best(column: Any, videos: Sequence[Any], own: Sequence[tuple[str, np.ndarray]]) -> dict[str, Any]:
    given = _numbers(column)
    best: dict[str, Any] = {"share": 0.0, "variable": "", "video": ""}
    if given is None or not len(given):
        return best
    for name, values in own:
        equal = np.isclose(given, values, rtol=CLOSE, atol=CLOSE)
        share = float(equal.mean())
        if share > best["share"]:
            first = "" if equal.all() else str(videos[int(np.flatnonzero(~equal)[0])])
            best = {"share": share, "variable": name, "video": first}
    return best


def _columns(value: Any, rows: int, depth: int) -> Iterator[np.ndarray]:
    """Yield the columns of `rows` numbers in a value."""
    if rows == 0 or isinstance(value, str | bytes):
        return
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):  # a table
        for name in value.columns:
            yield from _columns(value[name].to_numpy(), rows, depth)
        return
    if isinstance(value, Mapping) and depth:
        yield from _joined(list(value.values()), rows)
        for item in list(value.values()):
            yield from _columns(item, rows, depth - 1)
        return
    if isinstance(value, list | tuple) and depth:
        yield from _joined(list(value), rows)
    array = _numbers(value)
    if array is None:
        return
    if array.ndim == 1 and len(array) == rows:
        yield array
    elif array.ndim == 2 and len(array) == rows:
        yield from array.T


def _joined(parts: list[Any], rows: int) -> Iterator[np.ndarray]:
    """Yield the columns of parts (of a video each, or rows of mixed kinds) one after another."""
    if len(parts) == rows and all(isinstance(part, Sequence) and not isinstance(part, str) for part in parts):
        for column in zip(*parts, strict=False):
            if (array := _numbers(list(column))) is not None and array.ndim == 1:
                yield array
        return
    if len(parts) == rows and all(isinstance(part, Mapping) for part in parts):
        for name in parts[0]:
            yield from _columns([part.get(name) for part in parts], rows, 0)
        return
    arrays = [array for part in parts if (array := _numbers(part)) is not None and array.ndim in (1, 2)]
    kept = [array for array in arrays if len(array)]
    if kept and sum(map(len, kept)) == rows and len({array.shape[1:] for array in kept}) == 1:
        whole = np.concatenate(kept)
        yield from (whole[None] if whole.ndim == 1 else whole.T)
    flat = [row for part in parts if isinstance(part, list | tuple) for row in part]
    if len(flat) == rows and len(parts) != rows:
        yield from _joined(flat, rows)


def _numbers(value: Any) -> np.ndarray | None:
    """Return a value as numbers, None where it is none."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
        return array.astype(float) if array.dtype.kind in "fiub" else None
    except (TypeError, ValueError, RuntimeError):
        return None
