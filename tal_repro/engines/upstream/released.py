"""The authors' evaluation script on a checkpoint from elsewhere: its weights are copied into a file this run wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro import hooks
from tal_repro.data.layouts import Layout
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.registry import get_adapter
from tal_repro.engines.upstream import own_set, process, scores, settings
from tal_repro.engines.upstream.adapter import lay_out_tadtr
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.engines.upstream.job import Job
from tal_repro.engines.upstream.requirements import check_packages
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from torch import Tensor


def evaluate_weights(
    run: RunContext, state: Mapping[str, Tensor], weights: str, work: Path
) -> tuple[scores.Evaluated, Path]:
    """Evaluate weights by upstream's own script in folder `work`; return what it recorded and the annotations it read.

    `state` has upstream's parameter names, all of them (TadTR's script would skip in silence what does not fit: the
    caller checks). The script's output goes to the run's log. Raises InputError for a checkout or data that cannot be
    used, RuntimeError where the script failed.
    """
    recipe: Any = settings.resolved(run.spec.model, run.spec.recipe)
    if run.data_dir is None:
        raise InputError("a checkpoint is evaluated on a data set", remedy="give its folder: --data DIR")
    source = own_set.source_of(run.data_dir, run.spec.model)
    if source.name == "actionformer":
        _check_videos(run.data_dir, source)
    layout = own_set.lay_out(source, run, recipe, (), work / own_set.FOLDER)
    tree = prepare(run.spec.model).resolve()
    checkpoint = write_weights(run.spec.model, state, work / "weights.pth.tar")
    if run.spec.model == "tadtr":
        lay_out_tadtr(work, tree, layout)
        (work / "outputs").mkdir()  # its evaluation dumps detections there and does not make the folder
        script, arguments = "main.py", ["--cfg", str(tree / settings.CONFIG_FILE["tadtr"]), "--eval"]
        arguments += ["--resume", str(checkpoint), "--device", run.device.partition(":")[0], "--num_workers", "0"]
        arguments += settings.tadtr_words(recipe, work / "out")
    else:
        config = settings.write_config(tree, run.spec.model, recipe, layout, run.spec.seed, work)
        script, arguments = "eval.py", [str(config), str(checkpoint)]
    folder, events = work / "detections", work / "events.jsonl"
    folder.mkdir()
    environment = {hooks.DETECTIONS_VARIABLE: str(folder), hooks.EVENTS_VARIABLE: str(events)}
    process.launch(run, tree, script, arguments, work, environment, log=run.record.paths.log)
    evaluated = scores.evaluations(process.read_events(events), folder, weights)
    if not evaluated:
        raise InputError(f"{script} recorded no detections", tree, "see the log")
    return evaluated[-1], layout.annotation_file


def evaluate_content(run: RunContext, content: Mapping[str, Any], work: Path) -> tuple[scores.Evaluated, Path]:
    """Evaluate a checkpoint of a model beyond the four as its description says, in folder `work`; return the same.

    `content`: what `read_checkpoint` returned, tensors and plain values; the script unpickles what is written from it.
    """
    import torch

    adapter: Any = get_adapter(run.spec.model, "upstream")
    if run.data_dir is None:
        raise InputError("a checkpoint is evaluated on a data set", remedy="give its folder: --data DIR")
    if not hasattr(adapter.description, "evaluate"):
        remedy = "write it (docs/adding-a-model.md), or score its detections: tal-repro evaluate"
        raise InputError("no function 'evaluate' for a released checkpoint", adapter.description.__file__, remedy)
    check_packages(run.spec.model)
    source, recipe = own_set.source_of(run.data_dir, run.spec.model), adapter.recipe(run)
    layout = own_set.lay_out(source, run, recipe, (), work / own_set.FOLDER)
    checkpoint = work / "weights.pth.tar"
    torch.save(dict(content), checkpoint)
    job = Job(run, recipe, prepare(run.spec.model).resolve(), layout, work, log=run.record.paths.log)
    adapter.set_up(job)
    adapter.description.evaluate(job, checkpoint)
    if not job.chosen:
        raise InputError("evaluated nothing", adapter.description.__file__, "let evaluate(job, ...) call job.evaluate")
    reported = model_entry(run.spec.model).reported.weights
    return job.chosen.get(("last", reported)) or next(iter(job.chosen.values())), layout.annotation_file


def write_weights(model: str, state: Mapping[str, Tensor], out: Path) -> Path:
    """Write bare weights in the form upstream's script loads, and nothing else: this file alone is unpickled there."""
    import torch

    if model == "tadtr":
        torch.save({"model": dict(state), "epoch": 0}, out)
    else:
        parallel = {f"module.{name}": value for name, value in state.items()}
        torch.save({"state_dict": parallel, "state_dict_ema": parallel}, out)
    return out


def _check_videos(data_dir: Path, layout: Layout) -> None:
    """Raise InputError naming a test video without features: three of the loaders would leave it out without a word."""
    from tal_repro.data import load_dataset
    from tal_repro.engines.native.limits import check_features

    check_features(load_dataset(data_dir, layout.name).detected)
