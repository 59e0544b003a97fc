"""TadTR's losses: matched queries learn class and segment in every decoder layer, all queries learn their actionness.

Liu et al., TIP 2022, section 3.4; weights and normalisation of the authors' THUMOS14 configuration.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tal_repro.models.inputs import check_targets
from tal_repro.models.interface import NotFinite, Target
from tal_repro.models.outputs import TadtrOutputs
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
    matches = [np.empty((3, 0), np.int64)]
    for sample, count in enumerate(counts):
        try:
            query, action = linear_sum_assignment(cost[sample, :, :count])
        except ValueError as error:
            raise NotFinite(f"cannot match sample {sample}: its outputs are not finite") from error
        matches.append(np.stack((np.full_like(query, sample), query, action)))
    return np.concatenate(matches, axis=1)


def tadtr_losses(outputs: TadtrOutputs, targets: list[Target], recipe: TadtrRecipe) -> dict[str, Tensor]:
    """Return `class`, `segment`, `iou`, `actionness`, and their weighted `total`; earlier layers end in `_0` ... .

    Sums over matched pairs are divided by the number of actions in the batch (at least 1).
    """
    truth = normalised_truth(outputs, targets, recipe.num_classes)
    matches = match(outputs.logits, outputs.segments, truth, recipe)
    actions = max(sum(truth.counts), 1)
    by_layer = {
        "class": class_loss(outputs.logits, matches, truth, recipe) / actions,
        "segment": segment_distance(outputs.segments, matches, truth) / actions,
        "iou": segment_iou_loss(outputs.segments, matches, truth) / actions,
    }
    weights = {"class": recipe.loss_class, "segment": recipe.loss_segment, "iou": recipe.loss_iou}
    total = sum((weights[name] * values.sum() for name, values in by_layer.items()), outputs.logits.new_zeros(()))
    last = outputs.logits.shape[0] - 1
    losses = {
        name if layer == last else f"{name}_{layer}": values[layer]
        for layer in range(last, -1, -1)
        for name, values in by_layer.items()
    }
    if outputs.actionness is not None:
        losses["actionness"] = actionness_loss(outputs.actionness, outputs.segments[-1], truth)
        total = total + recipe.loss_actionness * losses["actionness"]
    return losses | {"total": total}


def normalised_truth(outputs: TadtrOutputs, targets: list[Target], num_classes: int) -> Truth:
    """Turn segments in steps into fractions of `outputs.steps` (in float64, then the outputs' type) and pad them."""
    check_targets(targets, outputs.logits.shape[1], num_classes, "tadtr")
    device = outputs.segments.device
    padded = pad_sequence([t["segments"].double().view(-1, 2) for t in targets], batch_first=True)
    start, end = (padded.to(device, non_blocking=True) / outputs.steps[:, None, None]).unbind(-1)
    segments = torch.stack(((start + end) / 2, end - start), -1).to(outputs.segments.dtype)
    labels = pad_sequence([t["labels"].long() for t in targets], batch_first=True).to(device, non_blocking=True)
    return Truth(segments, labels, [len(t["labels"]) for t in targets])


def class_loss(logits: Tensor, matches: Matches, truth: Truth, recipe: TadtrRecipe) -> Tensor:
    """Return the focal loss of each layer [L], summed over samples, queries and classes."""
    target = torch.zeros_like(logits)
    layer = torch.arange(len(logits), device=logits.device)[:, None]
    place = (layer, matches.sample, matches.query, truth.labels[matches.sample, matches.action])
    target.index_put_(place, target.new_ones(()))  # assigning the number 1 would wait for the device
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    error = (probability - target).abs()
    balance = torch.where(target > 0, recipe.focal_alpha, 1 - recipe.focal_alpha)
    return (balance * entropy * error**recipe.focal_gamma).flatten(1).sum(1)


def segment_distance(segments: Tensor, matches: Matches, truth: Truth) -> Tensor:
    """Return the L1 distance of matched centres and widths, summed in each layer [L]."""
    predicted, actual = _matched(segments, matches, truth)
    return (predicted - actual).abs().sum((1, 2))


def segment_iou_loss(segments: Tensor, matches: Matches, truth: Truth) -> Tensor:
    """Return 1 - tIoU of matched segments, summed in each layer [L]."""
    predicted, actual = _matched(segments, matches, truth)
    return (1 - temporal_iou(ends(predicted), ends(actual))).sum(1)


def actionness_loss(actionness: Tensor, segments: Tensor, truth: Truth) -> Tensor:
    """Return the mean L1 distance of `actionness [B, Q, 1]` to the best tIoU with any action of the *whole batch*.

    Actions of other samples count too, as in upstream; without any action the aim is 0.
    """
    actions = torch.cat([segments_of[:n] for segments_of, n in zip(truth.segments, truth.counts, strict=True)])
    if len(actions) == 0:
        return actionness.abs().mean()
    iou = temporal_iou(ends(segments.detach().flatten(0, 1))[:, None], ends(actions))
    return F.l1_loss(actionness.flatten(), iou.amax(1))


def _matched(segments: Tensor, matches: Matches, truth: Truth) -> tuple[Tensor, Tensor]:
    """Return matched predictions and actions, [L, M, 2] each."""
    layer = torch.arange(len(segments), device=segments.device)[:, None]
    return segments[layer, matches.sample, matches.query], truth.segments[matches.sample, matches.action]
