"""The ablation in words and tables (Markdown), computed from its rows and no stronger than their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tal_repro.models.registry import MODELS
from tal_repro.paper.ablation import effects as e
from tal_repro.paper.ablation.bends import bend_lines
from tal_repro.paper.ablation.coverage import coverage_lines
from tal_repro.paper.ablation.effects import Effect, effects, listed
from tal_repro.paper.ablation.points import Point
from tal_repro.paper.ablation.reason import reason_lines

NAMES = (
    e.ALL_CLASSES, e.ALL_CLASSES_AT_STEPS, e.SLICES, e.SLICES_AT_STEPS, e.STEPS_EMA, e.STEPS_RAW, e.RAW_AT_EPOCHS,
    e.RAW_AT_STEPS,
)  # fmt: skip


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
        *_head(points, source, [effect for effect in measured if effect.runs > 1]),
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
        *reason_lines(measured),
        "",
        "## Where a percent more data gains most",
        "",
        *bend_lines(points),
        "",
    ])  # fmt: skip


def _head(points: Sequence[Point], source: Source, intervals: Sequence[Effect]) -> list[str]:
    runs = len({point.run_id for point in points})
    kind = "synthetic data: nothing here is about THUMOS14's mAPs" if source.made_up else "real data"
    left_out = f" Left out, being invalid: {len(source.invalid)} ({'; '.join(sorted(set(source.invalid)))})."
    chance, bold = max(round((1 - e.LEVEL) * len(intervals)), 1), sum(effect.direction != 0 for effect in intervals)
    return [
        f"{runs} of the {max(source.planned, runs)} runs that the study plans, {kind}."
        + (left_out if source.invalid else ""),
        f"Runs of a condition: {_repeats(points)}.",
        "",
        "Average mAP of the last checkpoint. A difference is in mAP points, with its 95 % interval, for one model at",
        "one share; shares are never pooled. Budgets and weights are compared within a subset and seed (paired t),",
        "units between subsets (Welch). As published: equal epochs, any videos (TadTR: slices), the moving average",
        f"(TadTR: raw weights). Bold: leaves out 0, as {bold} of {len(intervals)} intervals here do; about {chance}",
        "would if no factor did anything. None is corrected for the others. One run a side has no interval.",
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
    return "; ".join(f"{model} at {listed(shares)} %" for model, shares in places.items())
