"""The upstream adapter: train and evaluate the authors' own code as one run of a study.

Upstream's checkpoints lack random state and loss normaliser (and TemporalMaxer refuses to resume), so a stopped run
starts over and says so. Only checkpoints that this run wrote are ever unpickled, in its own folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pandas as pd

from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import find_layout
from tal_repro.detection.detections_io import read_ground_truth
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.clock import table2_seconds
from tal_repro.engines.registry import engine_version
from tal_repro.engines.upstream import four, models, scores, settings, shims, units
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry


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
        layout = find_layout(run.data_dir, self.layout)
        asked = units.asked_units(run, self.layout, recipe.batch_size)
        tree = prepare(self.model).resolve()
        work = fresh_work_folder(run)
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
        (four.train_tadtr if self.model == "tadtr" else four.train_pyramid)(job)

    def read_detections(self, run: RunContext) -> pd.DataFrame:
        """Return the test detections that the run recorded."""
        return pd.read_csv(run.record.paths.detections, dtype={"video_id": str, "label": str})

    def build_for_macs(self, length: int) -> Any:
        """Return the authors' model in evaluation mode, as a module from features and lengths to outputs."""
        return models.load(self.model, prepare(self.model))

    def build_for_timing(self, length: int) -> Any:
        """Return the authors' model without its post-processing, which `postprocessing` does."""
        return models.load(self.model, prepare(self.model), bare=True)

    def postprocessing(self) -> Callable[[Any, Any, Any], Any] | None:
        """Return (model, its outputs, its inputs) -> detections by the authors' own code."""
        return models.postprocess

    def example_input(self, length: int) -> tuple[Any, ...]:
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
        last = next(one for (selection, _), one in job.chosen.items() if selection == "last")
        record.write_detections(scores.reported(last.detections, truth))
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
            upstream={
                "version": self.version(),
                "shims": [{"name": shim.name, "reason": shim.reason} for shim in shims.needed(self.model)],
                "used_ids": job.used_ids(),
                "own_print": compared,
            },
        )
