"""A shipped model beyond the four, by its authors' code (marker `upstream`): what it scores is what it prints.

On synthetic data of two minutes' training on a free core (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.engines.upstream.checkout import status
from tal_repro.runs.store import RunStore

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(3600)]
CLASSES, WIDTH, LEAST_MAP = 4, 16, 0.2
TETAD = {
    "epochs": 60, "eval_interval": 20, "max_seq_len": 512, "batch_size": 4, "hidden_dim": 32, "ffn_dim": 64,
    "encoder_layers": 1, "decoder_layers": 2, "feature_levels": 4, "loader_workers": 1, "learning_rate": 0.002,
    "ema_decay": 0.95, "noise_scale": 0.0, "queries": 20,
}  # fmt: skip


def trained(model: str, recipe: dict[str, Any], folder: Path) -> dict[str, Any]:
    if not status(model).present:
        pytest.skip(f"{status(model).folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    data = write_synthetic(
        folder / "data", SyntheticConfig(24, 8, WIDTH, CLASSES, (20.0, 35.0), difficulty=0.0, seed=5)
    )
    words = [f"--set={name}={json.dumps(value)}" for name, value in recipe.items()]
    command = [sys.executable, "-m", "tal_repro", "train", "--engine", "upstream", "--model", model, "--seed", "3"]
    command += ["--data", str(data), "--out", str(folder / "runs"), f"--set=feature_dim={WIDTH}"]
    subprocess.run([*command, f"--set=num_classes={CLASSES}", *words], check=True)
    (record,) = RunStore(folder / "runs").records()
    return dict(record.metrics)


def test_tetad_learns_and_both_its_weight_sets_score_what_it_prints(tmp_path: Path) -> None:
    metrics = trained("tetad", TETAD, tmp_path)
    printed = metrics["upstream"]["own_print"]
    assert {(row["selection"], row["weights"]) for row in printed} == {
        (selection, weights) for selection in ("last", "best-on-test") for weights in ("raw", "ema")
    }
    assert all(row["agrees"] and row["kit_map"] > LEAST_MAP for row in printed), printed
    assert metrics["reported"] == {"weights": "ema", "protocol": "tadtr-210"}
