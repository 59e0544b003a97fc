"""The authors' code with and without the patches that watch it: the same losses at every step, the same printed mAPs?

A question of `models check`: what a patch changes in training and evaluation alike, no other question sees. Both train
on the whole set, as the scripts do by themselves; only patches that call no hook (repairs) stay in the second tree.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro import kit
from tal_repro.data.layouts import find_layout
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.upstream import witness
from tal_repro.engines.upstream.added import adapter as upstream_adapter
from tal_repro.engines.upstream.checkout import checkout_folder, prepare
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.engines.upstream.patches import Patch, apply_patches, model_patches
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry
from tal_repro.run.evidence import Undecided
from tal_repro.run.prints import LEAST_SHOWN, decimals, shows
from tal_repro.run.trial import SEED
from tal_repro.runs.store import RunStore

Numbers = tuple[float, ...]
LONGEST_LINE = 300  # characters; a longer one is a configuration
HOOK = b"tal_hooks."
REMEDY = "let the patches insert calls of hooks alone; a repair is a patch of its own that calls none (00-repair.patch)"
_CLOCK = re.compile(r"\d+:\d+(:\d+)?([.,]\d+)?")  # what a log says of the time


@dataclass(frozen=True)
class Twin:
    """What a training of the authors' code did, with nothing of the kit asked.

    `end`: what it died of, "" where it came to its end or lacked only what hooks would have left.
    """

    losses: tuple[float, ...]  # in their order
    output: str  # of the scripts
    told: tuple[float, ...] = ()  # mAPs (shares) that the metrics hook was given, which only patches call
    end: str = ""


class _AsWritten(Job):
    """A job that tells the scripts no settings and keeps nothing of what hooks record."""

    def tell(self, **settings: Any) -> None:
        """Leave the scripts their own."""

    def _keep_trained(self, folder: Path, weights: str) -> None:
        """Keep nothing."""

    def _keep_evaluated(self, script: str, events: Path, folder: Path, weights: str) -> None:
        """Keep nothing."""


def unwatched(model: str, out: Path) -> tuple[Path, list[str]]:
    """Make a copy of a model's checkout with the patches alone that call no hook; return it and their names."""
    repairs = [patch for patch in model_patches(kit.patches(model)) if not _calls_hooks(patch)]
    ignored = shutil.ignore_patterns(".git", "__pycache__")
    shutil.copytree(checkout_folder(model_entry(model)), out, ignore=ignored, symlinks=True)
    apply_patches(out, repairs)
    return out, [patch.source.name for patch in repairs]


def _calls_hooks(patch: Patch) -> bool:
    return any(HOOK in line for change in patch.files for insertion in change.insertions for line in insertion.lines)


def same_without_patches(model: str, sizes: Mapping[str, Any], share: float, data: Path, scratch: Path) -> str:
    """Train with and without the patches; raise InputError where they differ, Undecided where that cannot be told.

    `sizes`: hyper-parameters of the small training; `share`: of the units that it saw, so that these take as long.
    """
    recipe = {**sizes, "epochs": max(1, math.ceil(share * sizes["epochs"]))}
    plain, repairs = unwatched(model, scratch / "plain-tree")
    patched = prepare(model)

    def trained(tree: Path, name: str) -> Twin:
        return train(model, tree, recipe, data, scratch / name)

    watched, alone = trained(patched, "patched"), trained(plain, "plain")
    if said := difference(watched, alone):
        if again := difference(watched, trained(patched, "patched-again"), "once", "once more"):
            raise Undecided(f"two trainings with the same patches and seed differ, too: {again}; compare them yourself")
        raise InputError(said, kit.patches(model), REMEDY)
    if not watched.told:
        raise Undecided(
            f"the same {len(alone.losses)} losses, but nothing is evaluated in {recipe['epochs']} of SMALL's "
            f"{sizes['epochs']} epochs, as long as these trainings are: let it evaluate from an earlier one on"
        )
    but = f" (with {', '.join(repairs)})" if repairs else ""
    lines = len(printed_maps(alone.output, watched.told))
    seen = f"the same {len(alone.losses)} losses, and {lines} lines of mAPs as the scripts print them"
    return f"without patches{but} {seen}"


