"""A synthetic data set of 24 + 20 short videos, tiny recipes, and run contexts in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tal_repro.data import load_dataset
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native import native_version
from tal_repro.runs.store import RunStore
from tal_repro.spec import DataSpec, RunSpec, SubsetSpec
from tal_repro.study import resolve_recipe

MODELS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
SIZES: dict[str, Any] = {"feature_dim": 16, "epochs": 3}
TINY: dict[str, dict[str, Any]] = {
    "tadtr": {
        **SIZES, "hidden_dim": 32, "ffn_dim": 32, "encoder_layers": 1, "decoder_layers": 1, "attention_heads": 2,
        "queries": 8, "lr_decay_epoch": 2, "batch_size": 8, "ema_decay": 0.9,
    },
    "temporalmaxer": {
        **SIZES, "embed_dim": 16, "head_dim": 16, "levels": 3, "regression_ranges": [[0, 8], [8, 32], [32, 10000]],
        "max_seq_len": 256, "warmup_epochs": 1, "batch_size": 4, "max_detections": 20, "pre_nms_topk": 50,
        "ema_decay": 0.9, "learning_rate": 0.001,
    },
}  # fmt: skip
TINY["tridet"] = {**TINY["temporalmaxer"], "mlp_dim": 16, "stem_blocks": 1}
TINY["actionformer"] = {**TINY["tridet"], "attention_heads": 2, "attention_window": 5}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("data") / "tiny"
    return write_synthetic(out, SyntheticConfig(24, 20, 16, 20, (20.0, 50.0), difficulty=0.1, seed=3))


@pytest.fixture
def context(data_dir: Path, tmp_path: Path) -> Callable[..., RunContext]:
    """Return a function that opens a run of a model in a folder of its own."""

    def make(
        model: str, folder: str = "runs", subset_ids: tuple[str, ...] = (), seed: int = 1, **overrides: Any
    ) -> RunContext:
        dataset = load_dataset(data_dir)
        options = overrides.pop("options", {})
        unit = overrides.pop("unit", None)
        spec = RunSpec(
            experiment="data_sweep",
            model=model,
            engine="native",
            engine_version=native_version("training"),
            recipe=resolve_recipe(model, "native", {**TINY[model], **overrides}),
            data=DataSpec(dataset.name, dataset.version, dataset.annotation_hash, synthetic=True),
            subset=SubsetSpec(unit=unit) if unit else None,
            seed=seed,
            options=options,
        )
        writer = RunStore(tmp_path / folder).writer(spec)
        return RunContext(spec=spec, record=writer, data_dir=data_dir, device="cpu", subset_ids=subset_ids)

    return make
