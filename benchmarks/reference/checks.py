"""The comparisons of the parity tool. Each returns rows: a figure, the limit it must keep, and what it is of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.reference import Pair, cases, pair
from benchmarks.reference.settings import Setting, settings
from tal_repro.models.interface import Target

OUTPUT_LIMIT = 1e-5  # of each tensor's maximum
DOUBLE_LIMIT = 1e-7
NOISE_FACTOR = 3.0  # times upstream's distance from itself under one-ulp noise
STEPS = 20


@dataclass(frozen=True)
class Row:
    """One comparison: `value` must not exceed `limit`."""

    model: str
    check: str
    case: str
    value: float
    limit: float
    detail: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Say whether the figure keeps its limit (NaN does not)."""
        return self.value <= self.limit


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference relative to the largest value of `theirs`."""
    if ours.shape != theirs.shape:
        return float("inf")
    if ours.numel() == 0:
        return 0.0
    scale = theirs.detach().abs().max().double()
    difference = (ours.detach().double() - theirs.detach().double()).abs().max()
    return float(difference) if scale == 0 else float(difference / scale)


def worst(pairs: dict[str, tuple[Tensor, Tensor]]) -> tuple[str, float]:
    """Return the name and distance of the farthest pair."""
    return max(((name, distance(*tensors)) for name, tensors in pairs.items()), key=lambda item: item[1])


def parameters(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare parameter counts."""
    both = _pair(settings(name), folder, seed, named=False)
    ours, theirs = (sum(p.numel() for p in m.parameters()) for m in (both.native, both.upstream))
    return [
        Row(name, "parameters", f"{ours} against {theirs}", abs(ours - theirs), 0, {"native": ours, "upstream": theirs})
    ]


