"""The ablation in words and tables (Markdown), computed from its rows and no stronger than their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tal_repro.models.registry import MODELS
from tal_repro.paper.ablation import effects as e
from tal_repro.paper.ablation.coverage import coverage_lines
from tal_repro.paper.ablation.effects import Effect, effects
from tal_repro.paper.ablation.points import Condition, Point, models_of, published_weights
from tal_repro.paper.claims.acceleration import LOW_PERCENT, Curve, bend

NAMES = (
    e.ALL_CLASSES, e.ALL_CLASSES_AT_STEPS, e.SLICES, e.SLICES_AT_STEPS, e.STEPS_EMA, e.STEPS_RAW, e.RAW_AT_EPOCHS,
    e.RAW_AT_STEPS,
)  # fmt: skip
BENDS = {  # a curve needs three shares at least, two gains
    "as published": None,
    "equal steps, raw weights": Condition("video", "uniform", "steps", "raw"),
    "equal steps, raw weights, videos of all classes": Condition("video", "all-classes", "steps", "raw"),
}
LEAST_SHARES = 3
ONE_SIDE = (1 - e.LEVEL) / 2  # how often an interval lies above 0 by chance


@dataclass(frozen=True)
class Source:
    """Where rows come from: the runs that were planned, and why runs were left out."""

    made_up: bool
    planned: int
    invalid: tuple[str, ...] = ()


def conclude(points: Sequence[Point], source: Source) -> str:
    """Return the whole text."""
    measured = effects(points)
    return "\n".join([
        "# What bends the learning curves",
        "",
        *_head(points, source, sum(effect.runs > 1 for effect in measured)),
        "",
        "## What the training sets held",
        "",
        *coverage_lines(points),
        "",
        "## Effects at each share",
        "",
        *_tables(measured),
        "## In words",
        "",
        *_sentences(measured),
        "",
        "## Classes, or steps and averages?",
        "",
        *_reason(measured),
        "",
        *_bends(points),
        "",
    ])  # fmt: skip


def _head(points: Sequence[Point], source: Source, count: int) -> list[str]:
    runs = len({point.run_id for point in points})
    kind = "synthetic data: nothing here is about THUMOS14's mAPs" if source.made_up else "real data"
    left_out = f" Left out, being invalid: {len(source.invalid)} ({'; '.join(sorted(set(source.invalid)))})."
    chance = max(round((1 - e.LEVEL) * count), 1)
    return [
        f"{runs} of the {max(source.planned, runs)} runs that the study plans, {kind}."
        + (left_out if source.invalid else ""),
        f"Runs of a condition: {_repeats(points)}.",
        "",
        "Average mAP of the last checkpoint. A difference is in mAP points, with its 95 % interval, for one model at",
        "one share; shares are never pooled. Budgets and weights are compared within a subset and seed (paired t),",
        "units between subsets (Welch). As published: equal epochs, any videos (TadTR: slices), the moving average",
        f"(TadTR: raw weights). Of the {count} intervals here about {chance} would leave out 0 by chance.",
        "Bold: leaves out 0. One run a side has no interval.",
    ]


def _repeats(points: Iterable[Point]) -> str:
    """Say how many runs the conditions have at each share: "3 at 10 %, 1 to 2 at 50 %"."""
    counts: dict[float, dict[tuple[str, ...], int]] = {}
    for p in points:
        at = counts.setdefault(p.percent, {})
        key = (p.model, p.unit, p.policy, p.budget, p.weights)
        at[key] = at.get(key, 0) + 1
    parts = []
    for percent in sorted(counts):
        low, high = min(counts[percent].values()), max(counts[percent].values())
        parts.append(f"{low if low == high else f'{low} to {high}'} at {percent:g} %")
    return ", ".join(parts)


def _tables(measured: Sequence[Effect]) -> list[str]:
    lines = []
    percents = sorted({effect.percent for effect in measured})
    for model in models_of_effects(measured):
        cells = {(x.contrast.name, x.percent): _cell(x) for x in measured if x.model == model}
        lines += [
            f"{MODELS[model].title}:",
            "",
            "| factor | " + " | ".join(f"{percent:g} %" for percent in percents) + " |",
            "|---" * (len(percents) + 1) + "|",
            *(
                f"| {name} | " + " | ".join(cells.get((name, percent), "not run") for percent in percents) + " |"
                for name in NAMES
            ),
            "",
        ]
    return lines


def models_of_effects(measured: Iterable[Effect]) -> list[str]:
    """Return the models that effects are of, in the kit's order."""
    return [name for name in MODELS if any(effect.model == name for effect in measured)]


