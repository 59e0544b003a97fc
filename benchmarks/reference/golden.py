"""Golden numbers of a small configuration: made from upstream once, compared with the native model in every test run.

Weights, features and targets come from names and seeds; the files hold results only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmarks.reference import cases
from benchmarks.reference.weights import draw
from tal_repro.models import recipes
from tal_repro.models.interface import Target
from tal_repro.models.recipes import PyramidRecipe

Arrays = dict[str, npt.NDArray[Any]]
SEED = 7
TRAIN_LENGTHS = ([120, 57], [1, 33], [255, 200])
TEST_LENGTHS = (1, 90, 300)
KINDS = ("one", "many", "overlapping", "beyond", "none")
FIELDS = ("segments", "scores", "labels")
PARTS = ("gradients", "weights", "average")
STEPS = 20
ZERO_GRADIENTS = ("key.pointwise.bias", "key.norm.bias")  # softmax ignores what they add
COLUMNS = 16  # columns kept of a level, evenly spread


def recipe(name: str) -> PyramidRecipe:
    """Return the small configuration: 32 channels, 5 classes, window 5; TriDet with room for its shortened runs."""
    full: PyramidRecipe = getattr(recipes, name.upper())
    small = dataclasses.replace(full, feature_dim=24, embed_dim=32, head_dim=32, num_classes=5, attention_heads=2)
    mlp = {"actionformer": 128, "tridet": 48}.get(name, full.mlp_dim)
    length = 1024 if name == "tridet" else 256
    return dataclasses.replace(small, attention_window=5, mlp_dim=mlp, max_seq_len=length)


def double(name: str) -> bool:
    """Say whether upstream runs in float64."""
    return name == "actionformer"


def kinds(name: str) -> tuple[str, ...]:
    """Return the kinds of targets upstream can train on: TemporalMaxer's fails where a video has no action."""
    return KINDS[:-1] if name == "temporalmaxer" else KINDS


def videos(channels: int, lengths: list[int], pick: int = 0) -> list[Tensor]:
    """Return features of the golden inputs."""
    return cases.videos("golden", SEED + pick, channels, lengths)


def thin(x: Tensor, valid: int) -> npt.NDArray[Any]:
    """Return evenly spread columns of the first `valid` of [B, C, T]."""
    step = -(-valid // COLUMNS)
    return x[..., :valid:step].detach().numpy()


def output_arrays(run: Callable[[list[Tensor], bool], dict[str, Tensor]], channels: int) -> Arrays:
    """Return raw outputs of every length; `run(videos, training)` gives them by field and level."""
    found = {}
    tries = [(lengths, True) for lengths in TRAIN_LENGTHS] + [([length], False) for length in TEST_LENGTHS]
    for lengths, training in tries:
        outputs = run(videos(channels, lengths), training)
        for key, x in outputs.items():
            valid = -(-max(lengths) // 2 ** int(key.split("/")[1]))
            found[f"outputs/{'train' if training else 'eval'}-{'-'.join(map(str, lengths))}/{key}"] = thin(x, valid)
    return found


def batch(kind: str, channels: int, pick: int = 0) -> tuple[list[Tensor], list[Target]]:
    """Return a training batch with targets of a kind."""
    lengths = TRAIN_LENGTHS[(0, 2)[pick % 2]]
    return videos(channels, lengths, pick), cases.targets(kind, lengths, 5, SEED + pick)


def batches(channels: int, double: bool) -> list[tuple[list[Tensor], list[Target]]]:
    """Return the batches of the training steps."""
    return [cast(batch("many", channels, pick), double) for pick in range(STEPS)]


def cast(given: tuple[list[Tensor], list[Target]], double: bool) -> tuple[list[Tensor], list[Target]]:
    """Return the batch with float64 features if `double`."""
    return ([v.double() for v in given[0]] if double else given[0]), given[1]


def summaries(trained: dict[str, dict[str, Tensor]]) -> Arrays:
    """Return two numbers per tensor of each part: its norm, and its length along a fixed direction."""
    found = {}
    for part, tensors in trained.items():
        for key, tensor in tensors.items():
            if any(key.endswith(end) for end in ZERO_GRADIENTS):
                continue
            flat = tensor.detach().double().flatten()
            direction = draw(key, SEED, flat.numel()).double()
            found[f"{part}/{key}"] = np.array([float(flat.norm()), float(flat @ direction / direction.norm())])
    return found


def pack(arrays: Arrays) -> Arrays:
    """Return the arrays with those of a part stacked into one: a file of many small arrays is mostly headers."""
    packed = {key: x for key, x in arrays.items() if key.split("/")[0] not in PARTS}
    for part in PARTS:
        keys = sorted(key for key in arrays if key.startswith(part + "/"))
        packed[f"names/{part}"], packed[part] = np.array(keys), np.stack([arrays[key] for key in keys])
    return packed


def unpack(arrays: Arrays) -> Arrays:
    """Undo `pack`."""
    found = {key: x for key, x in arrays.items() if key not in PARTS and not key.startswith("names/")}
    for part in PARTS:
        found |= dict(zip(arrays[f"names/{part}"].tolist(), arrays[part], strict=True))
    return found


def summary_distance(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    """Return the larger difference of the two numbers, relative to the norm."""
    return float(np.abs(ours - theirs).max() / theirs[0])
