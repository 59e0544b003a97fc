"""What bends the learning curves: finished ablation runs in; a figure, a table and a conclusion in words out.

    python -m tal_repro.paper.ablation --results results/ablation --out results/figures

Every run holds both weight sets, so the factor `weights` is paired within a run; `budget` is paired by unit, subset and
seed; `unit` by percentage. All numbers in the conclusion are computed from the runs.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.models.registry import MODELS
from tal_repro.runs.load import load_runs
from tal_repro.runs.run import Run

BUDGETS, WEIGHTS, UNITS = ("epochs", "steps"), ("ema", "raw"), ("video", "slice")
SLICES_AT_STEPS = "slices instead of videos, at the steps of either's whole set"
RAW = "raw weights instead of EMA"
ADDED = "raw weights, as published, instead of an added EMA"
COLUMNS = ("model", "unit", "budget", "weights", "percent", "seed", "average_map_percent", "optimizer_steps", "run_id")


class Point(NamedTuple):
    """The average mAP (percent) of one weight set of one run, last checkpoint, under the model's own protocol."""

    model: str
    unit: str
    budget: str
    weights: str
    percent: float
    seed: int
    average_map_percent: float
    optimizer_steps: int
    run_id: str


@dataclass(frozen=True)
class Effect:
    """A paired difference in mAP (points) of one factor for one model, at less than all of the data."""

    factor: str
    model: str
    differences: tuple[float, ...]
    steps: tuple[float, float] = (math.nan, math.nan)  # mean optimizer steps of the runs without and with the factor

    @property
    def mean(self) -> float:
        return statistics.fmean(self.differences)

    @property
    def half_width(self) -> float:
        """Return the half-width of the 95 % interval of the mean (infinite for one pair)."""
        from scipy import stats

        n = len(self.differences)
        if n < 2:
            return math.inf
        return float(stats.t.ppf(0.975, n - 1)) * statistics.stdev(self.differences) / math.sqrt(n)

    @property
    def verdict(self) -> str:
        """Say whether the interval leaves out 0."""
        if abs(self.mean) <= self.half_width:
            return "not resolved"
        return "raises the mAP" if self.mean > 0 else "lowers the mAP"


def ablation_runs(root: Path) -> list[Run]:
    """Return the finished ablation runs of a results folder; raise InputError where there is none that counts."""
    runs = load_runs(root).of("ablation")
    if all(run.flags for run in runs):
        raise InputError("no finished ablation runs", root, "make them: tal-repro run --study ablation")
    return runs


def points_of(runs: Iterable[Run]) -> list[Point]:
    """Return the points of runs that are not flagged invalid; both budgets share the whole set."""
    return [point for run in runs if not run.flags for point in _points(run)]


def _points(run: Run) -> Iterator[Point]:
    protocol = run.record.metrics["reported"]["protocol"]
    budgets = BUDGETS if run.percent == 100 else (run.spec.recipe["budget"],)
    for weights, budget in itertools.product(WEIGHTS, budgets):
        if (average := run.scores.get(("last", weights, protocol))) is not None:
            what = (run.model, run.unit, budget, weights, run.percent, run.seed)
            yield Point(*what, average, run.optimizer_steps, run.spec.run_id)


def published_weights(model: str) -> str:
    """Return the weight set its authors report: TadTR has no moving average, the study adds one for comparison."""
    return "ema" if MODELS[model].recipe.ema_decay > 0 else "raw"


def effects(points: Sequence[Point]) -> list[Effect]:
    """Return what each factor does to the mAP below 100 %, per model, the other factors as published."""
    below = [point for point in points if point.percent < 100]
    found = []
    for model in (name for name in MODELS if any(point.model == name for point in below)):
        own = [point for point in below if point.model == model]
        unit, weights = MODELS[model].unit, published_weights(model)
        factors = {
            RAW if weights == "ema" else ADDED: (("epochs", "ema", unit), ("epochs", "raw", unit)),
            "equal steps instead of equal epochs, EMA": (("epochs", "ema", unit), ("steps", "ema", unit)),
            "equal steps instead of equal epochs, raw": (("epochs", "raw", unit), ("steps", "raw", unit)),
            "slices instead of videos": (("epochs", weights, "video"), ("epochs", weights, "slice")),
            SLICES_AT_STEPS: (("steps", weights, "video"), ("steps", weights, "slice")),
        }
        for factor, (base, other) in factors.items():
            pairs = _paired(own, base, other)
            if pairs:
                differences = tuple(b.average_map_percent - a.average_map_percent for a, b in pairs)
                steps = [statistics.fmean(point.optimizer_steps for point in side) for side in zip(*pairs, strict=True)]
                found.append(Effect(factor, model, differences, (steps[0], steps[1])))
    return found


