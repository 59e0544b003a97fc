"""Soft-NMS of one class as a lazy stream of (index, score): take as many as are needed, pay for no more.

Two streams give the same list. `by_position` follows upstream's loop step by step on an array that it reorders, which
also settles ties (first in the array, wherever earlier swaps have put it) and degenerate segments. `lazily` is the fast
one for ordinary input: scores only ever fall, so a candidate need not be looked at before the best score has come down
to its own initial score; the factors of several likely selections are computed in one matrix; and a selection is then
one multiplication of a row. It hands over to `by_position` when two scores tie for the best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from tal_repro.detection.decay import Float32Array, Method, areas, weights

Selection = tuple[int, float]  # index of the candidate, its score when selected
IndexArray = npt.NDArray[np.int64]

_FIRST_CANDIDATES = 128
_FIRST_ROWS = 8
_MATRIX_ELEMENTS = 1 << 16  # of one block of factors: 256 KiB


@dataclass(frozen=True)
class SoftNms:
    """The settings: `method` linear and vanilla act from `iou_threshold` on; gaussian has the width `sigma`."""

    method: Method = "gaussian"
    iou_threshold: float = 0.1
    sigma: float = 0.5
    min_score: float = 0.001

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be above 0, got {self.sigma}")


def select(segments: Float32Array, scores: Float32Array, settings: SoftNms) -> Iterator[Selection]:
    """Yield (index, score) in order of selection; segments [N, 2] and scores [N] float32, of one class."""
    if not len(scores):
        return iter(())
    ordinary = (
        0 < settings.min_score <= scores.max()
        and (settings.method == "gaussian" or settings.iou_threshold > 0)
        and bool((segments[:, 1] >= segments[:, 0]).all() and (scores >= 0).all())
    )
    return lazily(segments, scores, settings) if ordinary else by_position(segments, scores, settings)


def by_position(segments: Float32Array, scores: Float32Array, settings: SoftNms) -> Iterator[Selection]:
    """Yield the selections, keeping candidates in upstream's array order."""
    # rows: start, end, area, score; a column is a candidate
    table = np.stack([segments[:, 0], segments[:, 1], areas(segments), scores]).astype(np.float32)
    index = np.arange(table.shape[1])
    first, size = 0, table.shape[1]
    min_score = np.float32(settings.min_score)
    while first < size:
        best = _first_best(table[3, first:size]) + first
        table[:, [first, best]] = table[:, [best, first]]
        index[[first, best]] = index[[best, first]]
        yield int(index[first]), float(table[3, first])
        rest = table[:, first + 1 : size]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rest[3] *= _factors(table[:, first], rest, settings)
        low = rest[3] < min_score
        if low.any():
            size = first + 1 + _drop(rest, index[first + 1 : size], low)
        first += 1


def lazily(segments: Float32Array, scores: Float32Array, settings: SoftNms) -> Iterator[Selection]:
    """Yield the selections; ends not before starts, scores not negative, `min_score` above 0 and reached by one."""
    order = np.argsort(-scores, kind="stable")
    table = np.stack([segments[order, 0], segments[order, 1], areas(segments)[order]])
    initial = scores[order]
    min_score = np.float32(settings.min_score)
    initial = initial[: np.count_nonzero(initial >= min_score)]
    taken: list[int] = []
    current = initial[:_FIRST_CANDIDATES].copy()
    rows: dict[int, Float32Array] = {}  # of candidates that are likely to be selected soon
    next_rows = _FIRST_ROWS
    while True:
        best = int(current.argmax())
        score = current[best]
        if len(current) < len(initial) and score <= initial[len(current)]:
            current = _with_more_candidates(current, table, initial, taken, settings)
            rows.clear()
            continue
        if score < min_score:
            return
        if np.count_nonzero(current == score) > 1:
            yield from islice(by_position(segments, scores, settings), len(taken), None)
            return
        yield int(order[best]), float(score)
        taken.append(best)
        if best not in rows:
            rows.update(_rows(current, rows, best, next_rows, table, settings))
            next_rows *= 2
        current *= rows.pop(best)


def _with_more_candidates(
    current: Float32Array,
    table: Float32Array,
    initial: Float32Array,
    taken: list[int],
    settings: SoftNms,
) -> Float32Array:
    """Return the current scores of more candidates, newcomers being lowered by all selections so far, in order."""
    more = slice(len(current), min(len(initial), 2 * len(current)))
    newcomers = initial[more].copy()
    at_once = max(1, _MATRIX_ELEMENTS // len(newcomers))
    for begin in range(0, len(taken), at_once):
        block = _factor_matrix(table[:, taken[begin : begin + at_once]], table[:, more], settings)
        for row in block:
            newcomers *= row
    return np.concatenate([current, newcomers])


def _rows(
    current: Float32Array,
    known: dict[int, Float32Array],
    best: int,
    count: int,
    table: Float32Array,
    settings: SoftNms,
) -> dict[int, Float32Array]:
    """Return the factors that the likeliest next selections, `best` among them, have on all current candidates."""
    unknown = current.copy()
    unknown[list(known)] = 0
    count = min(count, max(1, _MATRIX_ELEMENTS // len(current)), len(current))
    likely = np.argpartition(-unknown, count - 1)[:count]
    likely = likely[unknown[likely] > 0]
    matrix = _factor_matrix(table[:, likely], table[:, : len(current)], settings)
    matrix[np.arange(len(likely)), likely] = 0  # the selected one leaves
    return dict(zip(likely.tolist(), matrix, strict=True))


def _factor_matrix(selected: Float32Array, others: Float32Array, settings: SoftNms) -> Float32Array:
    """Return the factors [S, N] of selected columns on others; 1 where they do not overlap."""
    reach = np.minimum(selected[1][:, None], others[1]) - np.maximum(selected[0][:, None], others[0])
    matrix: Float32Array = np.ones_like(reach)
    flat = np.flatnonzero(reach > 0)
    i, j = np.divmod(flat, others.shape[1])
    shared = reach.ravel()[flat]
    overlap = shared / (selected[2][i] + others[2][j] - shared)
    matrix.ravel()[flat] = weights(
        overlap, settings.method, np.float32(settings.iou_threshold), np.float32(settings.sigma)
    )
    return matrix


def _factors(selected: Float32Array, rest: Float32Array, settings: SoftNms) -> Float32Array:
    """Return the factors of one selected column on the rest, with the compiled loop's handling of odd segments."""
    shared = np.maximum(np.minimum(selected[1], rest[1]) - np.maximum(selected[0], rest[0]), np.float32(0))
    overlap = shared / (selected[2] + rest[2] - shared)
    return weights(overlap, settings.method, np.float32(settings.iou_threshold), np.float32(settings.sigma))


def _first_best(scores: Float32Array) -> int:
    """Return the first position of the highest score; a NaN is never higher, and nothing is higher than it."""
    best = int(scores.argmax())
    if not np.isnan(scores[best]):
        return best
    return 0 if np.isnan(scores[0]) else int(np.nanargmax(scores))


def _drop(columns: Float32Array, index: IndexArray, low: npt.NDArray[np.bool_]) -> int:
    """Remove low columns as the compiled loop does: each hole, in turn, takes the last column that stays."""
    left = int(len(low) - np.count_nonzero(low))
    holes = np.flatnonzero(low[:left])
    movers = np.flatnonzero(~low[left:])[::-1] + left
    columns[:, holes] = columns[:, movers]
    index[holes] = index[movers]
    return left
