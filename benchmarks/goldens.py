"""Rewrite the golden files of the pyramid models from upstream: python -m benchmarks.goldens --upstream DIR."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reference import golden
from benchmarks.reference.native import FPS
from benchmarks.reference.pyramid import PyramidPair
from benchmarks.reference.report import describe_run
from benchmarks.reference.training import Weights, add_ulp_noise, gradients, train
from tal_repro.models import model_entry
from tal_repro.models.outputs import PyramidOutputs

NAMES = ("actionformer", "tridet", "temporalmaxer")
FOLDER = Path("tests/golden/models")


def main() -> None:
    """Write one file per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, default=Path("third_party"))
    upstream = parser.parse_args().upstream
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in NAMES:
        head = describe_run([name], upstream, golden.SEED)
        arrays = make(name, upstream / model_entry(name).submodule)
        origin = {"commit": head["upstream"][name]["commit"], "torch": head["torch"], "fps": FPS}
        np.savez_compressed(
            FOLDER / f"{name}.npz", **golden.pack(arrays), **{f"origin/{k}": np.array(v) for k, v in origin.items()}
        )
        print(name, origin, len(arrays), (FOLDER / f"{name}.npz").stat().st_size, "bytes")


def make(name: str, folder: Path) -> golden.Arrays:
    """Return upstream's results at the small configuration."""
    torch.manual_seed(golden.SEED)
    recipe = golden.recipe(name)
    both = PyramidPair(name, recipe, folder)
    both.use_named_weights(golden.SEED)
    keys = sorted(key for key, _ in both.upstream.named_parameters())
    (FOLDER / f"{name}_keys.txt").write_text("\n".join(keys) + "\n")
    arrays: golden.Arrays = {"parameters": np.array(sum(p.numel() for p in both.upstream.parameters()))}
    with torch.no_grad():
        arrays |= golden.output_arrays(both.upstream_outputs, recipe.feature_dim)
        arrays |= _detections(both)
        arrays |= _losses(both)
    return arrays | _training(both)


def _losses(both: PyramidPair) -> golden.Arrays:
    both.reset()
    found = {}
    for kind in golden.kinds(both.name):
        videos, targets = golden.batch(kind, both.recipe.feature_dim)
        losses = both.upstream_losses(videos, targets)
        found |= {f"losses/{kind}/{key}": value.numpy() for key, value in losses.items()}
    return found


def _detections(both: PyramidPair) -> golden.Arrays:
    found: golden.Arrays = {}
    for length in golden.TEST_LENGTHS:
        outputs = both.upstream_outputs(golden.videos(both.recipe.feature_dim, [length]), False)
        fields = [tuple(x for key, x in outputs.items() if key.startswith(f)) for f in ("log", "off", "sta", "end")]
        result = both.upstream_detections(PyramidOutputs(*fields, (length,)))  # type: ignore[arg-type]
        found |= {f"detections/{length}/{k}": v.numpy() for k, v in zip(golden.FIELDS, result, strict=True)}
    return found


def _training(both: PyramidPair) -> golden.Arrays:
    """Return gradients and 20 steps: float64 for ActionFormer, else float32 with upstream's distance from itself."""
    double = golden.double(both.name)
    if double:
        both.upstream.double()
    start = copy.deepcopy(both.upstream.state_dict())
    runs = []
    for noise in (None, *(() if double else (1, 2, 3))):
        both.upstream.load_state_dict(start)
        if noise is not None:
            add_ulp_noise(both.upstream, noise)
        runs.append(golden.summaries(_trained(both, double)))
    arrays: golden.Arrays = dict(runs[0])
    for part in golden.PARTS if not double else ():
        keys = [key for key in arrays if key.startswith(part + "/")]
        own = max(golden.summary_distance(run[key], arrays[key]) for run in runs[1:] for key in keys)
        arrays[f"noise/{part}"] = np.array(own)
    return arrays


def _trained(both: PyramidPair, double: bool) -> Weights:
    both.reset()
    videos, targets = golden.cast(golden.batch("many", both.recipe.feature_dim), double)
    found: Any = {"gradients": gradients(both.upstream, lambda: both.upstream_losses(videos, targets)["total"])}
    both.reset()
    found |= train(
        both.upstream,
        lambda v, t: both.upstream_losses(v, t)["total"],
        golden.batches(both.recipe.feature_dim, double),
        both.recipe,
        lambda key: both.decayed(both.names[key]),
    )
    own = dict(both.native.named_parameters())
    return {
        part: {both.names[key]: value.reshape(own[both.names[key]].shape) for key, value in tensors.items()}
        for part, tensors in found.items()
    }


if __name__ == "__main__":
    main()
