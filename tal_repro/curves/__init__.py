"""Learning curves: families, fits that say what they do not know, forecasts. Knows nothing of TAL.

>>> from tal_repro.curves import FAMILIES, fit, forecast
>>> fit("5pl", [10, 20, 40, 60, 80, 100], [3.5, 24.7, 46.9, 59.3, 62.7, 66.3]).identified
False
"""

from tal_repro.curves.backtest import HeldOut
from tal_repro.curves.families import FAMILIES
from tal_repro.curves.family import Family
from tal_repro.curves.fit import Fit, fit
from tal_repro.curves.forecast import Forecast, forecast
from tal_repro.curves.points import Points, make_points

__all__ = [
    "FAMILIES",
    "Family",
    "Fit",
    "Forecast",
    "HeldOut",
    "Points",
    "fit",
    "forecast",
    "make_points",
]
