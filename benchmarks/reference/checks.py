"""The comparisons of the parity tool. Each returns rows: a figure, the limit it must keep, and what it is of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.reference import Pair, cases, pair
from benchmarks.reference.settings import Setting, settings
from benchmarks.reference.training import Weights, add_ulp_noise, train
from benchmarks.reference.training import gradients as gradients_of
from tal_repro.models.interface import Target

OUTPUT_LIMIT = 1e-5  # of each tensor's maximum
DOUBLE_LIMIT = 1e-7
NOISE_FACTOR = 3.0  # times upstream's distance from itself under one-ulp noise
NOISE_SEEDS = (1, 2)
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


def noise_ratio(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], noisy: list[dict[str, Tensor]], keys: list[str]
) -> tuple[float, dict[str, Any]]:
    """Return the largest distance of any tensor in units of upstream's own distance under one-ulp noise.

    A tensor's own distance is the largest over the noisy runs, and at least 1e-6: a float32 sum over 4536 points.
    """
    distances = {key: distance(ours[key], theirs[key]) for key in keys}
    own = {key: max(1e-6, *(distance(run[key], theirs[key]) for run in noisy)) for key in keys}
    where = max(keys, key=lambda key: distances[key] / own[key])
    farthest = max(keys, key=lambda key: distances[key])
    detail = {
        "dtype": "float32",
        "worst": where,
        "worst_distance": distances[where],
        "worst_upstream_from_itself": own[where],
        "largest_distance": distances[farthest],
        "largest_upstream_from_itself": max(own.values()),
        "largest_distance_of": farthest,
    }
    return distances[where] / own[where], detail


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
        if not named:  # as initialised: one of each, for the weights above reach more of the model
            tries = [tries[0], tries[-1]]
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
    both = _pair(setting, folder, seed, named=True)
    batch, truth = _batch(setting, seed, "many")
    if setting.double:
        _to_double(both)
        batch = [v.double() for v in batch]
    ours = gradients_of(both.native, lambda: both.native_losses(batch, truth)["total"])
    theirs = _upstream_gradients(both, batch, truth)
    noisy = []
    for noise_seed in () if setting.double else NOISE_SEEDS:
        both.use_named_weights(seed)
        add_ulp_noise(both.upstream, noise_seed)
        noisy.append(_upstream_gradients(both, batch, truth))
    return [_compare(setting, "gradients", "many actions", ours, theirs, noisy)]


def steps(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare weights and their moving average after 20 optimizer steps on the same batches."""
    setting = settings(name, steps=True)
    both = _pair(setting, folder, seed, named=True)
    if setting.double:
        _to_double(both)
    batches = [_batch(setting, seed + i, "many", pick=i) for i in range(STEPS)]
    if setting.double:
        batches = [([v.double() for v in batch], truth) for batch, truth in batches]
    start = copy.deepcopy(both.upstream.state_dict())
    ours = train(
        both.native,
        lambda videos, truth: both.native_losses(videos, truth)["total"],
        batches,
        setting.recipe,
        both.decayed,
        setting.rate_factor,
    )
    theirs = _train_upstream(both, batches, setting)
    noisy = []
    for noise_seed in () if setting.double else NOISE_SEEDS:
        both.upstream.load_state_dict(start)
        add_ulp_noise(both.upstream, noise_seed)
        noisy.append(_train_upstream(both, batches, setting))
    kinds = ("weights", "average") if setting.ema_decay else ("weights",)
    return [
        _compare(setting, "steps", f"{kind} after {STEPS} steps", ours[kind], theirs[kind], [n[kind] for n in noisy])
        for kind in kinds
    ]


def _compare(
    setting: Setting,
    check: str,
    case: str,
    ours: dict[str, Tensor],
    theirs: dict[str, Tensor],
    noisy: list[dict[str, Tensor]],
) -> Row:
    """Compare tensors by name: by distance in float64, else in units of upstream's distance from itself."""
    keys = [key for key in theirs if not setting.zero_gradient(key)]
    excluded = {"excluded": setting.excluded(theirs), "tensors": len(keys)}
    if noisy:
        value, detail = noise_ratio(ours, theirs, noisy, keys)
        return Row(setting.name, check, f"{case}, float32, in own noise", value, NOISE_FACTOR, detail | excluded)
    where, value = worst({key: (ours[key], theirs[key]) for key in keys})
    detail = {"dtype": "float64", "worst": where} | excluded
    return Row(setting.name, check, f"{case}, float64", value, DOUBLE_LIMIT, detail)


def detections(name: str, folder: Path, seed: int) -> list[Row]:
    """Compare detections after NMS from the same raw outputs: same labels in the same order, times and scores.

    Upstream's last sort is not stable, so detections whose scores are equal (to 1e-6) may change places; they are
    counted.
    """
    setting = settings(name)
    both = _pair(setting, folder, seed, named=True)
    rows = []
    for length in setting.test_lengths:
        (video,) = cases.videos("detections", seed, setting.channels, [length])
        rows.append(_compare_detections(name, length, *both.detections(video)))
    return rows


def _compare_detections(name: str, length: int, ours: Any, theirs: Any) -> Row:
    native, upstream = ([np.asarray(x) for x in side] for side in (ours, theirs))
    count, moved, value = len(native[1]), 0, float("inf")
    if count == len(upstream[1]):
        place = _tie_order(upstream[1], *native), _tie_order(upstream[1], *upstream)
        moved = int((native[2] != upstream[2]).sum())
        native, upstream = ([x[order] for x in side] for side, order in zip((native, upstream), place, strict=True))
        if np.array_equal(native[2], upstream[2]):
            pairs = {str(i): (torch.from_numpy(native[i]), torch.from_numpy(upstream[i])) for i in (0, 1)}
            value = worst(pairs)[1]
    detail = {"detections": count, "labels_moved_among_equal_scores": moved}
    return Row(name, "detections", f"{count} at length {length}", value, OUTPUT_LIMIT, detail)


def _tie_order(scores: Any, segments: Any, own: Any, labels: Any) -> Any:
    """Return an order that sorts each run of equal `scores` by label and start, and leaves the rest."""
    run = np.concatenate([[0], np.cumsum(-np.diff(scores) > 1e-6 * scores[:-1])]) if len(scores) else scores
    return np.lexsort((segments[:, 0], labels, run))


Check = Callable[[str, Path, int], list[Row]]
CHECKS: tuple[Check, ...] = (parameters, outputs, losses, gradients, steps, detections)


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


def _upstream_gradients(both: Pair, batch: list[Tensor], truth: list[Target]) -> dict[str, Tensor]:
    both.reset()
    found = gradients_of(both.upstream, lambda: both.upstream_losses(batch, truth)["total"])
    return dict(_native_shapes(both, found))


def _native_shapes(both: Pair, tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    shapes = {key: p.shape for key, p in both.native.named_parameters()}
    for key, value in tensors.items():
        yield both.names[key], value.reshape(shapes[both.names[key]])


def _train_upstream(both: Pair, batches: list[Any], setting: Setting) -> Weights:
    both.reset()
    trained = train(
        both.upstream,
        lambda videos, truth: both.upstream_losses(videos, truth)["total"],
        batches,
        setting.recipe,
        lambda key: both.decayed(both.names[key]),
        lambda key: setting.rate_factor(both.names[key]),
    )
    return {kind: dict(_native_shapes(both, tensors)) for kind, tensors in trained.items()}
