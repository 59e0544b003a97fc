"""What the real annotations say of subsets: how many classes a share of the videos or of TadTR's slices shows."""

from __future__ import annotations

from math import comb

import numpy as np

from tal_repro.paper.claims.curves import titled
from tal_repro.paper.claims.derivation import Derivation, derives
from tal_repro.paper.claims.readings import number, unpublished, vary
from tal_repro.published.table import Table

LOW_PERCENT = 1.0  # the paper's smallest subset
NOT_CLASSES = ("unit", "total")


def expected_classes(units_per_class: Table, unit: str, drawn: int) -> float:
    """Return the mean number of classes that `drawn` units show, drawn without replacement (exact: hypergeometric)."""
    (row,) = units_per_class.where(unit=unit).rows()
    total = row["total"]
    unseen = sum(comb(total - row[name], drawn) for name in row if name not in NOT_CLASSES)
    return len(row) - len(NOT_CLASSES) - unseen / comb(total, drawn)


def units_drawn(units_per_class: Table, unit: str, percent: float) -> int:
    """Return how many units a share of the training set holds."""
    return round(percent / 100 * int(units_per_class.where(unit=unit)["total"][0]))


def classes_at(units_per_class: Table, unit: str, percent: float) -> float:
    """Return the mean number of classes that a share of the videos or slices shows (exact)."""
    return expected_classes(units_per_class, unit, units_drawn(units_per_class, unit, percent))


@derives("B1", tables=["thumos14_classes"])
def videos_per_class(thumos14_classes: Table) -> Derivation:
    """In how many of the training videos a class's samples sit, by median; the fewest samples that one video brings."""
    videos, samples = thumos14_classes["val_videos"], thumos14_classes["val_inst"]
    reason = (
        f"a class's samples sit in {videos.min()} to {videos.max()} videos; one video brings "
        f"{np.median(samples / videos):.0f} of them (median of the classes)"
    )
    return Derivation(number(np.median(videos), "median of the classes"), (thumos14_classes,), reason)


@derives("D9", tables=["sweep_subsets", "units_per_class"])
def classes_ignored(sweep_subsets: Table, units_per_class: Table) -> Derivation:
    """Whether subsets were drawn without looking at the classes: TadTR's are unpublished."""
    expected = classes_at(units_per_class, "video", 10.0)
    models = " and ".join(map(titled, dict.fromkeys(sweep_subsets["model"].tolist())))
    reason = (
        f"TadTR's subsets are unpublished; every published one of {models} holds all 20 classes, where 10 % of the "
        f"videos, drawn without looking, show {expected:.1f} on average"
    )
    return Derivation((unpublished("TadTR's subsets", reason),), (sweep_subsets, units_per_class), reason)


@derives("E13", tables=["units_per_class"])
def few_classes_at_first(units_per_class: Table) -> Derivation:
    """How many of the 20 classes 1 % of the videos show on average."""
    seen = {p: classes_at(units_per_class, "video", p) for p in (LOW_PERCENT, 5.0, 10.0)}
    choices = {"videos": seen[LOW_PERCENT], "slices": classes_at(units_per_class, "slice", LOW_PERCENT)}
    reason = "of 20 classes, videos drawn at random show " + ", ".join(f"{n:.1f} at {p:g} %" for p, n in seen.items())
    rows = (units_per_class,)
    return Derivation(vary(lambda models: number(models, f"at {LOW_PERCENT:g} %"), models=choices), rows, reason)


@derives("E14", tables=["units_per_class"])
def slices_show_more(units_per_class: Table) -> Derivation:
    """How many more classes 1 % of TadTR's slices show than 1 % of the videos."""
    seen = {p: [classes_at(units_per_class, unit, p) for unit in ("slice", "video")] for p in (LOW_PERCENT, 10.0)}
    reason = "; ".join(f"{p:g} %: {s:.1f} classes in slices, {v:.1f} in videos" for p, (s, v) in seen.items())
    slices, videos = seen[LOW_PERCENT]
    return Derivation(number(slices - videos, f"at {LOW_PERCENT:g} %"), (units_per_class,), reason)


@derives("E11", tables=["sweep_subsets", "units_per_class"])
def new_classes_accelerate(sweep_subsets: Table, units_per_class: Table) -> Derivation:
    """Whether new classes are what makes ActionFormer's gain grow: the plotted series' subsets are unpublished."""
    reason = (
        "the subsets of the plotted series are unpublished; those of the published ActionFormer sweep all hold 20 "
        "classes and bend alike; few optimizer steps under a moving average bend a curve too, and at small shares the "
        "two are confounded"
    )
    rows = (sweep_subsets.where(model="actionformer", train_percent=10.0), units_per_class)
    return Derivation((unpublished("the cause", reason),), rows, reason)
