"""What a description file of a model beyond the four may hold, checked when its adapter is made.

Needed: RECIPE, LAYOUT, PROTOCOL, `train(job)`, `build(tree)`. Its other names are optional:

- SHIMS: names of the kit's shims; OWN_SHIMS: functions of its own, their docstrings being the reasons
- ENVIRONMENT: variables that its scripts read
- SELECTION, WEIGHTS: what its authors report
- STOPS_EARLY: True where the authors' code may end a training before its epochs
- REPEATS: how often the authors' own loader goes through its training units in an epoch
- SMALL: a small recipe for checks
- PUBLISHED: protocol -> (average mAP in percent, where it is printed)
- `evaluate(job, checkpoint)`: evaluates a released checkpoint by the authors' script
- `lay_out(layout, out)`: writes files of a layout of its own into a run's working folder, before `train`
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tal_repro.detection.protocols import PROTOCOLS
from tal_repro.engines.upstream import shims
from tal_repro.errors import InputError
from tal_repro.models.recipes import with_overrides

LAYOUTS = ("actionformer", "tadtr")
SELECTIONS = ("last", "best-on-test")
WEIGHTS = ("ema", "raw")
NEEDED_FIELDS = ("feature_dim", "num_classes", "epochs", "batch_size")
DOCS = "see docs/adding-a-model.md"
PERCENT = 100.0
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_RESERVED = (
    "TAL_REPRO_", "PYTHON", "LD_", "OMP_NUM_THREADS", "PATH", "HOME", "RANK", "WORLD_SIZE", "SLURM_", "MASTER_",
)  # fmt: skip


def check_description(description: Any) -> None:
    """Raise InputError naming what a description file lacks or gets wrong."""
    where = Path(description.__file__)
    _check_recipe(description, where)
    choices: dict[str, tuple[str, ...]] = {"LAYOUT": LAYOUTS, "PROTOCOL": tuple(PROTOCOLS)}
    choices |= {name: allowed for name, allowed in _optional_choices() if hasattr(description, name)}
    for name, allowed in choices.items():
        if getattr(description, name, None) not in allowed:
            raise InputError(
                f"{name} = {getattr(description, name, None)!r}", where, f"use one of: {', '.join(allowed)}"
            )
    _check_shims(description, where)
    _check_environment(getattr(description, "ENVIRONMENT", {}), where)
    repeats = getattr(description, "REPEATS", 1)
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise InputError(f"REPEATS = {repeats!r}", where, "give a whole number of 1 or more")
    if not isinstance(early := getattr(description, "STOPS_EARLY", False), bool):
        raise InputError(f"STOPS_EARLY = {early!r}", where, "say True or False")
    _check_published(getattr(description, "PUBLISHED", {}), where)
    for name in ("train", "build", *(name for name in ("lay_out", "evaluate") if hasattr(description, name))):
        if not callable(getattr(description, name, None)):
            raise InputError(f"no function {name!r}", where, DOCS)


def small_recipe(description: Any) -> dict[str, Any]:
    """Return what the description replaces in its recipe for a small training: SMALL, or two epochs."""
    return dict(getattr(description, "SMALL", {"epochs": 2}))


def _optional_choices() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("SELECTION", SELECTIONS), ("WEIGHTS", WEIGHTS)


def _check_recipe(description: Any, where: Path) -> None:
    recipe = getattr(description, "RECIPE", None)
    if not dataclasses.is_dataclass(recipe) or isinstance(recipe, type):
        raise InputError("RECIPE is not an instance of a frozen dataclass", where, DOCS)
    for name in NEEDED_FIELDS:
        if not isinstance(getattr(recipe, name, None), int):
            raise InputError(f"RECIPE has no whole number {name!r}", where, f"{DOCS}: recipe")
    small = getattr(description, "SMALL", {})
    if not isinstance(small, Mapping):
        raise InputError(f"SMALL = {small!r}", where, "give a dictionary of fields of the recipe")
    try:
        with_overrides(recipe, dict(small))
    except InputError as error:
        raise InputError(f"SMALL: {error.what}", where, "give fields of the recipe, of their kinds") from None


def _check_published(published: Any, where: Path) -> None:
    good = isinstance(published, Mapping) and all(
        name in PROTOCOLS
        and isinstance(value, tuple)
        and list(map(type, value)) == [float, str]
        and 0 < value[0] < PERCENT
        for name, value in published.items()
    )
    if not good:
        remedy = f"give PROTOCOL: (mAP in percent, 'where it is printed'); protocols are {', '.join(PROTOCOLS)}"
        raise InputError(f"PUBLISHED = {published!r}", where, remedy)


def _check_shims(description: Any, where: Path) -> None:
    known = [shim.name for shim in shims.SHIMS]
    for name in getattr(description, "SHIMS", ()):
        if name not in known:
            raise InputError(f"unknown shim {name!r}", where, f"use of: {', '.join(known)}; or write one: OWN_SHIMS")
    names = set(known)
    for install in getattr(description, "OWN_SHIMS", ()):
        name = getattr(install, "__name__", "")
        if not callable(install) or not (getattr(install, "__doc__", None) or "").strip():
            raise InputError(f"OWN_SHIMS: {install!r}", where, "give functions whose docstrings say the reason")
        if name in names:
            raise InputError(f"OWN_SHIMS: {name!r} is there twice, or a shim of the kit", where, "rename it")
        names.add(name)


def _check_environment(environment: Any, where: Path) -> None:
    if not isinstance(environment, Mapping):
        raise InputError(f"ENVIRONMENT = {environment!r}", where, "give a dictionary of names and texts")
    for name, value in environment.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise InputError(f"ENVIRONMENT: {name!r} = {value!r}", where, "use NAMES like this, and texts")
        if name.startswith(_RESERVED):
            remedy = "leave it out; a script that asks for what torchrun sets gets it from OWN_SHIMS (os.environ)"
            raise InputError(f"ENVIRONMENT: {name!r} is the kit's to set", where, remedy)
