"""The rows of the ablation: one for each weight set of each run, with what its training set held."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, get_type_hints

from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.runs.load import load_runs
from tal_repro.runs.members import Planned
from tal_repro.runs.run import Run

WEIGHTS = ("ema", "raw")


class Condition(NamedTuple):
    """How a model was trained and scored, but for the share of the data."""

    unit: str  # video or slice
    policy: str  # uniform, or all-classes: redrawn until every class is there
    budget: str  # epochs: those of the whole set; steps: its optimizer steps
    weights: str  # ema or raw


class Point(NamedTuple):
    """The average mAP (percent) of one weight set of one run: last checkpoint, the model's own protocol.

    `units`, `instances` and `classes` are those of its training set; slices count what they cut.
    """

    model: str
    unit: str
    policy: str
    budget: str
    weights: str
    percent: float
    seed: int
    average_map_percent: float
    optimizer_steps: int
    units: int
    instances: int
    classes: int
    classes_total: int
    run_id: str

    def of(self, condition: Condition) -> bool:
        """Tell whether it was made so. The whole set is the same under every policy and budget."""
        own = (self.unit, self.policy, self.budget, self.weights)
        if self.percent == 100:
            return (self.unit, self.weights) == (condition.unit, condition.weights)
        return own == condition


def ablation_runs(root: Path, plan: Planned | None = None) -> list[Run]:
    """Return the finished ablation runs of a results folder (of a study); InputError where none of them counts."""
    runs = load_runs(root, plan).of("ablation")
    if all(run.flags for run in runs):
        raise InputError("no finished ablation runs", root, "make them: tal-repro run --study ablation")
    return runs


def points_of(runs: Iterable[Run]) -> list[Point]:
    """Return the points of runs that are not flagged invalid, in the order of the rows."""
    return sorted(point for run in runs if not run.flags for point in _points(run))


def _points(run: Run) -> Iterator[Point]:
    protocol, held = run.record.metrics["reported"]["protocol"], run.record.metrics.get("training", {})
    units, instances, classes = (int(held.get(name, 0)) for name in ("units", "instances", "classes"))
    recipe = run.spec.recipe
    for weights in WEIGHTS:
        if (average := run.scores.get(("last", weights, protocol))) is not None:
            yield Point(
                run.model, run.unit, run.policy, recipe["budget"], weights, run.percent, run.seed, average,
                run.optimizer_steps, units, instances, classes, recipe.get("num_classes", 0), run.spec.run_id,
            )  # fmt: skip


def published_weights(model: str) -> str:
    """Return the weight set its authors report: TadTR has no moving average, the study adds one for comparison."""
    return "ema" if MODELS[model].recipe.ema_decay > 0 else "raw"


def models_of(points: Iterable[Point]) -> list[str]:
    """Return the models of points in the kit's order."""
    there = {point.model for point in points}
    return [name for name in MODELS if name in there]


def write_rows(points: Iterable[Point], path: Path) -> None:
    """Write every point as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Point._fields)
        writer.writerows(sorted(points))


def read_rows(path: Path) -> list[Point]:
    """Read what `write_rows` wrote; raise InputError naming the line that does not fit."""
    kinds = get_type_hints(Point)
    points = []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for line, row in enumerate(csv.DictReader(stream), start=2):
                try:
                    points.append(Point(**{name: kinds[name](row[name]) for name in Point._fields}))
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(f"not a row of the ablation ({error})", f"{path}:{line}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", path, "give the ablation.csv that this program wrote") from None
    return points
