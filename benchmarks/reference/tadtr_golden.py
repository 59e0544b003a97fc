"""Golden numbers of a small TadTR: made from upstream once, compared with the native model in every test run.

Weights, features, targets and the raw outputs that are decoded come from names and seeds; the file holds results only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.reference import cases
from benchmarks.reference.golden import SEED, Arrays
from benchmarks.reference.weights import draw
from tal_repro.models import recipes
from tal_repro.models.interface import Target
from tal_repro.models.outputs import TadtrOutputs
from tal_repro.models.recipes import TadtrRecipe

BATCHES = ([128, 128], [40, 33], [200], [1, 7, 2])
KINDS = ("one", "many", "overlapping", "beyond")  # upstream fails on a batch without any action
STEPS = 20


def recipe(actionness: bool) -> TadtrRecipe:
    """Return the small configuration; upstream fixes 2048 channels, 20 classes, 16 bins and 32 norm groups."""
    small = dataclasses.replace(recipes.TADTR, hidden_dim=64, attention_heads=4, ffn_dim=48, queries=9)
    return dataclasses.replace(small, encoder_layers=2, decoder_layers=3, actionness=actionness)


def output_arrays(run: Callable[[list[Tensor]], dict[str, Tensor]]) -> Arrays:
    """Return raw outputs of every batch; `run(videos)` gives them by field."""
    found: Arrays = {}
    for lengths in BATCHES:
        outputs = run(cases.videos("golden", SEED, 2048, lengths))
        found |= {f"outputs/{'-'.join(map(str, lengths))}/{field}": x.detach().numpy() for field, x in outputs.items()}
    return found


def batch(kind: str, pick: int = 0) -> tuple[list[Tensor], list[Target]]:
    """Return a training batch with targets of a kind; of two samples the second has no action if `one` is asked for."""
    lengths = BATCHES[pick % 2]
    targets = cases.targets(kind, lengths, 20, SEED + pick)
    if kind == "one":
        targets[1] = {"segments": torch.empty(0, 2), "labels": torch.empty(0, dtype=torch.long)}
    return cases.videos("golden", SEED + pick, 2048, lengths), targets


def raw_outputs(actionness: bool) -> TadtrOutputs:
    """Return raw outputs of 3 layers, 2 samples and 40 queries to be decoded."""
    logits = 2 * draw("logits", SEED, 3, 2, 40, 20) - 3
    segments = draw("segments", SEED, 3, 2, 40, 2).sigmoid()
    score = draw("actionness", SEED, 2, 40, 1).sigmoid() if actionness else None
    return TadtrOutputs(logits, segments, score, torch.tensor([128, 77]))
