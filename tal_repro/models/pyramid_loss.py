"""Losses of the three pyramid detectors: focal on all points, distance-IoU on the points that must find an action."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tal_repro.models.heads import offsets_at
from tal_repro.models.interface import Target
from tal_repro.models.levels import Points, lay_points
from tal_repro.models.outputs import PyramidOutputs
from tal_repro.models.recipes import PyramidRecipe

SAME_LENGTH = 1e-3  # actions this close in length share a point (feature steps)


class Assignment(NamedTuple):
    """One video's targets: classes [P, K] 0/1, the shortest candidate [P], distances to its ends in strides [P, 2]."""

    classes: Tensor
    nearest: Tensor
    offsets: Tensor


def distances(points: Points, segments: Tensor) -> Tensor:
    """Return each point's distance to the start and end of each action, [P, N, 2] in feature steps."""
    time = points.time[:, None]
    return torch.stack([time - segments[:, 0], segments[:, 1] - time], dim=-1)


def candidate_lengths(points: Points, segments: Tensor, reach: Tensor, radius: float) -> Tensor:
    """Return the length of each action where the point may predict it, infinity elsewhere, [P, N].

    A point may if it lies in the action, within `radius` strides of its centre, and if the farther end is in the
    regression range of its level. `reach` is `distances(points, segments)`.
    """
    time, span = points.time[:, None], points.stride[:, None] * radius
    start, end = segments[:, 0], segments[:, 1]
    centre = 0.5 * (start + end)
    left = time - torch.maximum(centre - span, start)
    right = torch.minimum(centre + span, end) - time
    farther = reach.amax(-1)
    in_range = (farther >= points.shortest[:, None]) & (farther <= points.longest[:, None])
    allowed = (torch.minimum(left, right) > 0) & in_range
    return (end - start).expand(len(time), -1).masked_fill(~allowed, float("inf"))


def assign(points: Points, segments: Tensor, labels: Tensor, classes: int, radius: float) -> Assignment:
    """Assign each point the shortest action that may claim it; ties within 1e-3 steps add their classes."""
    count = len(points.time)
    if len(segments) == 0:
        return Assignment(torch.zeros(count, classes), torch.zeros(count, dtype=torch.long), torch.zeros(count, 2))
    reach = distances(points, segments)
    lengths = candidate_lengths(points, segments, reach, radius)
    shortest, nearest = lengths.min(dim=1)
    claims = (lengths <= shortest[:, None] + SAME_LENGTH) & lengths.isfinite()
    classes_of_point = (claims.float() @ F.one_hot(labels, classes).float()).clamp_(max=1)
    offsets = reach[torch.arange(count), nearest] / points.stride[:, None]
    return Assignment(classes_of_point, nearest, offsets)


TINY = 1e-8


