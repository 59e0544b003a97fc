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
from tal_repro.curves.family import Array, Family

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
"""Families that level off. Those that cannot (lines, pure powers) extrapolate mAP beyond any bound."""
AVERAGED = tuple(FAMILIES[name] for name in STACKED)
MIN_POINTS = 4  # the smallest family that levels off has three parameters
MAX_ORIGINS = 26
NOISE_FLOOR = 0.5  # points of mAP: errors below it are not told apart when families are compared
LOSS_FLOOR = 0.01  # of the squared scaled error: a family is not preferred for being exact beyond noise
FEATURES = ("drift", "rise", "roughness", "fell", "missed", "unsteady")
"""What the width of an interval is made of, all in points of mAP: the recent slope times the distance in ln x, the
predicted gain, the second differences of the points, how far the last point lies below the best, how far earlier
forecasts missed the last point for each unit of ln x, times the distance, and the geometric mean of drift and
roughness: a steep curve that is steady is surer than a steep one that is not."""
LEAST_DISTANCE = 0.1  # in ln x, of a back-test: nearer ones would count by their noise alone

SETTLED = float(np.log(1.4))  # ln of the ratio from which on a forecast starts at the last value, not at its fit


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


def roll(x: Array, y: Array, weights: Array | None = None, families: Sequence[Family] = AVERAGED) -> Rolling:
    """Fit every family to every prefix (at most MAX_ORIGINS of them) of the sorted points x, y [n]."""
    count = len(x)
    first = min(3, count)
    origins = np.unique(np.round(np.linspace(first, count, min(count - first + 1, MAX_ORIGINS))).astype(int))
    w = np.ones(count) if weights is None else weights
    predictions = np.full((len(families), len(origins), count), np.nan)
    fitted = []
    for index, family in enumerate(families):
        prefixes = fit_prefixes(family, x, y, w, [int(j) for j in origins])
        fitted.append(prefixes)
        if prefixes is not None:
            rows = np.searchsorted(origins, prefixes.origins)
            predictions[index, rows] = np.clip(prefixes.predict(x), 0.0, 100.0)
    names = tuple(family.name for family in families)
    return Rolling(names, x, y, tuple(int(j) for j in origins), predictions, tuple(fitted))


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


@dataclass(frozen=True)
class Outlook:
    """A forecast before calibration: predictions [n], and features [n, FEATURES] of how far off they may be.

    `log_ratio` [n] is ln(x asked for / largest x seen), 0 for less.
    """

    prediction: Array
    features: Array
    log_ratio: Array
    weights: Array


def outlook(rolling: Rolling, origin: int, values: Array, x: Array) -> Outlook:
    """Average the families' `values` [families, len(x)] made from the first `origin` points.

    Beyond the last point the prediction lies between a base and that base plus the recent slope carried on in ln x:
    families that turn down or run away cost more than they gain. The base goes from the fitted to the last value.
    """
    weights = stacking_weights(rolling, origin)
    mean, y = weights @ np.nan_to_num(values), rolling.y[:origin]
    distance = np.maximum(np.log(x / rolling.x[origin - 1]), 0.0)
    drift = recent_slope(rolling, origin) * distance
    fitted = weights @ np.nan_to_num(rolling.row(origin)[:, origin - 1])
    base = fitted + (y[-1] - fitted) * np.minimum(distance / SETTLED, 1.0)
    rise = np.where(distance > 0, np.clip(mean - base, 0.0, drift), 0.0)
    prediction = np.where(distance > 0, np.clip(base + rise, 0.0, 100.0), mean)
    roughness = float(np.sqrt((np.diff(y, 2) ** 2).mean() / 6.0)) if origin > 2 else 0.0
    missed, unsteady = past_miss(rolling, origin) * distance, np.sqrt(drift * roughness)
    columns = (drift, rise, roughness, float(y.max() - y[-1]), missed, unsteady)
    return Outlook(prediction, np.stack(np.broadcast_arrays(*columns), axis=-1), distance, weights)


def past_miss(rolling: Rolling, origin: int) -> float:
    """Return how far the families' plain mean missed the last of the first `origin` points, for each unit of ln x.

    The mean over forecasts from earlier origins (MIN_POINTS at least, where there is one); 0 without any.
    """
    last, x = origin - 1, rolling.x
    made = [(e, rolling.row(e)[:, last]) for e in rolling.origins if e < origin]
    made = [(e, row[~np.isnan(row)]) for e, row in made if not np.isnan(row).all()]
    made = [(e, row) for e, row in made if e >= MIN_POINTS] or made
    misses = [
        abs(float(row.mean()) - float(rolling.y[last])) / max(float(np.log(x[last] / x[e - 1])), LEAST_DISTANCE)
        for e, row in made
    ]
    return float(np.mean(misses)) if misses else 0.0


def recent_slope(rolling: Rolling, origin: int) -> float:
    """Return |d y / d ln x| over the last three of the first `origin` points."""
    t = np.log(rolling.x[max(origin - 3, 0) : origin])
    y = rolling.y[max(origin - 3, 0) : origin]
    t = t - t.mean()
    return float(abs((t * y).sum() / max(float((t**2).sum()), 1e-12)))
