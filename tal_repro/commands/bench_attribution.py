"""What `tal-repro bench attribution` does: divide the time of training steps, taken now or recorded by a run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.measure.attribution import Attribution
    from tal_repro.runs.record import RunRecord


def attribute_training(model: str, data_dir: Path, overrides: dict[str, Any], device: str, steps: int) -> Attribution:
    """Return the attribution of `steps` training steps of a native model on a data folder."""
    from tal_repro.engines.adapter import RunContext
    from tal_repro.engines.native.attribution import attribute_steps
    from tal_repro.engines.native.freed_memory import keep_freed_memory
    from tal_repro.engines.native.trainer import Diverged
    from tal_repro.run.training import plan_training
    from tal_repro.runs.store import RunStore

    spec = plan_training(model, data_dir, "native", 100.0, 0, overrides)
    with tempfile.TemporaryDirectory() as folder:
        writer = RunStore(folder).writer(spec)
        keep_freed_memory()  # as the executors do for a training, whose steps these are
        try:
            return attribute_steps(RunContext(spec=spec, record=writer, data_dir=data_dir, device=device), steps)
        except Diverged as error:
            raise InputError(f"the training diverges ({error})", "--set", "choose other values") from None
        finally:
            keep_freed_memory(False)


def attribute_upstream(
    model: str, data_dir: Path, overrides: dict[str, Any], device: str, steps: int
) -> dict[str, Any]:
    """Return the attribution of `steps` training steps of the authors' code, as plain values."""
    from tal_repro.engines.adapter import RunContext
    from tal_repro.engines.upstream.attribution import attribute_steps
    from tal_repro.run.training import plan_training
    from tal_repro.runs.store import RunStore

    spec = plan_training(model, data_dir, "upstream", 100.0, 0, overrides)
    with tempfile.TemporaryDirectory() as folder:
        writer = RunStore(folder).writer(spec)
        return attribute_steps(RunContext(spec, writer, data_dir, device), steps, Path(folder))


def attribute_run(record: RunRecord) -> dict[str, Any]:
    """Return what a finished run of any engine tells: the share of training that waited for data, its trace's loads."""
    from tal_repro.measure.trace import summarise

    seconds = record.metrics.get("seconds", {})
    if not seconds.get("train"):
        raise InputError("is not a run of training", record.folder, "give a folder of baseline, data_sweep or trace")
    share = seconds.get("data_wait", 0.0) / seconds["train"]
    report: dict[str, Any] = {
        "model": record.spec.model,
        "engine": record.spec.engine,
        "train_seconds": seconds["train"],
        "data_wait_share": share,
        "verdict": f"{record.spec.model} {record.spec.engine}: {100 * share:.0f} % of training waiting for the loader",
    }
    kept = record.details.get("attribution", {})
    if isinstance(kept, dict) and "verdict" in kept:  # a traced run took a few more steps for it
        report |= {**kept, "verdict": f"{record.spec.model} {record.spec.engine}: {kept['verdict']}"}
    if record.has("trace"):
        columns = summarise(record.paths.trace)
        loads = ("thread_busiest_percent", "cpu_mean_percent", "gpu_percent")
        report["trace"] = {name: columns[name]["mean"] for name in loads if name in columns}
    return report
