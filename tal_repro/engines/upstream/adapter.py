"""The upstream adapter: train and evaluate the authors' own code as one run of a study.

Upstream's checkpoints lack random state and loss normaliser (and TemporalMaxer refuses to resume), so a stopped run
starts over and says so. Only checkpoints that this run wrote are ever unpickled, in its own folder.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tal_repro import hooks
from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import Layout, find_layout
from tal_repro.detection.detections_io import read_ground_truth
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.clock import table2_seconds
from tal_repro.engines.native.limits import check_units
from tal_repro.engines.registry import engine_version
from tal_repro.engines.upstream import models, process, scores, settings, shims
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.errors import InputError
from tal_repro.models.recipes import PyramidRecipe, TadtrRecipe

OWN_PROTOCOL = {"tadtr": "tadtr-210"}
LAYOUT: dict[str, LayoutName] = {"tadtr": "tadtr"}
Chosen = dict[tuple[str, str], scores.Evaluated]


class UpstreamAdapter:
    """Run one of the four models by its authors' code."""

    engine = "upstream"

    def __init__(self, model: str) -> None:
        self.model = model

    def version(self) -> str:
        """Return the pinned commit and the hash of the patches."""
        return engine_version(self.model, self.engine)

    def train(self, run: RunContext) -> None:
        """Train, evaluate, score and record; start over when an earlier attempt was stopped."""
        recipe = settings.resolved(self.model, run.spec.recipe)
        if run.data_dir is None:
            raise InputError("this run needs a data set", remedy="give its folder: --data DIR")
        layout = find_layout(run.data_dir, LAYOUT.get(self.model, "actionformer"))
        if run.subset_ids and not (self.model == "tadtr" and run.spec.subset and run.spec.subset.unit == "video"):
            check_units(len(run.subset_ids), recipe.batch_size, run.spec.subset.unit if run.spec.subset else "unit")
        tree = prepare(self.model)
        work = _fresh_work_folder(run)
        if isinstance(recipe, TadtrRecipe):
            chosen, seconds = _train_tadtr(run, recipe, tree, layout, work)
        else:
            chosen, seconds = _train_pyramid(run, recipe, tree, layout, work)
        self._record(run, layout, chosen, seconds)
        shutil.rmtree(work)

    def read_detections(self, run: RunContext) -> pd.DataFrame:
        """Return the test detections that the run recorded."""
        return pd.read_csv(run.record.paths.detections, dtype={"video_id": str, "label": str})

    def build_for_macs(self, length: int) -> Any:
        """Return the authors' model in evaluation mode, as a module from features and lengths to outputs."""
        return models.load(self.model, prepare(self.model))

    def example_input(self, length: int) -> tuple[Any, ...]:
        """Return features [1, 2048, length] and lengths [1]."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, 2048, length, generator=generator), torch.tensor([length])

    def _record(self, run: RunContext, layout: Layout, chosen: Chosen, seconds: dict[str, float]) -> None:
        truth = read_ground_truth(layout.annotation_file)
        events = process.read_events(run.record.paths.events)
        own = OWN_PROTOCOL.get(self.model, "af-212")
        rows, flags, compared = scores.metric_rows(chosen, truth, own)
        epochs = scores.epoch_rows(events)
        steps = max((row.get("optimizer_steps", 0) for row in epochs), default=0)
        if steps == 0:
            raise InputError("upstream took no optimizer step: the subset fills no batch", "subset")
        run.record.write_epochs(epochs)
        last = next(one for (selection, _), one in chosen.items() if selection == "last")
        run.record.write_detections(scores.reported(last.detections, truth))
        paper_seconds, definition = table2_seconds(self.model, seconds)
        run.record.write_metrics(
            rows,
            optimizer_steps=steps,
            seconds=seconds,
            table2_seconds=paper_seconds,
            table2_definition=definition,
            flags=flags,
            reported={"weights": last.weights, "protocol": own},
            upstream={
                "version": self.version(),
                "shims": [{"name": shim.name, "reason": shim.reason} for shim in shims.needed(self.model)],
                "used_ids": _used_ids(events),
                "own_print": compared,
            },
        )


def adapter(model: str) -> UpstreamAdapter:
    """Return the upstream adapter of `model` (the registry's entry point)."""
    return UpstreamAdapter(model)


def _train_tadtr(
    run: RunContext, recipe: TadtrRecipe, tree: Path, layout: Layout, work: Path
) -> tuple[Chosen, dict[str, float]]:
    """Train TadTR: it evaluates every epoch, raw weights, so that its own detections hold both selections."""
    (work / "data").mkdir()
    (work / "data" / "thumos14").symlink_to(layout.folder.resolve(), target_is_directory=True)
    (work / "datasets").mkdir()
    shutil.copyfile(tree / "datasets" / "path.yml", work / "datasets" / "path.yml")
    out = work / "out"
    detections = _folder(work / "detections")
    arguments = ["--cfg", str(tree / settings.CONFIG_FILE["tadtr"]), "--device", run.device.partition(":")[0]]
    arguments += ["--seed", str(run.spec.seed), "--num_workers", str(recipe.loader_workers)]
    arguments += settings.tadtr_words(recipe, out)
    environment = {hooks.DETECTIONS_VARIABLE: str(detections)}
    wall = process.launch(run, tree, "main.py", arguments, work, environment)
    events = process.read_events(run.record.paths.events)
    found = scores.evaluations(events, detections, "raw")
    best = max(found, key=lambda one: (one.printed_map, -one.epoch))
    chosen = {("last", "raw"): found[-1], ("best-on-test", "raw"): best}
    return chosen, _seconds(events, wall, 0.0)


def _train_pyramid(
    run: RunContext, recipe: PyramidRecipe, tree: Path, layout: Layout, work: Path
) -> tuple[Chosen, dict[str, float]]:
    """Train a pyramid model, then let its own eval.py score the last checkpoint, EMA and raw weights."""
    config = settings.write_config(tree, run.spec.model, recipe, layout.folder.resolve(), run.spec.seed, work)
    checkpoints = work / "checkpoints" / "config_run"
    (work / "checkpoints").mkdir()
    detections = _folder(work / "detections")
    stops_early = run.spec.model == "temporalmaxer"
    arguments = [str(config), "-c", "100000"]
    arguments += ["--save_ckpt_dir", str(checkpoints)] if stops_early else ["--output", "run"]
    environment = {hooks.DETECTIONS_VARIABLE: str(detections)}
    prune = _keep_newest(checkpoints)
    wall = process.launch(run, tree, "train.py", arguments, work, environment, prune)
    prune()
    events = process.read_events(run.record.paths.events)
    trained = scores.evaluations(events, detections, "ema")
    last_epoch = max(event["index"] for event in events if event["kind"] == "epoch" and event["phase"] == "start")
    chosen: Chosen = {}
    extra = 0.0
    if trained:
        chosen["last", "ema"] = trained[-1]
        chosen["best-on-test", "ema"] = max(trained, key=lambda one: (one.printed_map, -one.epoch))
    checkpoint = _newest(checkpoints)
    digest = _sha256(checkpoint)
    for weights in ("raw",) if trained else ("ema", "raw"):
        if _sha256(checkpoint) != digest:
            raise InputError("the checkpoint is not the one this run wrote", checkpoint, "run it again")
        one, seconds = _evaluate(run, tree, [str(config), str(checkpoint)], work, weights, last_epoch)
        chosen["last", weights] = one
        extra += seconds
    return chosen, _seconds(events, wall, extra)


def _evaluate(
    run: RunContext, tree: Path, arguments: list[str], work: Path, weights: str, epoch: int
) -> tuple[scores.Evaluated, float]:
    """Let upstream's eval.py score a checkpoint with one of its two weight sets."""
    folder = _folder(work / f"detections-{weights}")
    events = work / f"events-{weights}.jsonl"
    environment = {
        hooks.DETECTIONS_VARIABLE: str(folder),
        hooks.EVENTS_VARIABLE: str(events),
        shims.WEIGHTS_VARIABLE: weights,
    }
    wall = process.launch(run, tree, "eval.py", arguments, work, environment)
    found = scores.evaluations(process.read_events(events), folder, weights)[0]
    return scores.Evaluated(epoch, weights, found.detections, found.printed_map), wall


def _seconds(events: list[process.Event], wall: float, evaluation_after: float) -> dict[str, float]:
    """Return the phases of the training process and of the evaluations after it."""
    phases = process.phase_seconds(events)
    inside = {name: phases.get(name, 0.0) for name in ("train", "eval", "checkpoint")}
    return {
        **inside,
        "setup": wall - phases.get("run", wall),
        "reported_eval": inside["eval"],
        "eval_after": evaluation_after,
        "data_wait": process.data_wait_seconds(events),
        "total": wall + evaluation_after,
    }


def _fresh_work_folder(run: RunContext) -> Path:
    work = run.record.paths.folder / "work"
    if work.exists():
        print(
            "# an earlier attempt was stopped: upstream cannot resume bit for bit, so this run starts over", flush=True
        )
        shutil.rmtree(work)
        run.record.paths.events.unlink(missing_ok=True)
    work.mkdir()
    return work


def _keep_newest(folder: Path) -> Callable[[], None]:
    """Return a function that deletes all but the newest epoch's checkpoint (TemporalMaxer writes 114 MB each)."""

    def prune() -> None:
        for old in sorted(folder.glob("epoch_*.pth.tar"))[:-2]:
            old.unlink(missing_ok=True)
        (folder / "bestmodel.pth.tar").unlink(missing_ok=True)  # its detections are recorded already

    return prune


def _newest(folder: Path) -> Path:
    found = sorted(folder.glob("epoch_*.pth.tar"))
    if not found:
        raise InputError("upstream wrote no checkpoint", folder, "see the log")
    return found[-1]


def _used_ids(events: list[process.Event]) -> list[str]:
    used = [event["values"]["ids"] for event in events if event["kind"] == "subset"]
    return list(used[0]) if used else []


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
