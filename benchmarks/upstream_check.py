"""Check the upstream engine on the authors' own code: python -m benchmarks.upstream_check [--out JSON].

Each model trains a few epochs on a small synthetic data set with a subset of given units. Checked: exactly those units
are used; the phases add up to the wall time; the kit's mAP equals upstream's own print; the loss of every step is the
same with and without the patches. Needs the four checkouts (make submodules, or TAL_REPRO_THIRD_PARTY).
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import skeleton
from tal_repro import kit
from tal_repro.models.registry import MODELS, OF_STUDY

SMALL = {"embed_dim": 64, "head_dim": 64, "max_seq_len": 576, "learning_rate": 1e-3, "loader_workers": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "tadtr": {"epochs": 2, "encoder_layers": 2, "decoder_layers": 2, "loader_workers": 1},
    "actionformer": {**SMALL, "mlp_dim": 256, "epochs": 4, "warmup_epochs": 2},
    "tridet": {**SMALL, "epochs": 4, "warmup_epochs": 2},
    "temporalmaxer": {**SMALL, "epochs": 4, "warmup_epochs": 2},
}
PERCENT = 40
PHASE_TOLERANCE = 0.02
PROBE = """
import os
import torch
backward = torch.Tensor.backward
def recorded(tensor, *arguments, **named):
    with open(os.environ["LOSS_PROBE"], "a") as stream:
        stream.write(f"{tensor.item()!r}\\n")
    return backward(tensor, *arguments, **named)
torch.Tensor.backward = recorded
"""


def main() -> int:
    """Check the chosen models; print one line each and write the report. Exit 1 if a check fails."""
    parser = skeleton.parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(OF_STUDY), choices=OF_STUDY)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(Path(scratch) / "data")
        rows = [check(model, data, Path(scratch)) for model in options.models]
    report = {"schema": "tal-repro/upstream-check/1", "synthetic": True, "environment": environment(), "models": rows}
    for row in rows:
        print(f"{row['model']:<14} {'ok' if row['passed'] else 'FAILED'}  {row['summary']}")
    skeleton.write(options.out, report)
    return 0 if all(row["passed"] for row in rows) else 1


def make_data(out: Path) -> Path:
    """Write 20 + 20 short videos in both layouts (every class needs test instances: TadTR's evaluator wants them)."""
    from click.testing import CliRunner

    from tal_repro.cli import main as cli

    words = ["data", "synth", "--out", str(out), "--videos", "20", "--test", "20", "--set", "seconds=30-60"]
    answer = CliRunner().invoke(cli, [*words, "--difficulty", "0.2"])
    if answer.exit_code != 0:
        raise SystemExit(answer.output)
    return out


def check(model: str, data: Path, scratch: Path) -> dict[str, Any]:
    """Run a model on a subset; then on everything, with the patches and without."""
    probes = {}
    for name, percent, plain in (("subset", PERCENT, False), ("patched", 100, False), ("plain", 100, True)):
        probes[name] = scratch / f"{model}-{name}.txt"
        arguments = (model, data, scratch / name, probes[name], percent, plain)
        # A process each: the probe and the unpatched tree must not reach the next model.
        process = multiprocessing.get_context("fork").Process(target=run, args=arguments)
        process.start()
        process.join()
    return judge(model, scratch / "subset", probes["patched"], probes["plain"])


def run(model: str, data: Path, scratch: Path, losses: Path, percent: float, plain: bool) -> None:
    """Train one model as `tal-repro train --engine upstream` does, recording the loss of every step.

    Without patches no hook tells what happened, so that such a run fails after its training: its losses are enough.
    """
    from tal_repro.engines.upstream import adapter, checkout
    from tal_repro.run.inputs import Inputs
    from tal_repro.run.job import Job
    from tal_repro.run.training import plan_training
    from tal_repro.run.worker import run_job

    probe = scratch / "probe"
    probe.mkdir(parents=True, exist_ok=True)
    (probe / "sitecustomize.py").write_text(PROBE)
    os.environ |= {"PYTHONPATH": str(probe), "LOSS_PROBE": str(losses), "OMP_NUM_THREADS": "1"}
    if plain:
        tree = scratch / f"{model}-tree"
        source = checkout.checkout_folder(MODELS[model])
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)
        adapter.prepare = lambda name: tree  # type: ignore[assignment]
    runs = scratch / "runs"
    (spec,) = Inputs(data, runs).with_digests([plan_training(model, data, "upstream", percent, 7, SETTINGS[model])])
    try:
        run_job(Job(spec.to_json(), str(runs), str(data), "cpu"))
    except SystemExit:
        traceback.print_exc()


def judge(model: str, scratch: Path, patched: Path, unpatched: Path) -> dict[str, Any]:
    """Return one row of the report."""
    from tal_repro.runs.record import read_json
    from tal_repro.runs.store import RunStore

    runs = scratch / "runs"
    records = [record for record in RunStore(runs).records() if record.spec.model == model]
    if not records:
        log = next(runs.glob(f"*/{model}/*.failed/log.txt"), None)
        tail = log.read_text().splitlines()[-5:] if log else ["no run folder"]
        return {"model": model, "passed": False, "summary": " | ".join(tail)}
    record = records[0]
    upstream, seconds = record.metrics["upstream"], record.metrics["seconds"]
    asked = sorted(read_json(record.paths.subset)["ids"])
    phases = sum(seconds[name] for name in ("setup", "train", "eval", "checkpoint", "eval_after"))
    with_patches, without = (path.read_text().split() if path.exists() else [] for path in (patched, unpatched))
    row = {
        "model": model,
        "commit": MODELS[model].commit,
        "patches": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(kit.patches(model).glob("*.patch"))
        },
        "version": record.spec.engine_version,
        "recipe": SETTINGS[model],
        "ids_asked": asked,
        "ids_used": sorted(upstream["used_ids"]),
        "optimizer_steps": record.metrics["optimizer_steps"],
        "seconds": seconds,
        "phases_over_wall": phases / seconds["total"],
        "own_print": upstream["own_print"],
        "losses_compared": min(len(with_patches), len(without)),
        "losses_equal": bool(with_patches) and with_patches == without,
        "spec": record.spec.to_json()["subset"],
    }
    checks = {
        "units": row["ids_asked"] == row["ids_used"],
        "phases": abs(1 - row["phases_over_wall"]) <= PHASE_TOLERANCE,
        "map": all(one["agrees"] for one in upstream["own_print"]),
        "losses": row["losses_equal"],
    }
    summary = f"{len(asked)} units, phases {row['phases_over_wall']:.4f} of the wall time, "
    summary += f"{len(upstream['own_print'])} mAPs, {row['losses_compared']} losses"
    failed = [name for name, passed in checks.items() if not passed]
    return {
        **row,
        "checks": checks,
        "passed": not failed,
        "summary": summary + (f"; failed: {failed}" if failed else ""),
    }


def environment() -> dict[str, str]:
    """Name what the figures depend on."""
    packages = {name: version(name) for name in ("torch", "numpy", "pandas", "joblib")}
    kit = {"kit_commit": _git("rev-parse", "HEAD"), "kit_clean": _git("status", "--porcelain") == ""}
    return {**kit, "python": platform.python_version(), "machine": platform.machine(), "device": "cpu", **packages}


def _git(*words: str) -> str:
    """Ask the kit's own clone."""
    command = ["git", "-C", str(Path(__file__).parents[1]), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
