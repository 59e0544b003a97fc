"""Rewrite TadTR's golden file from upstream: python -m benchmarks.goldens_tadtr --upstream DIR."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.reference import golden, tadtr_golden
from benchmarks.reference.report import describe_run
from benchmarks.reference.settings import settings
from benchmarks.reference.tadtr import TadtrPair
from benchmarks.reference.training import gradients, train
from tal_repro.models import model_entry

FILE = Path("tests/golden/tadtr.npz")


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, default=Path("third_party"))
    upstream = parser.parse_args().upstream
    torch.set_num_threads(1)
    head = describe_run(["tadtr"], upstream, golden.SEED)
    arrays: golden.Arrays = {}
    for actionness in (True, False):
        made = golden.pack(make(upstream / model_entry("tadtr").submodule, actionness))
        arrays |= {f"{'on' if actionness else 'off'}/{key}": value for key, value in made.items()}
    origin = {"commit": head["upstream"]["tadtr"]["commit"], "torch": head["torch"]}
    np.savez_compressed(FILE, **arrays, **{f"origin/{k}": np.array(v) for k, v in origin.items()})
    print(origin, len(arrays), FILE.stat().st_size, "bytes")


def make(folder: Path, actionness: bool) -> golden.Arrays:
    """Return upstream's results at the small configuration."""
    both = TadtrPair(tadtr_golden.recipe(actionness), folder)
    both.use_named_weights(golden.SEED)
    arrays: golden.Arrays = {"parameters": np.array(sum(p.numel() for p in both.upstream.parameters()))}
    with torch.no_grad():
        arrays |= tadtr_golden.output_arrays(both.upstream_outputs)
        for kind in tadtr_golden.KINDS:
            losses = both.upstream_losses(*tadtr_golden.batch(kind))
            arrays |= {f"losses/{kind}/{key}": value.numpy() for key, value in losses.items()}
    for sample, found in enumerate(both.upstream_detections(tadtr_golden.raw_outputs(actionness))):
        arrays |= {f"detections/{sample}/{k}": v.numpy() for k, v in zip(golden.FIELDS, found, strict=True)}
    return arrays | _training(both)


def _training(both: TadtrPair) -> golden.Arrays:
    """Return two numbers per gradient and per weight after 20 steps, in float64."""
    both.upstream.double()
    slow = settings("tadtr").rate_factor
    videos, targets = golden.cast(tadtr_golden.batch("many"), True)
    found = {"gradients": gradients(both.upstream, lambda: both.upstream_losses(videos, targets)["total"])}
    batches = [golden.cast(tadtr_golden.batch("many", pick), True) for pick in range(tadtr_golden.STEPS)]
    found |= train(
        both.upstream,
        lambda v, t: both.upstream_losses(v, t)["total"],
        batches,
        both.recipe,
        lambda key: True,
        lambda key: slow(both.names[key]),
    )
    own = dict(both.native.named_parameters())
    named = {
        part: {both.names[key]: value.reshape(own[both.names[key]].shape) for key, value in tensors.items()}
        for part, tensors in found.items()
    }
    return golden.summaries(named)


if __name__ == "__main__":
    main()