def _paired(points: Iterable[Point], base: tuple[str, ...], other: tuple[str, ...]) -> list[tuple[Point, Point]]:
    values: dict[tuple[str, ...], dict[tuple[float, int], Point]] = defaultdict(dict)
    for point in points:
        values[point.budget, point.weights, point.unit][point.percent, point.seed] = point
    shared = sorted(values[base].keys() & values[other].keys())
    return [(values[base][key], values[other][key]) for key in shared]


def early_share(points: Iterable[Point], percent: float) -> float | None:
    """Return the mean mAP at `percent` as a share of that at 100 %: high for a curve that saturates early."""
    means = _curve(points)
    return means[percent] / means[100] if percent in means and means.get(100, 0) > 0 else None


def conclude(points: Sequence[Point], made_up: bool, invalid: Sequence[str] = ()) -> str:
    """Say in words what the shape of the curves is due to (Markdown); `invalid`: why runs were left out."""
    runs = len({point.run_id for point in points})
    kind = "synthetic data: this says nothing of THUMOS14's values" if made_up else "real data"
    found = effects(points)
    lines = [
        "# What bends the learning curves",
        "",
        f"{runs} runs, {kind}.",
        *([f"Left out, being invalid: {len(invalid)} ({'; '.join(sorted(set(invalid)))})."] if invalid else []),
        "Average mAP of the last checkpoint. Differences are in mAP points, of paired runs at all shares below 100 %,",
        "with the 95 % interval of their mean (not resolved: it holds 0), as if an effect were alike at every share.",
        f"Of {len(found)} such intervals about {max(round(len(found) / 20), 1)} would leave out 0 by chance.",
        "Steps: mean optimizer steps of a run without and with the factor. Unless a factor is named, runs are trained",
        "and scored as published: equal epochs, the model's own unit, EMA (TadTR: raw weights). An epoch of slices has",
        "more steps than one of videos, so the shipped study trains pyramid models on slices for fewer epochs.",
        "",
        "| model | factor | difference | pairs | steps | |",
        "|---|---|---|---|---|---|",
    ]
    for effect in found:
        width = "-" if math.isinf(effect.half_width) else f"{effect.half_width:.1f}"
        lines.append(
            f"| {MODELS[effect.model].title} | {effect.factor} | {effect.mean:+.1f} +- {width} | "
            f"{len(effect.differences)} | {_steps(effect)} | {effect.verdict} |"
        )
    return "\n".join([*lines, "", *_shapes(points), "", *_summary(found)]) + "\n"


def _steps(effect: Effect) -> str:
    before, after = effect.steps
    return f"{before:.0f}" if before == after else f"{before:.0f} to {after:.0f}"


