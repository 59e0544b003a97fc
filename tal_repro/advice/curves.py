"""The learning curves of a study's own runs: average mAP and AP of each class against the share of the training set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tal_repro.curves import Forecast, Points, forecast, make_points
from tal_repro.curves.forecast import too_few
from tal_repro.models.registry import MODELS
from tal_repro.runs.apart import pooled
from tal_repro.runs.run import Run, finite, part


@dataclass(frozen=True)
class StudyCurve:
    """One model under one engine: the scored runs of its data sweep, those of one setting."""

    model: str
    engine: str
    runs: tuple[Run, ...]

    @property
    def title(self) -> str:
        """Name it as sentences do."""
        model = MODELS[self.model].title if self.model in MODELS else self.model
        return model if self.engine == "native" else f"{model} ({self.engine} engine)"

    @property
    def synthetic(self) -> bool:
        """Say whether its data are made up."""
        return any(run.synthetic for run in self.runs)

    @property
    def points(self) -> Points:
        """Return its points: mean average mAP in percent against the share in percent."""
        return _points([(run.percent, float(run.average_map or 0.0)) for run in self.runs])

    @property
    def at_most_data(self) -> list[Run]:
        """Return the runs at its largest share."""
        largest = max(run.percent for run in self.runs)
        return [run for run in self.runs if run.percent == largest]

    def by_class(self) -> dict[str, Points]:
        """Return the points of each class that its runs keep an AP of (none: runs of a former version)."""
        values: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for run in self.runs:
            for name, share in class_aps(run).items():
                values[name].append((run.percent, 100.0 * share))
        return {name: _points(pairs) for name, pairs in sorted(values.items())}


def study_curves(runs: Iterable[Run]) -> list[StudyCurve]:
    """Return the curves of a study's data sweep, the highest first; a model's other settings are left out."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in pooled(run for run in runs if run.experiment == "data_sweep"):
        if run.average_map is not None:
            groups[run.model, run.engine].append(run)
    curves = [StudyCurve(model, engine, tuple(group)) for (model, engine), group in groups.items()]
    return sorted(curves, key=lambda curve: -float(curve.points.mean[-1]))


def class_aps(run: Run) -> Mapping[str, float]:
    """Return the AP of each class as a run kept it (shares, mean over tIoUs); {} where it kept none."""
    kept = part(run.per_class, "ap")
    return {str(name): value for name, raw in kept.items() if (value := finite(raw)) is not None and 0 <= value <= 1}


def forecast_of(points: Points) -> Forecast | None:
    """Return the forecast of a curve; None where it has too few points."""
    if too_few(points):
        return None
    return _forecast(*(tuple(column.tolist()) for column in (points.percent, points.mean, points.std, points.runs)))


@lru_cache(256)  # a page that follows a study asks again for curves that have not changed
def _forecast(
    percent: tuple[float, ...], mean: tuple[float, ...], std: tuple[float, ...], runs: tuple[float, ...]
) -> Forecast:
    return forecast(make_points(percent, mean, std, [round(count) for count in runs]))


def _points(pairs: list[tuple[float, float]]) -> Points:
    return make_points([percent for percent, _ in pairs], [value for _, value in pairs])