def _cell(effect: Effect) -> str:
    if effect.runs < 2:
        return f"{effect.mean:+.1f} (one run a side)"
    text = f"{effect.mean:+.1f} ({effect.low:+.1f} to {effect.high:+.1f})"
    return f"**{text}**" if effect.direction else text


def _sentences(measured: Sequence[Effect]) -> list[str]:
    lines = []
    for name in NAMES:
        own = [effect for effect in measured if effect.contrast.name == name and effect.runs > 1]
        if own:
            said = [(1, "higher mAP"), (-1, "lower mAP"), (0, "not resolved")]
            parts = [f"{word}: {where}" for way, word in said if (where := _where(own, way))]
            lines.append(f"- {name[0].upper()}{name[1:]}: {'. '.join(parts)}.")
    return lines


def _where(own: Iterable[Effect], direction: int) -> str:
    """List the models and shares of effects of one direction: "TadTR at 10 and 20 %; TriDet at 10 %"."""
    places: dict[str, list[str]] = {}
    for effect in own:
        if effect.direction == direction:
            places.setdefault(MODELS[effect.model].title, []).append(f"{effect.percent:g}")
    return "; ".join(f"{model} at {_and(shares)} %" for model, shares in places.items())


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _reason(measured: Sequence[Effect]) -> list[str]:
    """Weigh the paper's reason (new classes) at the low shares: what lies above 0 against what chance gives."""
    low = [x for x in measured if x.percent <= LOW_PERCENT and x.runs > 1]
    lines = [
        "The paper says that the gain of ActionFormer grows up to 15 % of the data because new classes appear. Videos",
        "drawn until all classes are there, at equal steps and with raw weights, change nothing but the classes.",
        "",
    ]
    for name in (e.ALL_CLASSES_AT_STEPS, e.SLICES_AT_STEPS):
        own = [x for x in low if x.contrast.name == name]
        if own:
            lines += [f"- {name[0].upper()}{name[1:]}, up to {LOW_PERCENT:g} %: {_weigh(own, name)}", ""]
    steps = [x for x in low if x.contrast.name == e.STEPS_EMA]
    if steps:
        above = sum(x.direction > 0 for x in steps)
        mixed = (
            " Few steps under an average that lags lower a small share whatever classes it holds: a published curve "
            "mixes both."
        )
        said = mixed if above > by_chance(len(steps)) else ""
        name = e.STEPS_EMA[0].upper() + e.STEPS_EMA[1:]
        lines.append(f"- {name}, up to {LOW_PERCENT:g} %: {above} of {len(steps)} intervals lie above 0.{said}")
    return lines


def _weigh(own: Sequence[Effect], name: str) -> str:
    above, below = (sum(x.direction == way for x in own) for way in (1, -1))
    most = by_chance(len(own))
    counts = f"{above} of {len(own)} intervals lie above 0, {below} below (by chance: at most {most} in 19 of 20 cases)"
    span = f"means from {min(x.mean for x in own):+.1f} to {max(x.mean for x in own):+.1f} mAP"
    what = "the paper's reason" + (", as slices hold more classes" if name == e.SLICES_AT_STEPS else "")
    if above > most >= below:
        verdict = f"This supports {what}."
        if name == e.SLICES_AT_STEPS:
            verdict += " Slices come from more videos, too, so classes are not the only difference."
    elif below > most >= above:
        verdict = f"This speaks against {what}."
    else:
        verdict = f"This neither supports nor contradicts {what}."
    return f"{counts}; {span}. {verdict} The models share their subsets, so their intervals lean the same way."


def by_chance(count: int) -> int:
    """Return the largest number of `count` intervals that lie above 0 by chance in 95 % of cases (independent ones)."""
    total = 0.0
    for number in range(count + 1):
        total += math.comb(count, number) * ONE_SIDE**number * (1 - ONE_SIDE) ** (count - number)
        if total >= 0.95:
            return number
    return count


def _bends(points: Sequence[Point]) -> list[str]:
    """Say where each curve gains most for a percent of data, and whether chance can be excluded."""
    lines = ["Where a percent more data gains most (p is corrected for the stretches looked at):", ""]
    for model in models_of(points):
        for name, condition in BENDS.items():
            if condition is None:
                condition = Condition(MODELS[model].unit, "uniform", "epochs", published_weights(model))
            curve = _curve([p for p in points if p.model == model and p.of(condition)])
            if len(curve) >= LEAST_SHARES:
                lines.append(f"- {MODELS[model].title}, {name}: {bend(curve).words}.")
    return lines


def _curve(points: Iterable[Point]) -> Curve:
    curve: Curve = {}
    for point in sorted(points, key=lambda p: p.percent):
        curve.setdefault(point.percent, []).append(point.average_map_percent)
    return curve