def _shapes(points: Sequence[Point]) -> list[str]:
    """Say which share of the full mAP a middling subset reaches under each condition."""
    percents = sorted({point.percent for point in points if point.percent < 100})
    if not percents:
        return ["No run below 100 % of the data: the shape cannot be judged."]
    middle = percents[len(percents) // 2]
    lines = [f"Share of the full-data mAP reached at {middle:g} % of the data:", ""]
    for model in (name for name in MODELS if any(point.model == name for point in points)):
        parts = []
        for unit, budget, weights in itertools.product(UNITS, BUDGETS, WEIGHTS):
            chosen = [p for p in points if p[:4] == (model, unit, budget, weights)]
            share = early_share(chosen, middle)
            if share is not None:
                parts.append(f"{unit}/{budget}/{weights} {100 * share:.0f} %")
        lines.append(f"- {MODELS[model].title}: {', '.join(parts) or 'no complete curve'}")
    return lines


def _summary(found: Sequence[Effect]) -> list[str]:
    """Say which factor moves the low end most, and where none can be told."""
    lines = []
    for model in dict.fromkeys(effect.model for effect in found):
        own = [effect for effect in found if effect.model == model]
        # what is already as published cannot be what bends the published curve
        resolved = [e for e in own if e.verdict != "not resolved" and e.factor != ADDED and _applies(model, e)]
        title = MODELS[model].title
        if not resolved:
            lines.append(f"{title}: no factor is resolved with these runs; add repeats.")
            continue
        largest = max(resolved, key=lambda effect: abs(effect.mean))
        others = ", ".join(f"{e.factor} {e.mean:+.1f}" for e in resolved if e is not largest) or "none"
        lines.append(
            f"{title}: the low end of its curve depends most on '{largest.factor}' ({largest.mean:+.1f} points); "
            f"further resolved: {others}."
        )
    artefact = [MODELS[e.model].title for e in found if e.factor == RAW and e.verdict == "raises the mAP"]
    if artefact:
        lines.append(
            f"For {', '.join(artefact)} part of what looks like hunger for data is the moving average: with few steps "
            "the evaluated weights are still close to the initial ones."
        )
    slices = [
        f"{MODELS[e.model].title} {e.mean:+.1f} (steps: {_steps(e)})"
        for e in found
        if e.factor == SLICES_AT_STEPS and "not" not in e.verdict
    ]
    if slices:
        lines.append(
            "With the steps of the whole set, too, it matters what is sampled: slices instead of videos, "
            f"{', '.join(slices)}."
        )
    return [line for text in lines for line in (text, "")][:-1]


def _applies(model: str, effect: Effect) -> bool:
    """Tell whether a factor starts from how the model is published, not from the other weight set."""
    other = "raw" if published_weights(model) == "ema" else "EMA"
    return effect.factor != SLICES_AT_STEPS and not effect.factor.endswith(f", {other}")


def draw(points: Sequence[Point], path: Path, made_up: bool) -> None:
    """Draw one panel a model: colour tells the budget, the line the weights, the marker the unit."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tal_repro.paper.figures.style import PAGE_INCHES, RC

    colours, lines = {"epochs": "#bb5566", "steps": "#004488"}, {"ema": "--", "raw": "-"}
    markers, fills = {"video": "o", "slice": "s"}, {"video": None, "slice": "white"}
    models = [name for name in MODELS if any(point.model == name for point in points)]
    with pyplot.rc_context(RC):
        figure, axes = pyplot.subplots(
            1, len(models), figsize=(PAGE_INCHES, 2.4), sharey=True, squeeze=False, layout="constrained"
        )
        for axis, model in zip(axes[0], models, strict=True):
            for unit, budget, weights in itertools.product(UNITS, BUDGETS, WEIGHTS):
                curve = _curve([p for p in points if p[:4] == (model, unit, budget, weights)])
                look = {"color": colours[budget], "linestyle": lines[weights], "marker": markers[unit]}
                label = f"{budget}, {weights}, {unit}"
                axis.plot([*curve], [*curve.values()], markerfacecolor=fills[unit], label=label, **look)
            axis.set(title=MODELS[model].title, xlabel="training data (%)")
        axes[0][0].set_ylim(0, 1.05 * max(point.average_map_percent for point in points) or 1)
        axes[0][0].set_ylabel("average mAP (%)" + (", synthetic data" if made_up else ""))
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        for suffix in (".png", ".pdf", ".svg"):
            figure.savefig(path.with_suffix(suffix), dpi=200)
        pyplot.close(figure)


def _curve(points: Iterable[Point]) -> dict[float, float]:
    """Return percentage -> mean mAP over seeds, in rising order."""
    by_percent: dict[float, list[float]] = defaultdict(list)
    for point in points:
        by_percent[point.percent].append(point.average_map_percent)
    return {percent: statistics.fmean(by_percent[percent]) for percent in sorted(by_percent)}


def write_table(points: Iterable[Point], path: Path) -> None:
    """Write every point as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(points))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs; write ablation.{png,pdf,svg,csv,md}; print the conclusion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/ablation"))
    parser.add_argument("--out", type=Path, default=Path("results/figures"))
    options = parser.parse_args(arguments)
    try:
        runs = ablation_runs(options.results)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    points, made_up = points_of(runs), any(run.synthetic for run in runs)
    options.out.mkdir(parents=True, exist_ok=True)
    text = conclude(points, made_up, ["; ".join(run.flags) for run in runs if run.flags])
    write_table(points, options.out / "ablation.csv")
    draw(points, options.out / "ablation", made_up)
    write_whole(options.out / "ablation.md", text.encode())
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
