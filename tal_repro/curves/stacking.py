"""Average families by how well each has extrapolated: rolling back-tests -> weights -> one forecast.

A family's R2 on the points it was fitted to says nothing about the points to come, so weights are
learned from errors on points that each fit had not seen, and a forecast made at any earlier point of
the curve uses only what was known there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tal_repro.curves.backtest import Prefixes, fit_prefixes
from tal_repro.curves.families import FAMILIES
from tal_repro.curves.family import Array

STACKED = (
    "exponential",
    "exponential-linear",
    "5pl",
    "5pl-bounded",
    "4pl",
    "pow4",
    "exp3",
    "exp4",
    "logpower3",
    "vap3",
)
"""Families that level off. Those that cannot (lines, pure powers) extrapolate mAP beyond any bound, and
mmf4, wbl4 and expd3 are 4pl, exp4 and exp3 under other names: a copy would only count twice."""
MIN_POINTS = 4  # the smallest family that levels off has three parameters
MAX_ORIGINS = 26
NOISE_FLOOR = 0.5  # points of mAP: errors below it are not told apart when families are compared
LOSS_FLOOR = 0.01  # of the squared scaled error: a family is not preferred for being exact beyond noise
SLOPE_SHARE = 0.2  # of the recent slope times the log-distance: the part of the error no family shows
SCALE_FLOOR = 0.3  # points of mAP


@dataclass(frozen=True)
class Rolling:
    """Every stacked family fitted to every prefix of one curve.

    `predictions` [families, origins, points] are clipped to 0..100 and NaN where a prefix is too
    short for the family; `prefixes` predict elsewhere; `origins` ascend and end with all points.
    """

    names: tuple[str, ...]
    x: Array
    y: Array
    origins: tuple[int, ...]
    predictions: Array
    prefixes: tuple[Prefixes | None, ...]

    def row(self, origin: int) -> Array:
        """Return the predictions [families, points] made from the first `origin` points."""
        return np.asarray(self.predictions[:, self.origins.index(origin)])

    def predict(self, x: Array) -> Array:
        """Return the predictions [families, len(x)] of the fits to all points."""
        result = np.full((len(self.names), len(x)), np.nan)
        for index, prefixes in enumerate(self.prefixes):
            if prefixes is not None and prefixes.origins[-1] == len(self.x):
                result[index] = np.clip(prefixes.predict(x)[-1], 0.0, 100.0)
        return result


@dataclass(frozen=True)
class Scored:
    """One back-tested forecast: made from `origin` points at percentage x[`index`]; z = |error| / scale."""

    origin: int
    index: int
    z: float
    error: float
    last_value_error: float


def roll(x: Array, y: Array, weights: Array | None = None, names: Sequence[str] = STACKED) -> Rolling:
    """Fit every family to every prefix (at most MAX_ORIGINS of them) of the sorted points x, y [n]."""
    count = len(x)
    first = min(3, count)
    origins = np.unique(np.round(np.linspace(first, count, min(count - first + 1, MAX_ORIGINS))).astype(int))
    w = np.ones(count) if weights is None else weights
    predictions = np.full((len(names), len(origins), count), np.nan)
    fitted = []
    for index, name in enumerate(names):
        prefixes = fit_prefixes(FAMILIES[name], x, y, w, [int(j) for j in origins])
        fitted.append(prefixes)
        if prefixes is not None:
            rows = np.searchsorted(origins, prefixes.origins)
            predictions[index, rows] = np.clip(prefixes.predict(x), 0.0, 100.0)
    return Rolling(tuple(names), x, y, tuple(int(j) for j in origins), predictions, tuple(fitted))


def stacking_weights(rolling: Rolling, origin: int) -> Array:
    """Return the weights [families] learned from what the first `origin` points can back-test.

    They minimise sqrt(origins) / 2 * ln(squared error of the average) plus the divergence from equal
    weights: a handful of back-tests cannot rank ten families, many that agree can. The root is there
    because forecasts from neighbouring origins miss alike.
    """
    known = ~np.isnan(rolling.row(origin)[:, 0])
    equal = known / max(int(known.sum()), 1)
    errors, row_weights, origins = _past_errors(rolling, origin)
    if not origins or known.sum() < 2:
        return np.asarray(equal)
    gram = (errors * row_weights[:, None]).T @ errors
    evidence, weights = np.sqrt(origins), equal.copy()
    for _ in range(400):  # exponentiated gradient: weights stay positive and sum to 1
        pull = gram @ weights
        slope = evidence * pull / (weights @ pull + LOSS_FLOOR)
        slope = slope + np.log(np.maximum(weights, 1e-12) / np.maximum(equal, 1e-12))
        step = np.exp(-0.1 * np.clip(slope - slope[known].min(), 0.0, 20.0))
        weights = np.where(known, weights * step, 0.0)
        weights /= weights.sum()
    return weights


def _past_errors(rolling: Rolling, origin: int) -> tuple[Array, Array, int]:
    """Return all earlier forecasts within the first points: scaled errors [rows, families], their weights
    [rows], and the number of origins they were made from."""
    rows, weights = [], []
    for position, earlier in enumerate(rolling.origins):
        if earlier >= origin:
            break
        truth = rolling.y[earlier:origin]
        errors = (rolling.predictions[:, position, earlier:origin] - truth).T
        fitted = ~np.isnan(errors[0])
        if not fitted.any():
            continue
        # A family that could not be fitted yet counts as a middling one.
        middling = np.median(np.abs(errors[:, fitted]), axis=1, keepdims=True)
        scale = np.abs(rolling.y[earlier - 1] - truth)[:, None] + NOISE_FLOOR
        rows.append(np.clip(np.where(fitted, errors, middling) / scale, -5.0, 5.0))
        weights.append(np.full(len(truth), earlier / len(truth)))  # origins alike, better informed ones more
    if not rows:
        return np.empty((0, len(rolling.names))), np.empty(0), 0
    share = np.concatenate(weights)
    return np.concatenate(rows), share / share.sum(), len(rows)


def average(rolling: Rolling, origin: int, values: Array, x: Array) -> tuple[Array, Array, Array]:
    """Combine the families' `values` [families, len(x)] into (prediction, scale, weights).

    The scale joins the spread of the families, their residuals and a share of the recent slope times
    the distance in ln x; conformal quantiles turn it into an interval.
    """
    weights = stacking_weights(rolling, origin)
    known = np.nan_to_num(values)
    prediction = weights @ known
    spread = weights @ (known - prediction) ** 2
    seen = np.nan_to_num(rolling.row(origin))[:, :origin]
    residual = float((weights @ (seen - rolling.y[:origin]) ** 2).mean())
    distance = np.maximum(np.log(x / rolling.x[origin - 1]), 0.0)
    drift = SLOPE_SHARE * recent_slope(rolling, origin) * distance
    return prediction, np.sqrt(spread + residual + SCALE_FLOOR**2 + drift**2), weights


def recent_slope(rolling: Rolling, origin: int) -> float:
    """Return |d y / d ln x| over the last three of the first `origin` points."""
    t = np.log(rolling.x[max(origin - 3, 0) : origin])
    y = rolling.y[max(origin - 3, 0) : origin]
    t = t - t.mean()
    return float(abs((t * y).sum() / max(float((t**2).sum()), 1e-12)))


def score(rolling: Rolling) -> list[Scored]:
    """Back-test the stacked forecast itself: from every origin, on every later point."""
    scored = []
    for origin in rolling.origins:
        if not MIN_POINTS <= origin < len(rolling.x):
            continue
        prediction, scale, _ = average(rolling, origin, rolling.row(origin), rolling.x)
        for index in range(origin, len(rolling.x)):
            truth = rolling.y[index]
            error = float(prediction[index] - truth)
            baseline = float(rolling.y[origin - 1] - truth)
            scored.append(Scored(origin, index, abs(error) / float(scale[index]), error, baseline))
    return scored
