"""How each of the four models is trained and evaluated by its own scripts: what differs between their repositories."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tal_repro.data.layouts import Layout
from tal_repro.engines.upstream import settings
from tal_repro.engines.upstream.job import Job, newest_checkpoint, sha256
from tal_repro.errors import InputError


def train_tadtr(job: Job) -> None:
    """Train TadTR: it evaluates every epoch, raw weights, so that its own detections hold both selections."""
    lay_out_tadtr(job.work, job.tree, job.layout)
    spec, recipe = job.run.spec, job.recipe
    arguments = ["--cfg", str(job.tree / settings.CONFIG_FILE["tadtr"]), "--device", job.run.device.partition(":")[0]]
    arguments += ["--seed", str(spec.seed), "--num_workers", str(recipe.loader_workers)]
    job.train("main.py", [*arguments, *settings.tadtr_words(recipe, job.work / "out")], "raw")


def lay_out_tadtr(work: Path, tree: Path, layout: Layout) -> None:
    """Put what TadTR looks for under its working directory there: the data, and its list of paths."""
    (work / "data").mkdir()
    (work / "data" / "thumos14").symlink_to(layout.folder.resolve(), target_is_directory=True)
    (work / "datasets").mkdir()
    shutil.copyfile(tree / "datasets" / "path.yml", work / "datasets" / "path.yml")


def train_pyramid(job: Job) -> None:
    """Train a pyramid model, then let its own eval.py score the last checkpoint, EMA and raw weights."""
    spec = job.run.spec
    data = job.layout.folder.resolve()
    config = settings.write_config(job.tree, spec.model, job.recipe, data, spec.seed, job.work)
    checkpoints = job.work / "checkpoints" / "config_run"
    (job.work / "checkpoints").mkdir()
    arguments = [str(config), "-c", "100000"]  # a checkpoint at the end only
    arguments += ["--save_ckpt_dir", str(checkpoints)] if spec.model == "temporalmaxer" else ["--output", "run"]
    prune = keep_newest(checkpoints)
    job.train("train.py", arguments, "ema", prune)
    prune()
    checkpoint = newest_checkpoint(checkpoints)
    digest = sha256(checkpoint)
    for weights in ("raw",) if job.chosen else ("ema", "raw"):
        if sha256(checkpoint) != digest:
            raise InputError("the checkpoint is not the one this run wrote", checkpoint, "run it again")
        job.evaluate("eval.py", [str(config), str(checkpoint)], weights)


def keep_newest(folder: Path) -> Callable[[], None]:
    """Return a function that deletes all but the newest epochs' checkpoints (TemporalMaxer writes 114 MB each).

    Two are kept: the newest may be half-written.
    """

    def prune() -> None:
        for old in sorted(folder.glob("epoch_*.pth.tar"))[:-2]:
            old.unlink(missing_ok=True)
        (folder / "bestmodel.pth.tar").unlink(missing_ok=True)  # its detections are recorded already

    return prune
