"""A process on the card: python -m tal_repro.gpu_check.exercise DEVICE [small]. A line of JSON for each thing it does.

A product of matrices, then of each native model a few training steps on random features of full length, and detections
beside those of a CPU. `small` takes the models' miniature sizes, for a rehearsal on a CPU.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch

from tal_repro.detection.postprocess import suppress
from tal_repro.engines.native.batches import Batch
from tal_repro.engines.native.optimization import WeightAverage, build_optimizer, descend
from tal_repro.engines.native.trainer import batch_loss
from tal_repro.measure.memory import PeakMemory
from tal_repro.models import build, model_entry
from tal_repro.models.registry import MODELS

SIDE = 2048  # of the square matrices
STEPS = 3  # a first step is no measure of time or memory
INSTANCES = 8  # actions in each random sample
TOP = 50  # of the candidates' scores that are compared
SHORT = 256  # feature steps whose detections are compared with a CPU's
Line = dict[str, Any]


def main() -> None:
    """Do everything; what fails is a line, and the rest goes on."""
    device, small = sys.argv[1], "small" in sys.argv[2:]
    for name, work in _works(device, small):
        started = time.time()
        try:
            result = work()
        except (RuntimeError, ValueError, MemoryError, NotImplementedError) as error:
            result = {"problem": (str(error).splitlines() or [type(error).__name__])[0]}
        _release(device)
        print(json.dumps({"did": name, "started": started, "ended": time.time(), **result}), flush=True)


def _works(device: str, small: bool) -> Iterator[tuple[str, Callable[[], Line]]]:
    yield "product", lambda: product(device)
    for model, entry in MODELS.items():
        if "native" in entry.engines:
            yield f"native {model}", lambda model=model: native_step(model, device, small)  # type: ignore[misc]


def product(device: str) -> Line:
    """Return how far a float32 product on the device is from a CPU's in float64, relative to its size."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(SIDE, SIDE, generator=generator) - 0.5 for _ in range(2))
    exact = left.double() @ right.double()
    result = (left.to(device) @ right.to(device)).cpu().double()
    return {"relative_error": float((result - exact).norm() / exact.norm())}


def native_step(model: str, device: str, small: bool) -> Line:
    """Return time, loss and memory of training steps at full length, and how detections differ from a CPU's."""
    sizes = {**asdict(model_entry(model).recipe), **(model_entry(model).recipe.small(model) if small else {})}
    given = {name: value for name, value in sizes.items() if value != getattr(model_entry(model).recipe, name)}
    torch.manual_seed(0)
    network: Any = build(model, **given)
    compared = _difference(network, device)
    network.to(device)
    network.prepare(device)
    with PeakMemory(device) as peak:
        losses, step_ms = _train(network, device)
    if not all(map(_is_number, losses)):
        raise RuntimeError(f"the losses of the first steps are {losses}")
    return {"losses": losses, "step_ms": step_ms, "allocated_mib": peak.mib, **compared}


def _train(network: Any, device: str) -> tuple[list[float], float]:
    """Take the steps of the native trainer on one random batch; return the losses and the last step's milliseconds."""
    recipe = network.recipe
    optimizer = build_optimizer(network, recipe)
    average = WeightAverage(network, recipe.ema_decay) if recipe.ema_decay > 0 else None
    batch = _batch(recipe, device)
    network.train()
    losses, began = [], 0.0
    for _ in range(STEPS):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = batch_loss(network, batch, "fp32")
        descend(loss, network, optimizer, average, recipe.clip_norm)
        losses.append(float(loss.detach()))  # waits for the device
    return losses, 1000 * (time.perf_counter() - began)


def _batch(recipe: Any, device: str) -> Batch:
    length, size = recipe.training_length, recipe.batch_size
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(size, recipe.feature_dim, length, generator=generator).to(device)
    starts = torch.rand(size, INSTANCES, generator=generator) * 0.9 * length
    segments = torch.stack([starts, starts + 0.05 * length], dim=-1)
    labels = torch.randint(recipe.num_classes, (size, INSTANCES), generator=generator)
    targets: Any = [{"segments": segments[place], "labels": labels[place]} for place in range(size)]
    return Batch(tuple(f"random {place}" for place in range(size)), features, torch.full((size,), length), targets)


@torch.no_grad()
def _difference(network: Any, device: str) -> Line:
    """Return the largest difference of the best scores, and how many detections are left after NMS, here and there."""
    network.eval()
    length = min(network.recipe.training_length, SHORT)
    features = torch.rand(1, network.recipe.feature_dim, length, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([length])
    rows: dict[str, Any] = {}
    for place in dict.fromkeys(("cpu", device)):
        network.to(place)
        network.prepare(place)
        candidates = network.decode(network(features.to(place), lengths), lengths)[0]
        segments, scores, labels = (field.float().cpu() for field in candidates)
        kept = suppress(segments.numpy(), scores.numpy(), labels.long().numpy(), network.recipe.max_detections)
        rows[place] = scores.sort(descending=True).values[:TOP], len(kept.scores)
    (expected, count), (seen, there) = rows["cpu"], rows[device]
    far = float((expected - seen).abs().max()) if expected.shape == seen.shape and len(seen) else 1.0
    return {"score_difference": far, "detections": there, "detections_cpu": count}


def _is_number(value: float) -> bool:
    return abs(value) < float("inf")  # false for NaN as well


def _release(device: str) -> None:
    """Give back what a model held, so that the next one's memory is its own."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