def train(model: str, tree: Path, recipe: Mapping[str, Any], data: Path, folder: Path) -> Twin:
    """Train on the whole set from the tree given, beside a witness. Writes into `folder`, which must not exist."""
    from tal_repro.run.training import plan_training

    folder.mkdir()
    adapter = upstream_adapter(model)
    spec = plan_training(model, data, "upstream", 100.0, SEED, dict(recipe))
    run = RunContext(spec, RunStore(folder / "runs").writer(spec), data, "cpu")
    log, notes = folder / "log.txt", folder / "notes.jsonl"
    job = _AsWritten(
        run, adapter.recipe(run), tree.resolve(), find_layout(data, adapter.layout), fresh_work_folder(run), log=log
    )
    end = ""
    with _witness(folder, notes):
        try:
            adapter.run_scripts(job)
        except InputError:  # of an added model: that nothing was kept
            pass
        except RuntimeError as error:  # a script failed
            end = str(error)
    seen = witness.read(notes)
    losses = tuple(float(note["loss"]) for note in seen if note["kind"] == "backward")
    told = tuple(float(note["average_map"]) for note in seen if note["kind"] == "metrics")
    return Twin(losses, log.read_text(encoding="utf-8", errors="replace"), told, end)


def printed_maps(output: str, told: Sequence[float]) -> list[Numbers]:
    """Return the decimals of each line that speaks of a mAP, or shows one that the metrics hook was told."""
    found = []
    for line in output.splitlines():
        numbers = decimals(_CLOCK.sub("", line)) if len(line) <= LONGEST_LINE else []
        if numbers and ("mAP" in line or any(shows(numbers, value) for value in told if value >= LEAST_SHOWN)):
            found.append(tuple(number for number, _ in numbers))
    return found


@contextlib.contextmanager
def _witness(folder: Path, notes: Path) -> Iterator[None]:
    """Ask the scripts that are started meanwhile for a witness, and let their hooks write nowhere else."""
    ids = folder / "ids.json"
    ids.write_text("[]", encoding="utf-8")
    os.environ[witness.VARIABLE] = f'{{"out": "{notes}", "ids": "{ids}"}}'
    try:
        yield
    finally:
        del os.environ[witness.VARIABLE]


def difference(first: Twin, second: Twin, with_first: str = "with", with_second: str = "without") -> str:
    """Return in which loss or line two trainings differ, "" where in none; Undecided where there is nothing to compare.

    The first may print mAPs of its own among those of the second: a patch prints what the authors' code keeps.
    """
    for step, (one, other) in enumerate(zip(first.losses, second.losses, strict=False)):
        if one != other and not (math.isnan(one) and math.isnan(other)):
            return f"at step {step} the loss is {one!r} {with_first} the patches, {other!r} {with_second} them"
    if second.end:
        raise Undecided(f"{with_second} the patches the authors' scripts end early: {second.end}")
    if len(first.losses) != len(second.losses):
        return f"{len(first.losses)} steps {with_first} the patches, {len(second.losses)} {with_second} them"
    if not second.losses:
        raise Undecided("no loss was seen that is back-propagated: compare the losses with the authors' log yourself")
    printed, also = (printed_maps(twin.output, first.told) for twin in (first, second))
    if (numbers := _not_among(also, printed)) is not None:
        said = ", ".join(f"{number:g}" for number in numbers)
        return f"{with_second} the patches the scripts print a mAP of {said}, {with_first} them they do not"
    return ""


def _not_among(lines: Sequence[Numbers], others: Sequence[Numbers]) -> Numbers | None:
    """Return the first of some lines that does not stand among others, in this order."""
    rest = iter(others)
    return next((line for line in lines if line not in rest), None)
