"""The authors' evaluation script on a checkpoint from elsewhere: its weights are copied into a file this run wrote."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tal_repro import hooks
from tal_repro.data.layouts import find_layout
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.upstream import process, settings
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.errors import InputError


def evaluate_checkpoint(run: RunContext, checkpoint: Path, work: Path) -> tuple[Path, Path]:
    """Evaluate a checkpoint by upstream's own script; return (its detections, the annotations it was scored on)."""
    if run.spec.model not in settings.CONFIG_FILE:
        raise InputError(f"{run.spec.model} has no evaluation script here", remedy="train it, or use evaluate")
    recipe: Any = settings.resolved(run.spec.model, run.spec.recipe)
    if run.data_dir is None:
        raise InputError("a checkpoint is evaluated on a data set", remedy="give its folder: --data DIR")
    layout = find_layout(run.data_dir, "tadtr" if run.spec.model == "tadtr" else "actionformer")
    tree = prepare(run.spec.model).resolve()
    weights = bare_weights(run.spec.model, checkpoint, work / "bare.pth.tar")
    if run.spec.model == "tadtr":
        (work / "data").mkdir()
        (work / "data" / "thumos14").symlink_to(layout.folder.resolve(), target_is_directory=True)
        (work / "datasets").mkdir()
        shutil.copyfile(tree / "datasets" / "path.yml", work / "datasets" / "path.yml")
        script, arguments = "main.py", ["--cfg", str(tree / settings.CONFIG_FILE["tadtr"]), "--eval"]
        arguments += ["--resume", str(weights), "--device", run.device.partition(":")[0], "--num_workers", "0"]
        arguments += settings.tadtr_words(recipe, work / "out")
    else:
        config = settings.write_config(tree, run.spec.model, recipe, layout.folder.resolve(), run.spec.seed, work)
        script, arguments = "eval.py", [str(config), str(weights)]
    folder = work / "detections"
    folder.mkdir()
    process.launch(run, tree, script, arguments, work, {hooks.DETECTIONS_VARIABLE: str(folder)})
    found = sorted(folder.glob("*.csv"))
    if not found:
        raise InputError(f"{script} recorded no detections", tree, "see what it printed")
    return found[-1], layout.annotation_file


def bare_weights(model: str, checkpoint: Path, out: Path) -> Path:
    """Write the weights of a checkpoint, read with `weights_only`, in the form upstream's script loads."""
    import torch

    from tal_repro.models.checkpoint_io import read_checkpoint
    from tal_repro.models.upstream_weights import select_state

    state = select_state(read_checkpoint(checkpoint))
    if model == "tadtr":
        torch.save({"model": state, "epoch": 0}, out)
    else:
        parallel = {f"module.{name}": value for name, value in state.items()}
        torch.save({"state_dict": parallel, "state_dict_ema": parallel}, out)
    return out
