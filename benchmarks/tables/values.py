"""Single numbers in the documents' sentences: `<!--=name-->15<!--/-->` is written anew from the code by `make docs`.

Those that are computed stand here, those that are constants of the code in `constants.toml`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.dyfadet_gates import NEARLY_CLOSED
from benchmarks.tables.artifact import PAPER_SCOPES, STUDIES, works
from benchmarks.tables.constants import constants
from benchmarks.tables.reports import read_report
from tal_repro.doctor.needs import ARCHIVE_BESIDE, LAYOUT_BYTES
from tal_repro.engines.upstream.patches import model_patches
from tal_repro.errors import InputError
from tal_repro.kit import patches as kit_patches
from tal_repro.kit import reference_folder, require_checkout
from tal_repro.machine.host import GIB
from tal_repro.models.recipes import PyramidRecipe
from tal_repro.models.registry import model_entry
from tal_repro.paper.claims.statements import load_claims
from tal_repro.published.load import load_published
from tal_repro.thumos14 import VIDEOS_AND_ACTIONS

MARK = re.compile(r"(<!--=(\w+)-->).*?(<!--/-->)")
SMALL_SHARE = 0.1  # of the training videos, where the average of the weights is hardly past its start


def _hours(scopes: tuple[str, ...]) -> float:
    """Return the GPU-hours of the paper's study at published speeds."""
    return sum(work.minutes for work in works() if work.scope in scopes and work.experiment not in STUDIES) / 60


def _small_steps() -> int:
    """Return how many steps ActionFormer takes on a small share of the training videos."""
    recipe = _actionformer()
    return math.ceil(VIDEOS_AND_ACTIONS["train"][0] * SMALL_SHARE / recipe.batch_size) * recipe.epochs


def _actionformer() -> PyramidRecipe:
    recipe = model_entry("actionformer").recipe
    assert isinstance(recipe, PyramidRecipe)
    return recipe


def _lines(path: str) -> str:
    """Return how many lines a file of the repository has."""
    return str(len((require_checkout("counting lines") / path).read_text(encoding="utf-8").splitlines()))


def _inserted(model: str) -> str:
    """Return how many lines the patches of a model insert."""
    patches = model_patches(kit_patches(model))
    lines = sum(len(one.lines) for patch in patches for change in patch.files for one in change.insertions)
    return f"{lines} in {len(patches)} patches"


def _training_minutes() -> str:
    """Return the shortest and the longest of Table 2's mean training times."""
    seconds = [row["train_seconds_mean"] for row in load_published()["table2"].rows()]
    return f"{min(seconds) / 60:.0f} to {max(seconds) / 60:.0f} minutes"


def _needed_gb(script: str, mark: str) -> str:
    """Return how much disk the image builder asks for, from its own words."""
    text = (require_checkout("reading the builder") / script).read_text(encoding="utf-8")
    (gigabytes,) = re.findall(rf"{mark}needed_gb=(\d+)", text)
    return f"{gigabytes} GB"


def _shared_gib() -> str:
    """Return how much shared memory the container gets, from the script's own words."""
    text = (require_checkout("reading the script") / "docker/kit.sh").read_text(encoding="utf-8")
    (gibibytes,) = re.findall(r"--shm-size (\d+)g ", text)
    return f"{gibibytes} GiB"


def _closed(kinds: str | tuple[str, ...]) -> str:
    """Return how many seeds begin with a gate of DyFADet, in heads of these kinds, that is closed nearly everywhere."""
    rows = read_report(reference_folder() / "upstream" / "dyfadet-gates.json")["rows"]
    found = [any(share <= NEARLY_CLOSED for name, share in row.items() if name.startswith(kinds)) for row in rows]
    return f"{sum(found)} of {len(found)}"


def _good_within() -> str:
    """Return the criterion that stands for a good extrapolation."""
    (claim,) = (claim for claim in load_claims() if claim.id == "D7")
    return claim.criterion.removesuffix(" at 100 %")


def _gib(size: float) -> str:
    return f"{size / GIB:g} GiB"


VALUES: dict[str, Callable[[], str]] = {
    "core_hours": lambda: f"{_hours(PAPER_SCOPES[:1]):.0f}",
    "full_hours": lambda: f"{_hours(PAPER_SCOPES):.0f}",
    "train_videos": lambda: str(VIDEOS_AND_ACTIONS["train"][0]),
    "test_videos": lambda: str(VIDEOS_AND_ACTIONS["test"][0]),
    "videos": lambda: str(sum(videos for videos, _ in VIDEOS_AND_ACTIONS.values())),
    "classes": lambda: str(len(load_published()["thumos14_classes"])),
    "actionformer_gib": lambda: _gib(LAYOUT_BYTES["actionformer"]),
    "tadtr_gib": lambda: _gib(LAYOUT_BYTES["tadtr"]),
    "image_gb": lambda: _needed_gb("docker/engine.sh", "cuda.*"),
    "cpu_image_gb": lambda: _needed_gb("docker/engine.sh", "free_gb "),
    "training_minutes": _training_minutes,
    "adapter_lines": lambda: _lines("tests/worked_example/adapter.py"),
    "native_lines": lambda: _lines("tests/worked_example/native.py"),
    "dyfadet_lines": lambda: _lines("tal_repro/engines/added/dyfadet.py"),
    "tetad_lines": lambda: _lines("tal_repro/engines/added/tetad.py"),
    "dyfadet_inserted": lambda: _inserted("dyfadet"),
    "tetad_inserted": lambda: _inserted("tetad"),
    "unpacking_gib": lambda: _gib(ARCHIVE_BESIDE * sum(LAYOUT_BYTES.values())),
    "ema_decay": lambda: f"{_actionformer().ema_decay:g}",
    "small_percent": lambda: f"{100 * SMALL_SHARE:g} %",
    "small_steps": lambda: str(_small_steps()),
    "container_shared": _shared_gib,
    "nearly_closed": lambda: f"{100 * NEARLY_CLOSED:g} %",
    "closed_classification": lambda: _closed("cls"),
    "closed_any": lambda: _closed(("cls", "reg")),
    "good_within": _good_within,
    "start_share": lambda: f"{100 * _actionformer().ema_decay ** _small_steps():.0f} %",
    **constants(),
}


def with_values(text: str, where: Path) -> str:
    """Return a document with every marked number written anew; raise InputError for a name nobody knows."""
    for _, name, _ in MARK.findall(text):
        if name not in VALUES:
            raise InputError(f"unknown number {name!r}", where, f"use one of: {', '.join(VALUES)}")
    return MARK.sub(lambda mark: f"{mark[1]}{VALUES[mark[2]]()}{mark[3]}", text)
