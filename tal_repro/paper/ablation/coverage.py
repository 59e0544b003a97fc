"""How many classes the training sets of the ablation held, beside what the real annotations give."""

from __future__ import annotations

from collections.abc import Sequence

from tal_repro.paper.ablation.points import Point
from tal_repro.paper.claims.coverage import classes_at
from tal_repro.published.load import load_published

DRAWS = (
    ("video", "uniform", "any videos"),
    ("video", "all-classes", "videos of all classes"),
    ("slice", "uniform", "slices"),
)
REAL = (("video", "THUMOS14's videos"), ("slice", "THUMOS14's slices"))


def coverage_lines(points: Sequence[Point]) -> list[str]:
    """Return a table: classes in the training set at each share, mean and range over draws; THUMOS14's are exact."""
    real = load_published()["units_per_class"]
    total = max((point.classes_total for point in points), default=0)
    heads = [f"{name} (of {total})" for _, _, name in DRAWS] + [f"{name} (of 20)" for _, name in REAL]
    lines = ["| share | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for percent in sorted({point.percent for point in points}):
        held = [_held(points, percent, unit, policy) for unit, policy, _ in DRAWS]
        expected = [f"{classes_at(real, unit, percent):.1f}" for unit, _ in REAL]
        lines.append(f"| {percent:g} % | " + " | ".join([*held, *expected]) + " |")
    return lines


def _held(points: Sequence[Point], percent: float, unit: str, policy: str) -> str:
    """Return the classes of a kind of draw: every drawn set counts once, however many models were trained on it."""
    draws: dict[int, int] = {}
    for p in points:
        if p.percent == percent and p.unit == unit and (p.policy == policy or percent == 100):
            draws[p.seed] = max(draws.get(p.seed, 0), p.classes)  # TadTR's slices may lose an action that they cut
    classes = list(draws.values())
    if not classes:
        return "-"
    low, high, mean = min(classes), max(classes), sum(classes) / len(classes)
    return f"{mean:.1f}" if low == high else f"{mean:.1f} ({low} to {high})"