def outputs(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare raw outputs at lengths around the training length, and in evaluation beyond it."""
    setting = settings(name)
    rows = []
    for named in (True, False):
        both = _pair(setting, folder, seed, named)
        tries = [(lengths, True) for lengths in setting.train_lengths] + [([n], False) for n in setting.test_lengths]
        for lengths, training in tries:
            with torch.no_grad():
                batch = cases.videos("outputs", seed, setting.channels, lengths)
                where, value = worst(both.raw(batch, training))
            case = f"{'train' if training else 'eval'} {lengths}{' named weights' if named else ''}"
            rows.append(Row(name, "outputs", case, value, OUTPUT_LIMIT, {"worst": where}))
    return rows


def losses(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare losses on targets of every kind, the running normaliser going on from kind to kind."""
    setting = settings(name)
    both = _pair(setting, folder, seed, named=True)
    rows = []
    for kind in setting.target_kinds:
        batch, truth = _batch(setting, seed, kind)
        with torch.no_grad():
            ours, theirs = both.native_losses(batch, truth), both.upstream_losses(batch, truth)
        where, value = worst({key: (ours[key].reshape(()), theirs[key].reshape(())) for key in theirs})
        detail = {"worst": where, "upstream": {key: float(v) for key, v in theirs.items()}}
        rows.append(Row(name, "losses", kind, value, OUTPUT_LIMIT, detail))
    return rows


def gradients(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare gradients, in float64 where upstream runs in it, else against upstream under one-ulp noise."""
    setting = settings(name)
    both = _pair(setting, folder, seed, named=False)
    batch, truth = _batch(setting, seed, "many")
    if setting.double:
        _to_double(both)
        batch = [v.double() for v in batch]
    ours = _gradients(both.native, lambda: both.native_losses(batch, truth)["total"])
    reference = _upstream_gradients(both, batch, truth)
    kept = {key: (ours[key], reference[key]) for key in reference if not setting.zero_gradient(key)}
    where, value = worst(kept)
    limit, detail = DOUBLE_LIMIT, {"worst": where, "dtype": "float64", "excluded": setting.excluded(reference)}
    if not setting.double:
        _add_ulp_noise(both.upstream, seed)
        noisy = _upstream_gradients(both, batch, truth)
        self_where, itself = worst({key: (noisy[key], reference[key]) for key in kept})
        limit = NOISE_FACTOR * itself
        detail |= {"dtype": "float32", "upstream_from_itself": itself, "upstream_from_itself_worst": self_where}
    return [Row(name, "gradients", f"many actions, {detail['dtype']}", value, limit, detail)]


def steps(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare weights and their moving average after 20 optimizer steps on the same batches."""
    setting = settings(name, steps=True)
    both = _pair(setting, folder, seed, named=False)
    if setting.double:
        _to_double(both)
    start = copy.deepcopy(both.upstream.state_dict())
    batches = [_batch(setting, seed + i, "many", pick=i) for i in range(STEPS)]
    if setting.double:
        batches = [([v.double() for v in batch], truth) for batch, truth in batches]
    both.reset()
    ours = _train(both, both.native, lambda b, t: both.native_losses(b, t)["total"], batches, setting, {})
    theirs = _train_upstream(both, batches, setting)
    noisy: list[dict[str, dict[str, Tensor]]] = []
    for noise_seed in () if setting.double else (seed, seed + 1):
        both.upstream.load_state_dict(start)
        _add_ulp_noise(both.upstream, noise_seed)
        noisy.append(_train_upstream(both, batches, setting))
    rows = []
    for kind in ("weights", "average") if setting.ema_decay else ("weights",):
        keys = [key for key in theirs[kind] if not setting.zero_gradient(key)]
        where, value = worst({key: (ours[kind][key], theirs[kind][key]) for key in keys})
        limit, detail = DOUBLE_LIMIT, {"worst": where, "dtype": "float64", "excluded": setting.excluded(theirs[kind])}
        if noisy:
            itself = max(worst({key: (run[kind][key], theirs[kind][key]) for key in keys})[1] for run in noisy)
            limit = NOISE_FACTOR * itself
            detail |= {"dtype": "float32", "upstream_from_itself": itself}
        rows.append(Row(name, "steps", f"{kind} after {STEPS} steps, {detail['dtype']}", value, limit, detail))
    return rows


def detections(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare detections after NMS from the same raw outputs: same labels in the same order, times and scores."""
    setting = settings(name)
    both = _pair(setting, folder, seed, named=True)
    rows = []
    for length in setting.test_lengths:
        (video,) = cases.videos("detections", seed, setting.channels, [length])
        ours, theirs = both.detections(video)
        segments, scores, labels = (torch.as_tensor(x) for x in ours)
        same = segments.shape == theirs[0].shape and bool((labels == theirs[2]).all())
        pairs = {"segments": (segments, theirs[0]), "scores": (scores, theirs[1])}
        value = worst(pairs)[1] if same else float("inf")
        detail = {"detections": len(labels), "same_order": same}
        rows.append(Row(name, "detections", f"{len(labels)} at length {length}", value, OUTPUT_LIMIT, detail))
    return rows


CHECKS: tuple[Callable[[str, Path, int], list[Row]], ...] = (parameters, outputs, losses, gradients, steps, detections)


def _pair(setting: Setting, folder: Path, seed: int, named: bool) -> Pair:
    torch.manual_seed(seed)
    both = pair(setting.name, setting.recipe, folder)
    if named:
        both.use_named_weights(seed)
    both.reset()
    return both


def _to_double(both: Pair) -> None:
    both.native.double()
    both.upstream.double()


def _batch(setting: Setting, seed: int, kind: str, pick: int = 0) -> tuple[list[Tensor], list[Target]]:
    lengths = setting.train_lengths[pick % len(setting.train_lengths)]
    batch = cases.videos("batch", seed, setting.channels, lengths)
    return batch, cases.targets(kind, lengths, setting.recipe.num_classes, seed)


def _gradients(model: nn.Module, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    loss().backward()
    return {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}


def _upstream_gradients(both: Pair, batch: list[Tensor], truth: list[Target]) -> dict[str, Tensor]:
    both.reset()
    found = _gradients(both.upstream, lambda: both.upstream_losses(batch, truth)["total"])
    return dict(_native_shapes(both, found))


def _native_shapes(both: Pair, tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    shapes = {key: p.shape for key, p in both.native.named_parameters()}
    for key, value in tensors.items():
        yield both.names[key], value.reshape(shapes[both.names[key]])


def _add_ulp_noise(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            up = torch.randint(2, parameter.shape, generator=generator) * 2.0 - 1.0
            parameter.copy_(torch.nextafter(parameter, parameter + up))


def _train_upstream(both: Pair, batches: list[Any], setting: Setting) -> dict[str, dict[str, Tensor]]:
    both.reset()
    trained = _train(
        both, both.upstream, lambda b, t: both.upstream_losses(b, t)["total"], batches, setting, both.names
    )
    return {kind: dict(_native_shapes(both, tensors)) for kind, tensors in trained.items()}


def _train(
    both: Pair,
    model: nn.Module,
    loss: Callable[..., Tensor],
    batches: list[Any],
    setting: Setting,
    names: dict[str, str],
) -> dict[str, dict[str, Tensor]]:
    """Take AdamW steps with clipping and moving average as the recipe says; return both sets of weights."""
    named = list(model.named_parameters())
    groups = [
        {
            "params": [parameter],
            "weight_decay": setting.recipe.weight_decay if both.decayed(names.get(key, key)) else 0.0,
            "lr": setting.recipe.learning_rate * setting.rate_factor(names.get(key, key)),
        }
        for key, parameter in named
    ]
    optimizer = torch.optim.AdamW(groups)
    average = {key: p.detach().clone() for key, p in named}
    for batch, truth in batches:
        optimizer.zero_grad()
        loss(batch, truth).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), setting.recipe.clip_norm)
        optimizer.step()
        for key, parameter in named:
            average[key].lerp_(parameter.detach(), 1 - setting.ema_decay)
    return {"weights": {key: p.detach().clone() for key, p in named}, "average": average}
