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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tal_repro.detection.decay import METHODS, Float32Array, Method, areas, weights
from tal_repro.detection.settings import check_finite, check_positive, check_share

Selection = tuple[int, float]  # index of the candidate, its score when selected
IndexArray = npt.NDArray[np.int64]

_FIRST_CANDIDATES = 512
_GROWTH = 0.5
_NEAR = 0.8  # of the best score: what is likely to be selected soon
_MATRIX_ELEMENTS = 1 << 15  # of one block of factors: 128 KiB


@dataclass(frozen=True)
class SoftNms:
    """The settings: `method` linear and vanilla act from `iou_threshold` on; gaussian has the width `sigma`."""

    method: Method = "gaussian"
    iou_threshold: float = 0.1
    sigma: float = 0.5
    min_score: float = 0.001

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        check_share("iou_threshold", self.iou_threshold)
        check_positive("sigma", self.sigma)
        check_finite("min_score", self.min_score)


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
    order = order[: np.count_nonzero(scores >= np.float32(settings.min_score))]
    waiting = scores[order]
    pool = _Pool(_Columns(segments[order, 0], segments[order, 1], areas(segments)[order]), waiting, settings)
    given = 0
    while True:
        best = pool.current.argmax()
        score = pool.current[best]
        if pool.size < len(waiting) and score <= waiting[pool.size]:
            pool.admit()
            continue
        if score < settings.min_score:
            return
        if (pool.current[best + 1 :] == score).any():
            yield from islice(by_position(segments, scores, settings), given, None)
            return
        yield int(order[pool.number[best]]), float(score)
        given += 1
        pool.take(int(best))


class _Columns(NamedTuple):
    """Candidates as three arrays; a sum, a comparison and a look-up are cheapest on these."""

    start: Float32Array
    end: Float32Array
    area: Float32Array

    def at(self, index: Any) -> _Columns:
        return _Columns(self.start[index], self.end[index], self.area[index])


class _Pool:
    """The candidates of a class that compete now: the first `size` in order of initial score, less those that left."""

    def __init__(self, candidates: _Columns, initial: Float32Array, settings: SoftNms) -> None:
        self.candidates, self.initial, self.settings = candidates, initial, settings
        self.size = min(_FIRST_CANDIDATES, len(initial))
        self.number = np.arange(self.size)  # each competitor's number among the candidates
        self.competitors = candidates.at(slice(self.size))
        self.current = initial[: self.size].copy()  # 0: selected
        self.taken: list[int] = []  # numbers, in order of selection
        self.rows: dict[int, Float32Array] = {}  # factors of likely selections on all competitors

    def take(self, best: int) -> None:
        """Select competitor `best`: lower the others."""
        if best not in self.rows:
            self._add_rows(best)
        self.taken.append(int(self.number[best]))
        self.current *= self.rows.pop(best)

    def admit(self) -> None:
        """Let more candidates compete, lowered by all selections so far in their order; drop those out of the race."""
        stop = min(len(self.initial), self.size + max(_FIRST_CANDIDATES, int(self.size * _GROWTH)))
        newcomers = self.candidates.at(slice(self.size, stop))
        scores = self.initial[self.size : stop]
        at_once = max(1, _MATRIX_ELEMENTS // len(scores))
        for begin in range(0, len(self.taken), at_once):
            factors = _factor_matrix(self.candidates.at(self.taken[begin : begin + at_once]), newcomers, self.settings)
            scores = np.multiply.reduce(np.vstack([scores, factors]), axis=0)  # row by row, as if one at a time
        stays = np.flatnonzero(self.current >= np.float32(self.settings.min_score))
        self.rows.clear()  # computing the few again is cheaper than widening them
        self.number = np.concatenate([self.number[stays], np.arange(self.size, stop)])
        self.competitors = _Columns(
            *(np.concatenate(pair) for pair in zip(self.competitors.at(stays), newcomers, strict=True))
        )
        self.current = np.concatenate([self.current[stays], scores])
        self.size = stop

    def _add_rows(self, best: int) -> None:
        """Compute the factors of `best` and of the likeliest selections after it, whose scores are near its own."""
        near = self.current >= _NEAR * self.current[best]
        near[list(self.rows)] = False
        likely = np.flatnonzero(near)
        count = max(1, _MATRIX_ELEMENTS // len(near))
        if len(likely) > count:
            likely = likely[np.argpartition(-self.current[likely], count - 1)[:count]]
        matrix = _factor_matrix(self.competitors.at(likely), self.competitors, self.settings)
        matrix[np.arange(len(likely)), likely] = 0  # the selected one leaves
        self.rows.update(zip(likely.tolist(), matrix, strict=True))


def _factor_matrix(selected: _Columns, others: _Columns, settings: SoftNms) -> Float32Array:
    """Return the factors [S, N] of selected columns on others; 1 where they do not overlap."""
    touch = (selected.start[:, None] < others.end) & (others.start < selected.end[:, None])
    matrix = np.ones(touch.shape, np.float32)
    flat = np.flatnonzero(touch)
    i = flat // len(others.start)
    first, second = selected.at(i), others.at(flat - i * len(others.start))
    shared = np.minimum(first.end, second.end) - np.maximum(first.start, second.start)
    overlap = shared / (first.area + second.area - shared)
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
