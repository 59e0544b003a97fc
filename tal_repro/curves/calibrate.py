"""How far off a forecast may be: a predictive distribution, calibrated on public learning curves.

`stacking` gives a prediction and features; `calibration.json` beside this file turns them into quantiles. It is made
by `benchmarks/forecast_calibration.py`, which also measures on other data sets how often the intervals hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves.family import Array
from tal_repro.curves.stacking import FEATURES, Outlook

LEVEL = 0.8
FLOOR = 0.1  # points of mAP
PATH = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class Calibration:
    """Errors of forecasts in units of a scale: `quantiles` [ratios, levels] of (truth - centre) / scale.

    A ratio is the x asked for over the largest x seen; between the ratios of the table ln(ratio) is interpolated.

    The centre is the prediction plus the features times `shift`. The scale is the root of FLOOR squared and the
    summed squares of the features, each times its coefficient: `above` [features] for truths above the centre,
    `below` for those below, because misses above and below are not alike.
    """

    shift: Array
    above: Array
    below: Array
    levels: Array
    log_ratios: Array
    quantiles: Array
    calibrated_on: str
    held_out: dict[str, Any]

    def quantile(self, made: Outlook, level: float) -> Array:
        """Return the value [n] that the truth stays below with probability `level`, within 0..100."""
        z = np.array([np.interp(level, self.levels, row) for row in self._rows(made)])
        return np.asarray(np.clip(self._centre(made) + z * self._scale(made, z > 0), 0.0, 100.0))

    def at_least(self, made: Outlook, value: float | Array) -> Array:
        """Return the probability [n] that the truth is `value` or more."""
        missing = value - self._centre(made)
        z = missing / self._scale(made, missing > 0)
        return np.array([1.0 - np.interp(at, row, self.levels) for at, row in zip(z, self._rows(made), strict=True)])

    def _rows(self, made: Outlook) -> Array:
        columns = [np.interp(made.log_ratio, self.log_ratios, column) for column in self.quantiles.T]
        return np.stack(columns, axis=-1)

    def _scale(self, made: Outlook, above: NDArray[np.bool_]) -> Array:
        return np.where(above, scales(made.features, self.above), scales(made.features, self.below))

    def _centre(self, made: Outlook) -> Array:
        return np.asarray(made.prediction + made.features @ self.shift)


def scales(features: Array, coefficients: Array) -> Array:
    """Return the scale [n] of features [n, FEATURES]."""
    return np.asarray(np.sqrt(features**2 @ coefficients**2 + FLOOR**2))


@lru_cache(maxsize=1)
def load_calibration() -> Calibration:
    """Load the calibration shipped with the kit."""
    return read_calibration(json.loads(PATH.read_text(encoding="utf-8")))


def read_calibration(content: dict[str, Any]) -> Calibration:
    """Build the calibration from what `calibration.json` holds."""
    shift, above, below = (np.array([content[part][name] for name in FEATURES]) for part in ("shift", "above", "below"))
    return Calibration(
        shift,
        above,
        below,
        np.array(content["levels"]),
        np.log(content["ratios"]),
        np.array(content["quantiles"]),
        content["calibrated_on"],
        content["held_out"],
    )
