"""Match predicted to true actions one to one, at the least total cost (Hungarian), all decoder layers in one go.

The costs of every layer and sample are computed together on the device of the outputs and copied to the CPU once: the
only point of a training step at which the host waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from tal_repro.models.interface import NotFinite
from tal_repro.models.recipes import TadtrRecipe

LOG_FLOOR = 1e-8


class Truth(NamedTuple):
    """Ground truth of a batch, padded to the sample with most actions (N)."""

    segments: Tensor  # [B, N, 2]: normalised centre and width
    labels: Tensor  # [B, N]
    counts: list[int]


class Matches(NamedTuple):
    """Matched pairs; M per layer, the same number in each. All index tensors are [L, M]."""

    sample: Tensor
    query: Tensor
    action: Tensor


def ends(segments: Tensor) -> Tensor:
    """Return (start, end) of (centre, width), [..., 2]."""
    centre, width = segments.unbind(-1)
    return torch.stack((centre - 0.5 * width, centre + 0.5 * width), -1)


def temporal_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of broadcast segments (start, end) [..., 2]."""
    (start, end), (other_start, other_end) = first.unbind(-1), second.unbind(-1)
    overlap = (torch.minimum(end, other_end) - torch.maximum(start, other_start)).clamp(min=0)
    union = (end - start).clamp(min=0) + (other_end - other_start).clamp(min=0) - overlap
    return overlap / union


@torch.no_grad()
def matching_cost(logits: Tensor, segments: Tensor, truth: Truth, recipe: TadtrRecipe) -> Tensor:
    """Return the cost [L, B, Q, N] of matching each query to each action: focal class, L1 and negative IoU."""
    layers, _, queries, _ = logits.shape
    probability = logits.sigmoid()
    missed = recipe.focal_alpha * (1 - probability) ** recipe.focal_gamma * -(probability + LOG_FLOOR).log()
    spurious = (1 - recipe.focal_alpha) * probability**recipe.focal_gamma * -(1 - probability + LOG_FLOOR).log()
    label = truth.labels[None, :, None].expand(layers, -1, queries, -1)
    class_cost = missed.gather(3, label) - spurious.gather(3, label)
    predicted, actual = segments[..., None, :], truth.segments[:, None]
    distance = (predicted - actual).abs().sum(-1)
    iou = temporal_iou(ends(predicted), ends(actual))
    return recipe.cost_segment * distance + recipe.cost_class * class_cost + recipe.cost_iou * -iou


def match(logits: Tensor, segments: Tensor, truth: Truth, recipe: TadtrRecipe) -> Matches:
    """Assign min(Q, actions) queries of each sample to its actions, for `logits [L, B, Q, K]`, `segments [L, B, Q, 2]`.

    Pairs come in the order of samples, then queries. NotFinite where an output is NaN or infinite.
    """
    costs = matching_cost(logits, segments, truth, recipe).cpu().double().numpy()
    rows = [_match_layer(layer, truth.counts) for layer in costs]
    pairs = torch.from_numpy(np.stack(rows)).to(logits.device, non_blocking=True)
    return Matches(*pairs.unbind(1))


def _match_layer(cost: npt.NDArray[np.float64], counts: list[int]) -> npt.NDArray[np.int64]:
    """Return the samples, queries and actions [3, M] matched under `cost [B, Q, N]`."""
    found = [np.empty((3, 0), np.int64)]
    for sample, count in enumerate(counts):
        try:
            query, action = linear_sum_assignment(cost[sample, :, :count])
        except ValueError as error:
            raise NotFinite(f"cannot match sample {sample}: its outputs are not finite") from error
        found.append(np.stack((np.full_like(query, sample), query, action)))
    return np.concatenate(found, axis=1)
