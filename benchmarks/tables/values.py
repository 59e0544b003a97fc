"""Single numbers in the documents' sentences: `<!--=name-->15<!--/-->` is written anew from the code by `make docs`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.tables.artifact import PAPER_SCOPES, STUDIES, works
from benchmarks.tables.walkthrough import GB_BUILDING
from tal_repro.data.quirks import THUMOS14_COUNTS
from tal_repro.doctor.needs import ARCHIVE_BESIDE, LAYOUT_BYTES
from tal_repro.errors import InputError
from tal_repro.machine.host import GIB
from tal_repro.models.recipes import PyramidRecipe
from tal_repro.models.registry import model_entry
from tal_repro.published.load import load_published

MARK = re.compile(r"(<!--=(\w+)-->).*?(<!--/-->)")
SMALL_SHARE = 0.1  # of the training videos, where the average of the weights is hardly past its start


def _hours(scopes: tuple[str, ...]) -> float:
    """Return the GPU-hours of the paper's study at published speeds."""
    return sum(work.minutes for work in works() if work.scope in scopes and work.experiment not in STUDIES) / 60


def _small_steps() -> int:
    """Return how many steps ActionFormer takes on a small share of the training videos."""
    recipe = _actionformer()
    return math.ceil(THUMOS14_COUNTS["train"][0] * SMALL_SHARE / recipe.batch_size) * recipe.epochs


def _actionformer() -> PyramidRecipe:
    recipe = model_entry("actionformer").recipe
    assert isinstance(recipe, PyramidRecipe)
    return recipe


def _gib(size: float) -> str:
    return f"{size / GIB:g} GiB"


VALUES: dict[str, Callable[[], str]] = {
    "core_hours": lambda: f"{_hours(PAPER_SCOPES[:1]):.0f}",
    "full_hours": lambda: f"{_hours(PAPER_SCOPES):.0f}",
    "train_videos": lambda: str(THUMOS14_COUNTS["train"][0]),
    "test_videos": lambda: str(THUMOS14_COUNTS["test"][0]),
    "videos": lambda: str(sum(videos for videos, _ in THUMOS14_COUNTS.values())),
    "classes": lambda: str(len(load_published()["thumos14_classes"])),
    "actionformer_gib": lambda: _gib(LAYOUT_BYTES["actionformer"]),
    "tadtr_gib": lambda: _gib(LAYOUT_BYTES["tadtr"]),
    "image_gb": lambda: f"{GB_BUILDING} GB",
    "unpacking_gib": lambda: _gib(ARCHIVE_BESIDE * sum(LAYOUT_BYTES.values())),
    "ema_decay": lambda: f"{_actionformer().ema_decay:g}",
    "small_percent": lambda: f"{100 * SMALL_SHARE:g} %",
    "small_steps": lambda: str(_small_steps()),
    "start_share": lambda: f"{100 * _actionformer().ema_decay ** _small_steps():.0f} %",
}


def with_values(text: str, where: Path) -> str:
    """Return a document with every marked number written anew; raise InputError for a name nobody knows."""
    for _, name, _ in MARK.findall(text):
        if name not in VALUES:
            raise InputError(f"unknown number {name!r}", where, f"use one of: {', '.join(VALUES)}")
    return MARK.sub(lambda mark: f"{mark[1]}{VALUES[mark[2]]()}{mark[3]}", text)
