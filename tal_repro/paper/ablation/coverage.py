"""How many classes and actions the training sets of the ablation held, beside what the real annotations give."""

from __future__ import annotations

from collections.abc import Sequence

from tal_repro.paper.ablation.effects import listed
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
    """Return two tables of the training sets at each share, mean and range over draws: their classes, their actions."""
    real = load_published()["units_per_class"]
    total = max((point.classes_total for point in points), default=0)
    percents = sorted({point.percent for point in points})
    sizes = dict(zip(real["unit"].tolist(), real["total"].tolist(), strict=True))
    classes = [
        [*(_range(_classes(points, percent, *draw)) for draw in DRAWS)]
        + [f"{classes_at(real, unit, percent):.1f}" for unit, _ in REAL]
        for percent in percents
    ]
    actions = [[_range(_actions(points, percent, *draw)) for draw in DRAWS] for percent in percents]
    heads = [f"{name} (of {total})" for _, _, name in DRAWS] + [f"{name} (of 20)" for _, name in REAL]
    return [
        "Classes. THUMOS14's are expected values of as large a share of its "
        + listed([f"{int(sizes[unit])} {unit}s" for unit, _ in REAL])
        + ", drawn at random.",
        "",
        *_table(heads, percents, classes),
        "",
        "Actions. Slices overlap: an action that two of them show counts twice.",
        "",
        *_table([name for _, _, name in DRAWS], percents, actions),
        *_complete(points, percents, total),
    ]


def _complete(points: Sequence[Point], percents: Sequence[float], total: int) -> list[str]:
    """Say where "any videos" lack nothing: there videos of all classes are drawn no differently."""
    whole = [p for p in percents if p < 100 and set(_classes(points, p, *DRAWS[0])) == {total}]
    if not whole:
        return []
    shares = listed([f"{percent:g}" for percent in whole])
    return ["", f"At {shares} % any videos held all classes, too: there the effect of the classes can only be chance."]


def _table(heads: Sequence[str], percents: Sequence[float], rows: Sequence[Sequence[str]]) -> list[str]:
    body = [f"| {percent:g} % | " + " | ".join(row) + " |" for percent, row in zip(percents, rows, strict=True)]
    return ["| share | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|", *body]


def _classes(points: Sequence[Point], percent: float, unit: str, policy: str, _: str) -> list[int]:
    """Return the classes of a kind of draw: every drawn set counts once, however many models were trained on it."""
    draws: dict[int, int] = {}
    for p in _drawn(points, percent, unit, policy):
        draws[p.seed] = max(draws.get(p.seed, 0), p.classes)  # TadTR's slices may lose an action that they cut
    return list(draws.values())


def _actions(points: Sequence[Point], percent: float, unit: str, policy: str, _: str) -> list[int]:
    draws: dict[int, int] = {}
    for p in _drawn(points, percent, unit, policy):
        draws[p.seed] = min(draws.get(p.seed, p.instances), p.instances)  # TadTR cuts videos into slices that overlap
    return list(draws.values())


def _drawn(points: Sequence[Point], percent: float, unit: str, policy: str) -> list[Point]:
    return [p for p in points if p.percent == percent and p.unit == unit and (p.policy == policy or percent == 100)]


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return "-"
    low, high, mean = min(counts), max(counts), sum(counts) / len(counts)
    return f"{mean:.1f}" if low == high else f"{mean:.1f} ({low} to {high})"
