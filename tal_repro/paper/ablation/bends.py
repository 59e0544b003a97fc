"""Where each curve of the ablation gains most for a percent of data, and for which models that needs new classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tal_repro.models.registry import MODELS
from tal_repro.paper.ablation.effects import listed
from tal_repro.paper.ablation.points import Condition, Point, models_of, published_weights
from tal_repro.paper.claims.acceleration import Bend, Curve, bend

PUBLISHED, EQUAL = "as published", "equal steps, raw weights"
COMPLETE = ", videos of all classes"
LEAST_SHARES = 3  # two stretches beside the one from the origin


def bend_lines(points: Sequence[Point]) -> list[str]:
    """Say where each curve gains most and whether chance can be excluded, then what that says of the paper's reason."""
    bends = _bends(points)
    published, complete, equal = (_shown(bends, name) for name in (PUBLISHED, PUBLISHED + COMPLETE, EQUAL))
    return [
        "A gain is the mAP that a percent of data adds between two shares; the first one is from the origin (no data,",
        f"no mAP). p is corrected for the stretches of a curve, not for the {len(bends)} curves.",
        "",
        *(f"- {MODELS[model].title}, {name}: {found.words}." for (model, name), found in bends.items()),
        "",
        f"A gain that grows is shown (p < 0.05) as published for {published}; as published with videos of all classes,",
        f"where no class is missing, for {complete}; at equal steps and raw weights for {equal}. Were new classes",
        "the only reason, it would be shown in the first and the last, and not with videos of all classes.",
    ]


def _bends(points: Sequence[Point]) -> dict[tuple[str, str], Bend]:
    """Return the bend of each model's curves with enough shares."""
    bends = {}
    for model in models_of(points):
        for name, condition in _conditions(model).items():
            curve = _curve([p for p in points if p.model == model and p.of(condition)])
            if len(curve) >= LEAST_SHARES:
                bends[model, name] = bend(curve)
    return bends


def _conditions(model: str) -> dict[str, Condition]:
    weights = published_weights(model)
    return {
        PUBLISHED: Condition(MODELS[model].unit, "uniform", "epochs", weights),
        PUBLISHED + COMPLETE: Condition("video", "all-classes", "epochs", weights),
        EQUAL: Condition("video", "uniform", "steps", "raw"),
        EQUAL + COMPLETE: Condition("video", "all-classes", "steps", "raw"),
    }


def _shown(bends: dict[tuple[str, str], Bend], curve: str) -> str:
    models = [MODELS[model].title for (model, name), found in bends.items() if name == curve and found.accelerates]
    return listed(models) if models else "no model"


def _curve(points: Iterable[Point]) -> Curve:
    curve: Curve = {}
    for point in sorted(points, key=lambda p: p.percent):
        curve.setdefault(point.percent, []).append(point.average_map_percent)
    return curve
