"""The authors' code with and without the patches that watch it: the same losses at every step, the same printed mAPs?

A question of `models check`: what a patch changes in training and evaluation alike, no other question sees. With
patches `restrict` leaves out some of the videos; without, the authors' code gets a data set that lacks them: what a
schedule or a sampler derives from the whole list before `restrict` makes the two differ. Only patches that call no hook
(repairs) stay in the second tree.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tal_repro import kit
from tal_repro.engines.upstream.checkout import checkout_folder, prepare
from tal_repro.engines.upstream.patches import Patch, apply_patches, model_patches
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry
from tal_repro.run.evidence import DOCS, Evidence, Undecided, video
from tal_repro.run.fewer_videos import with_videos
from tal_repro.run.prints import Numbers, map_lines, shapes_of
from tal_repro.run.twin import Training, Twin, train

HOOK = b"tal_hooks."
LEAVE_OUT = 3  # of every third video, where a training saw all
STEPS = 50  # of a training from another seed: enough to see that it is another
REMEDY = "let the patches insert calls of hooks alone; a repair is a patch of its own that calls none (00-repair.patch)"


def unwatched(model: str, out: Path) -> tuple[Path, list[str]]:
    """Make a copy of a model's checkout with the patches alone that call no hook; return it and their names."""
    repairs = [patch for patch in model_patches(kit.patches(model)) if not _calls_hooks(patch)]
    ignored = shutil.ignore_patterns(".git", "__pycache__")
    shutil.copytree(checkout_folder(model_entry(model)), out, ignore=ignored, symlinks=True)
    apply_patches(out, repairs)
    return out, [patch.source.name for patch in repairs]


def _calls_hooks(patch: Patch) -> bool:
    return any(HOOK in line for change in patch.files for insertion in change.insertions for line in insertion.lines)


def some_videos(evidence: Evidence) -> list[str]:
    """Return training videos that the authors' loader takes, but not all: those of a training on a subset."""
    used = sorted({video(unit) for unit in evidence.used})
    if evidence.training_ids <= set(used):
        return [name for place, name in enumerate(used) if place % LEAVE_OUT]
    return used


def same_without_patches(model: str, sizes: Mapping[str, Any], kept: Collection[str], data: Path, scratch: Path) -> str:
    """Train with and without the patches; raise InputError where they differ, Undecided where that cannot be told.

    `sizes`: hyper-parameters of the small training; `kept`: the training videos that both see.
    """
    plain, repairs = unwatched(model, scratch / "plain-tree")
    said = compare(Training(model, sizes, data, data, kept), prepare(model), plain, scratch)
    but = f" (with {', '.join(repairs)})" if repairs else ""
    return f"without patches{but} {said}"


def compare(training: Training, patched: Path, plain: Path, scratch: Path) -> str:
    """Return in what a training from a patched tree and one from a plain tree are alike; raises as above."""
    layout = model_entry(training.model).layout
    fewer = with_videos(training.data, layout, training.kept, scratch / "fewer-videos")
    without = dataclasses.replace(training, layout_data=fewer, kept=())
    watched, alone = train(patched, training, scratch / "patched"), train(plain, without, scratch / "plain")
    _check_description(training.model, watched)
    if said := difference(watched, alone):
        again = train(patched, training, scratch / "patched-again")
        if noise := difference(watched, again, "once", "once more"):
            raise Undecided(
                f"two trainings with the same patches and seed differ, too: {noise}; give the scripts the run's seed, "
                "and look without a GPU (CUDA_VISIBLE_DEVICES=): operations that add in any order are another cause"
            )
        if unrestricted := difference(train(patched, without, scratch / "patched-fewer"), alone):
            raise InputError(unrestricted, kit.patches(training.model), REMEDY)
        raise Undecided(
            f"{said}: with restrict() the scripts train otherwise than on a data set of these videos. Is a schedule, "
            "a sampler or a count made before restrict(), or is another thing done for a subset? Let it come first; "
            "only a list of classes has to stay that of all videos"
        )
    if not watched.told:
        raise Undecided(f"the same {len(alone.losses)} losses, but nothing is evaluated: train longer (SMALL)")
    _check_seed(training, patched, watched, scratch)
    lines = len(map_lines(alone.output, shapes_of(watched.output, watched.told)))
    maps = f"{lines} lines of mAPs as the scripts print them" if lines else "no mAPs, for without them none are printed"
    return f"the same {len(alone.losses)} losses, and {maps}; from another seed others"


def _check_description(model: str, watched: Twin) -> None:
    """Raise InputError where the description leaves out what a study may set."""
    where = model_entry(model).adapter or model
    if model_entry(model).adapter and watched.unread:
        what = f"train(job) never reads {', '.join(watched.unread)} of its recipe: a study would set it for nothing"
        raise InputError(what, where, f"give it to the scripts, or take it out of Recipe; see {DOCS}")
    if watched.unasked:
        what = f"job.tell gives {', '.join(watched.unasked)}, for which no patch asks"
        raise InputError(what, where, f"call tal_hooks.setting with the same name; see {DOCS}")


def _check_seed(training: Training, patched: Path, watched: Twin, scratch: Path) -> None:
    """Raise InputError where a training from another seed is the same training."""
    steps = min(STEPS, len(watched.losses))
    another = dataclasses.replace(training, seed=training.seed + 1, steps=steps)
    other = train(patched, another, scratch / "another-seed")
    if len(other.losses) >= steps and other.losses[:steps] == watched.losses[:steps]:
        raise InputError(
            f"from seed {training.seed} and from seed {another.seed} the first {steps} losses are the same",
            model_entry(training.model).adapter or training.model,
            "give the scripts job.run.spec.seed: a study repeats a training from other seeds",
        )


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
    shapes = shapes_of(first.output, first.told)
    if (numbers := _not_among(map_lines(second.output, shapes), map_lines(first.output, shapes))) is not None:
        said = ", ".join(f"{number:g}" for number in numbers)
        return f"{with_second} the patches the scripts print a mAP of {said}, {with_first} them they do not"
    return ""


def _not_among(lines: Sequence[Numbers], others: Sequence[Numbers]) -> Numbers | None:
    """Return the first of some lines that does not stand among others, in this order."""
    rest = iter(others)
    return next((line for line in lines if line not in rest), None)
