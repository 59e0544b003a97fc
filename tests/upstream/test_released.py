"""`tal-repro released` on real checkpoints of the authors' code (marker `upstream`): both engines say the same mAP.

The checkpoints are made here, by the authors' own scripts on a small synthetic set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import upstream_check
from tal_repro.data.layouts import find_layout
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.upstream.adapter import UpstreamAdapter
from tal_repro.engines.upstream.checkout import prepare, status
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.models.checkpoint_io import read_checkpoint
from tal_repro.models.registry import OF_STUDY
from tal_repro.models.upstream_weights import select_state
from tal_repro.paper import released_runs
from tal_repro.run.training import plan_training
from tal_repro.runs.load import load_runs
from tal_repro.runs.store import RunStore

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(3600)]
AGREEMENT = 0.01  # mAP points
SMALL = {"embed_dim": 64, "head_dim": 64, "max_seq_len": 576, "epochs": 4, "warmup_epochs": 2, "learning_rate": 1e-3,
         "loader_workers": 1, "pre_nms_topk": 200}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "tadtr": {"encoder_layers": 2, "decoder_layers": 2, "epochs": 2, "loader_workers": 1},
    "actionformer": {**SMALL, "mlp_dim": 256},
    "tridet": SMALL,
    "temporalmaxer": SMALL,
}
SHAPE = (
    "encoder_layers",
    "decoder_layers",
    "embed_dim",
    "head_dim",
    "mlp_dim",
    "max_seq_len",
)  # what a checkpoint must be told


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upstream_check.make_data(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(params=OF_STUDY)
def model(request: pytest.FixtureRequest) -> str:
    """A model whose checkout is there."""
    found = status(request.param)
    if not found.present:
        pytest.skip(f"{found.folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    assert found.problem == "", f"{found.problem}; {found.remedy}"
    return str(request.param)


def test_both_engines_score_the_authors_checkpoint_alike(model: str, data: Path, tmp_path: Path) -> None:
    checkpoint = train(model, data, tmp_path)
    found = [compare(model, checkpoint, data, tmp_path / "runs")]
    lines = list(released_runs.lines(load_runs(tmp_path / "runs")))
    assert len(lines) == 4 and all("SYNTHETIC" in line for line in lines)  # two engines, two published protocols
    other = tmp_path / "other.pth.tar"
    content = read_checkpoint(checkpoint)
    if (
        "state_dict_ema" in content
    ):  # after so few steps the average is nearly the random start; the raw weights are not
        torch.save({"state_dict": content["state_dict"]}, other)
    else:
        torch.save({"model": disturbed(select_state(content))}, other)
    found.append(compare(model, other, data, tmp_path / "more"))
    assert max(found) > 0, "models that detect nothing prove nothing"
    for results in ("runs", "more"):
        runs = load_runs(tmp_path / results)
        assert runs.problems == () and len(runs.runs) == 2
        assert all(run.average_map is not None for run in runs.runs)


def compare(model: str, checkpoint: Path, data: Path, out: Path) -> float:
    """Evaluate by both engines; return the mAP that they agree on, in percent."""
    found = {engine: released(model, checkpoint, data, out, engine) for engine in ("native", "upstream")}
    native, upstream = ({row["protocol"]: row["average_map"] for row in rows} for rows in found.values())
    assert native.keys() == upstream.keys()
    for protocol, value in native.items():
        if upstream[protocol] is None:  # TadTR's own evaluation drops a video that counts there
            assert (model, protocol) == ("tadtr", "af-212")
        else:
            assert value == pytest.approx(upstream[protocol], abs=AGREEMENT), protocol
    own = next(out.glob("released/*/*/metrics.json"))
    records = [record for record in RunStore(out).records() if record.spec.engine == "upstream"]
    assert len(records) == 1, own
    (printed,) = records[0].metrics["own_print"]
    assert printed["agrees"], printed
    assert "# upstream: " in records[0].paths.log.read_text()
    protocol = UpstreamAdapter(model).protocol
    return float(upstream[protocol])


def released(model: str, checkpoint: Path, data: Path, out: Path, engine: str) -> list[dict[str, Any]]:
    """Run the command as a user does; its standard output must be JSON alone."""
    words = ["--model", model, "--checkpoint", str(checkpoint), "--data", str(data), "--engine", engine]
    sizes = [f"--set={key}={value}" for key, value in SIZES[model].items() if key in SHAPE]
    command = [sys.executable, "-m", "tal_repro", "released", *words, *sizes, "--out", str(out), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert answer.returncode == 0, answer.stderr
    rows: list[dict[str, Any]] = json.loads(answer.stdout)["rows"]
    return rows


def train(model: str, data: Path, scratch: Path) -> Path:
    """Train by the authors' scripts; return the checkpoint that they would release."""
    spec = plan_training(model, data, "upstream", 100.0, 7, SIZES[model])
    run = RunContext(spec, RunStore(scratch / "training").writer(spec), data, "cpu")
    adapter = UpstreamAdapter(model)
    job = Job(
        run, adapter.recipe(run), prepare(model).resolve(), find_layout(data, adapter.layout), fresh_work_folder(run)
    )
    adapter.run_scripts(job)
    pattern = "out/model_best.pth" if model == "tadtr" else "checkpoints/*/epoch_*.pth.tar"
    newest = sorted(job.work.glob(pattern))[-1]
    return Path(shutil.copy(newest, scratch / newest.name))


def disturbed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights with noise of a third of their own spread: another model that still detects."""
    return {name: value + noise(value) if value.numel() > 1 else value for name, value in state.items()}


def noise(value: torch.Tensor) -> torch.Tensor:
    """Return the same noise for the same values: a tensor that TadTR stores under two names stays one."""
    generator = torch.Generator().manual_seed(zlib.crc32(value.numpy().tobytes()))
    return 0.3 * value.std() * torch.randn(value.shape, generator=generator)
