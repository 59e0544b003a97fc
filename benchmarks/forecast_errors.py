"""Forecasts of curves whose end is known, as columns: `forecast_fit` calibrates on them, `forecast_measure` judges."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from tal_repro.curves.family import Array
from tal_repro.curves.forecast import falls
from tal_repro.curves.stacking import FEATURES, MIN_POINTS, STACKED, Outlook, Rolling, outlook

VISIBLE = (13.0, 35.0, 50.0)  # percent of the data at most
MMF = STACKED.index("4pl")  # MMF under another name


@dataclass(frozen=True)
class Errors:
    """One row per forecast: its outlook, the truth, and what other methods say.

    `visible` is the share (percent) it counts for where the truth is the curve's last point, else 0.
    """

    data_set: Array
    visible: Array
    prediction: Array
    features: Array
    log_ratio: Array
    truth: Array
    last: Array
    best: Array
    falling: Array
    earlier: Array
    pow3: Array
    mmf: Array

    @property
    def made(self) -> Outlook:
        """Return the forecasts as `calibrate` takes them."""
        return Outlook(self.prediction, self.features, self.log_ratio, np.empty(0))

    def where(self, mask: Array) -> Errors:
        """Return the rows of `mask`."""
        return Errors(*(getattr(self, field.name)[mask] for field in fields(self)))


def join(parts: list[Errors]) -> Errors:
    """Put the rows of many curves below each other."""
    return Errors(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Errors)))


def errors_of(data_set: int, rolling: Rolling, pow3: Array, everything: bool = False) -> Errors:
    """Forecast a curve's last point from each visible share, or every later point from every origin."""
    x = rolling.x
    origins = {int((x <= share * (1 + 1e-9)).sum()) for share in VISIBLE}
    if everything:
        origins = set(rolling.origins)
    usable = [o for o in sorted(origins) if MIN_POINTS <= o < len(x) and o in rolling.origins]
    rows = join([_from(data_set, rolling, pow3, origin) for origin in usable] or [_nothing()])
    return rows if everything else rows.where(rows.visible > 0)


def _nothing() -> Errors:
    empty = np.empty(0)
    return Errors(*(np.empty((0, len(FEATURES))) if field.name == "features" else empty for field in fields(Errors)))


def _from(data_set: int, rolling: Rolling, pow3: Array, origin: int) -> Errors:
    x, y = rolling.x, rolling.y
    made = outlook(rolling, origin, rolling.row(origin), x)
    later = slice(origin, len(x))
    count = len(x) - origin
    share = max((s for s in VISIBLE if int((x <= s).sum()) == origin), default=0.0)
    visible = np.zeros(count)
    visible[-1] = share
    return Errors(
        np.full(count, data_set),
        visible,
        made.prediction[later],
        made.features[later],
        made.log_ratio[later],
        y[later],
        np.full(count, y[origin - 1]),
        np.full(count, y[:origin].max()),
        np.full(count, falls(x[:origin], y[:origin])),
        (made.weights @ np.nan_to_num(rolling.row(origin)))[later],
        pow3[rolling.origins.index(origin)][later],
        rolling.row(origin)[MMF][later],
    )
