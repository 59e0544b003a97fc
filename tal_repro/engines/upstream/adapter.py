"""The upstream adapter: train and evaluate the authors' own code as one run of a study.

Upstream's checkpoints lack random state and loss normaliser (and TemporalMaxer refuses to resume), so a stopped run
starts over and says so. Only checkpoints that this run wrote are ever unpickled, in its own folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import Layout
from tal_repro.detection.detections_io import read_ground_truth
from tal_repro.detection.protocols import evaluate
from tal_repro.engines.adapter import FULL_SIZE, Recipe, RunContext
from tal_repro.engines.native.clock import table2_seconds
from tal_repro.engines.registry import engine_version
from tal_repro.engines.upstream import models, own_set, scores, settings, shims, units
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.engines.upstream.job import Job, fresh_work_folder, newest_checkpoint, sha256
from tal_repro.engines.upstream.requirements import check_packages
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry


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
    config = settings.write_config(job.tree, spec.model, job.recipe, job.layout, spec.seed, job.work)
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


class UpstreamAdapter:
    """Run one of the four models by its authors' code."""

    engine = "upstream"

    def __init__(self, model: str) -> None:
        self.model = model
        entry = model_entry(model)
        self.layout: LayoutName = entry.layout
        self.protocol = entry.reported.protocol

    def version(self) -> str:
        """Return the pinned commit and the hash of the patches."""
        return engine_version(self.model, self.engine, "training")

    def train(self, run: RunContext) -> None:
        """Train, evaluate, score and record; start over when an earlier attempt was stopped."""
        recipe = self.recipe(run)
        if run.data_dir is None:
            raise InputError("this run needs a data set", remedy="give its folder: --data DIR")
        check_packages(self.model)
        source = own_set.source_of(run.data_dir, self.model)
        asked = units.asked_units(run, self.layout, recipe.batch_size)
        tree = prepare(self.model).resolve()
        work = fresh_work_folder(run)
        layout = own_set.lay_out(source, run, recipe, asked, work / own_set.FOLDER)
        job = Job(run, recipe, tree, layout, work, units.write_asked(asked, run, work / "subset.json"))
        self.run_scripts(job)
        units.check_used(asked, job.used_ids())
        self._record(job)
        shutil.rmtree(work)

    def recipe(self, run: RunContext) -> Any:
        """Return the run's typed recipe; raise InputError for what upstream's code cannot be told."""
        return settings.resolved(self.model, run.spec.recipe)

    def run_scripts(self, job: Job) -> None:
        """Run the authors' scripts."""
        (train_tadtr if self.model == "tadtr" else train_pyramid)(job)

    def read_detections(self, run: RunContext) -> pd.DataFrame:
        """Return the test detections that the run recorded."""
        return pd.read_csv(run.record.paths.detections, dtype={"video_id": str, "label": str})

    def build_for_macs(self, length: int) -> Any:
        """Return the authors' model in evaluation mode, as a module from features and lengths to outputs."""
        return models.load(self.model, prepare(self.model))

    def build_for_timing(self, length: int, recipe: Recipe = FULL_SIZE) -> Any:
        """Return the authors' model without its post-processing, which `postprocessing` does."""
        return models.load(self.model, prepare(self.model), bare=True)

    def postprocessing(self) -> Callable[[Any, Any, Any], Any] | None:
        """Return (model, its outputs, its inputs) -> detections by the authors' own code."""
        return models.postprocess

    def example_input(self, length: int, recipe: Recipe = FULL_SIZE) -> tuple[Any, ...]:
        """Return features [1, 2048, length] and lengths [1]."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, 2048, length, generator=generator), torch.tensor([length])

    def _record(self, job: Job) -> None:
        """Score what the scripts left and write it; the mAP is recomputed and set beside upstream's own print."""
        record = job.run.record
        truth = read_ground_truth(job.layout.annotation_file)
        rows, flags, compared = scores.metric_rows(job.chosen, truth, self.protocol)
        epochs = scores.epoch_rows(job.events)
        steps = max((row.get("optimizer_steps", 0) for row in epochs), default=0)
        if steps == 0:
            raise InputError("upstream took no optimizer step: the subset fills no batch", "subset")
        record.write_epochs(epochs)
        lasts = {weights: evaluated for (selection, weights), evaluated in job.chosen.items() if selection == "last"}
        last = lasts.get(model_entry(self.model).reported.weights) or next(iter(lasts.values()))
        detections = scores.reported(last.detections, truth)
        record.write_detections(detections)
        seconds = job.seconds(last.weights)
        paper_seconds, definition = table2_seconds(self.model, seconds)
        record.write_metrics(
            rows,
            optimizer_steps=steps,
            seconds=seconds,
            table2_seconds=paper_seconds,
            table2_definition=definition,
            flags=flags,
            reported={"weights": last.weights, "protocol": self.protocol},
            per_class={
                "selection": "last",
                "weights": last.weights,
                "protocol": self.protocol,
                "ap": evaluate(detections, truth, self.protocol).result.by_class,
            },
            upstream={
                "version": self.version(),
                "shims": [{"name": shim.name, "reason": shim.reason} for shim in shims.needed(self.model)],
                "used_ids": job.used_ids(),
                "own_print": compared,
            },
        )
