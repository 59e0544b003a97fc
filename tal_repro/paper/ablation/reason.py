"""The paper's reason for the bend, weighed at the low shares: all models together, each share alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tal_repro.paper.ablation import effects as e
from tal_repro.paper.ablation.effects import Effect, listed
from tal_repro.paper.claims.acceleration import LOW_PERCENT

PREMISE = "a premise of the paper's reason: classes that a subset lacks lower its mAP"
IN_PART = "the paper's premise in part at most: slices hold more classes, and more actions from more videos, too"
REASONS = {  # contrast -> what it supports where it raises the mAP
    e.ALL_CLASSES_AT_STEPS: PREMISE,
    e.ALL_CLASSES: PREMISE,
    e.SLICES_AT_STEPS: IN_PART,
    e.SLICES: IN_PART,
    e.STEPS_EMA: "a premise of another reason: few steps under a lagging average lower the mAP, classes being equal",
    e.RAW_AT_EPOCHS: "a premise of another reason: a lagging average lowers the mAP, classes being equal",
    e.STEPS_RAW: "a premise of another reason: few steps lower the mAP, classes being equal",
}


@dataclass(frozen=True)
class _Weighed:
    """The effects of one contrast at one share, of every model, and how many shares its intervals hold at together."""

    name: str
    percent: float
    own: tuple[Effect, ...]
    shares: int

    def interval(self, together: int) -> tuple[float, float, float] | None:
        """Return mean, low and high of an interval that holds together with others, as many in all as said."""
        return e.over_models(self.own, 1 - (1 - e.LEVEL) / together)


def reason_lines(measured: Sequence[Effect]) -> list[str]:
    """Weigh the paper's reason: a line for each contrast and share, and what all of them together leave."""
    weighed = _weigh(measured)
    return [
        "The paper says that the gain of ActionFormer grows up to 15 % of the data because new classes appear. Videos",
        "drawn until all classes are there are as many as any videos; the actions in them are counted above. Here the",
        "mean mAP over the models counts, once a subset, as models share their subsets. A factor's intervals hold at",
        "all its shares together in at least 95 % of cases; the factors are not corrected for each other.",
        "",
        *(_line(one) for one in weighed),
        "",
        _all_together(weighed),
    ]


def _weigh(measured: Sequence[Effect]) -> list[_Weighed]:
    low = [x for x in measured if x.percent <= LOW_PERCENT]
    weighed = []
    for name in REASONS:
        shares = sorted({x.percent for x in low if x.contrast.name == name})
        for percent in shares:
            own = tuple(x for x in low if x.contrast.name == name and x.percent == percent)
            weighed.append(_Weighed(name, percent, own, len(shares)))
    return [one for one in weighed if one.interval(one.shares) is not None]


def _line(one: _Weighed) -> str:
    mean, low, high = one.interval(one.shares) or (0.0, 0.0, 0.0)
    models = f"{len(one.own)} model{'s' * (len(one.own) > 1)}"
    verdict = "Not resolved."
    if not low <= 0 <= high:
        verdict = f"This {'supports' if low > 0 else 'speaks against'} {REASONS[one.name]}."
    return f"- At {one.percent:g} %, {one.name}: {mean:+.1f} ({low:+.1f} to {high:+.1f}), {models}. {verdict}"


def _all_together(weighed: Sequence[_Weighed]) -> str:
    """Name what leaves out 0 when all intervals are to hold at once."""
    left: dict[str, list[str]] = {}
    for one in weighed:
        _, low, high = one.interval(len(weighed)) or (0.0, 0.0, 0.0)
        if not low <= 0 <= high:
            left.setdefault(one.name, []).append(f"{one.percent:g}")
    said = "; ".join(f"{name}, at {listed(shares)} %" for name, shares in left.items()) or "none"
    return f"Where all {len(weighed)} intervals are to hold together in 95 % of cases, these still leave out 0: {said}."