def focal(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the sigmoid focal loss (Lin et al., 2017) of each element; shapes as `logits`."""
    logits, targets = logits.float(), targets.float()
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = probability * targets + (1 - probability) * (1 - targets)
    return (alpha * targets + (1 - alpha) * (1 - targets)) * (entropy * (1 - right) ** gamma)


def offset_iou(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return temporal IoU [...] and distance-IoU loss [...] of offsets [..., 2] (left, right) from one point."""
    (left, right), (true_left, true_right) = predicted.float().unbind(-1), truth.float().unbind(-1)
    inside = torch.minimum(right, true_right) + torch.minimum(left, true_left)
    union = (left + right) + (true_left + true_right) - inside
    iou = inside / union.clamp(min=TINY)
    hull = torch.maximum(left, true_left) + torch.maximum(right, true_right)
    centre = 0.5 * (right - left - true_right + true_left)
    return iou, 1 - iou + (centre / hull.clamp(min=TINY)).square()


class Positives(NamedTuple):
    """Points that must find an action, on the device: [n] indices (classes only for TriDet), [n, 2] true offsets."""

    sample: Tensor
    label: Tensor
    point: Tensor
    offsets: Tensor
    points: int  # how many points; TriDet counts a point once per class in the tensors


def loss(
    outputs: PyramidOutputs,
    targets: list[Target],
    recipe: PyramidRecipe,
    normalizer: Tensor,
    *,
    counted: bool,
    cheapest: bool,
) -> dict[str, Tensor]:
    """Return `classification`, `regression` and `total` of a batch, divided by the running number of positive points.

    `normalizer` [] (float64) is that number; this batch enters it in place where it is `counted` (in training).
    `cheapest`: a point regresses to the action that costs it least (TemporalMaxer), not to the shortest.
    """
    device = outputs.logits[0].device
    points = lay_points([x.shape[-1] for x in outputs.logits], recipe.regression_ranges)
    valid = points.valid(outputs.lengths)
    classes, positives = _positives(outputs, points, valid, targets, recipe, cheapest)
    if counted:
        momentum = recipe.loss_normalizer_momentum
        normalizer.mul_(momentum).add_((1 - momentum) * max(positives.points, 1))
    predicted = _predicted(outputs, positives)
    iou, distance = offset_iou(predicted, positives.offsets)
    logits = torch.cat(outputs.logits, dim=-1)
    weight = valid[:, None].float().to(device, non_blocking=True)
    if outputs.trident:
        at = (positives.sample, positives.label, positives.point)
        weight = weight.expand_as(logits).index_put(at, iou**recipe.iou_weight_power)
    terms = focal(logits, classes.to(device, non_blocking=True), recipe.focal_alpha, recipe.focal_gamma)
    classification = (terms * weight).sum() / normalizer.float()
    regression = distance.sum() / normalizer.float()
    return {"classification": classification, "regression": regression, "total": classification + regression}


def _positives(
    outputs: PyramidOutputs,
    points: Points,
    valid: Tensor,
    targets: list[Target],
    recipe: PyramidRecipe,
    cheapest: bool,
) -> tuple[Tensor, Positives]:
    """Return class targets [B, K, P] and the positives of a batch."""
    device = outputs.logits[0].device
    classes, offsets, choices = [], [], []
    for index, target in enumerate(targets):
        segments, labels = target["segments"].float().cpu(), target["labels"].long().cpu()
        assignment = assign(points, segments, labels, recipe.num_classes, recipe.center_radius)
        class_targets = assignment.classes * valid[index, :, None]
        classes.append(class_targets)
        if cheapest:
            at = class_targets.amax(-1).nonzero()[:, 0]
            choices.append(_cheapest_offsets(outputs, points, index, at, segments, labels, recipe))
        offsets.append(assignment.offsets)
    table = torch.stack(classes)
    if outputs.trident:
        sample, point, label = table.nonzero(as_tuple=True)
    else:
        sample, point = table.amax(-1).nonzero(as_tuple=True)
        label = torch.zeros_like(sample)
    true = torch.cat(choices) if choices else torch.stack(offsets)[sample, point]
    count = int(table.amax(-1).sum())
    move = [t.to(device, non_blocking=True) for t in (sample, label, point, true)]
    return table.transpose(1, 2), Positives(move[0], move[1], move[2], move[3], count)


def _cheapest_offsets(
    outputs: PyramidOutputs,
    points: Points,
    sample: int,
    at: Tensor,
    segments: Tensor,
    labels: Tensor,
    recipe: PyramidRecipe,
) -> Tensor:
    """Return the offsets [n, 2] of points `at` to the action that costs them least (TemporalMaxer, after SimOTA).

    Any action that holds the point competes, also one that may not claim it: focal cost plus weighted DIoU cost.
    """
    device = outputs.logits[0].device
    if len(at) == 0:
        return torch.zeros(0, 2, device=device)
    reach = distances(points, segments)[at].to(device, non_blocking=True)
    offsets = reach / points.stride[at, None, None].to(device, non_blocking=True)
    place = at.to(device, non_blocking=True)
    with torch.no_grad():
        predicted = torch.cat(outputs.offsets, -1)[sample, :, place].T[:, None].float()
        scores = torch.cat(outputs.logits, -1)[sample, :, place].T[:, None].float()
        one_hot = F.one_hot(labels, recipe.num_classes).float().to(device, non_blocking=True)
        shape = (len(at), len(labels), recipe.num_classes)
        cost = focal(scores.expand(shape), one_hot.expand(shape), 0.25, 2.0).sum(-1) * recipe.cost_class
        distance = offset_iou(predicted.expand_as(offsets), offsets)[1]
        outside = (offsets < 0).any(-1)
        cheapest = (cost + recipe.cost_iou * distance).masked_fill(outside, float("inf")).argmin(1)
    return offsets[torch.arange(len(at), device=device), cheapest]


def _predicted(outputs: PyramidOutputs, positives: Positives) -> Tensor:
    if outputs.trident:
        at = (positives.sample, positives.label, positives.point)
        return offsets_at(outputs.starts, outputs.ends, outputs.offsets, at)
    return torch.cat(outputs.offsets, dim=-1)[positives.sample, :, positives.point]
