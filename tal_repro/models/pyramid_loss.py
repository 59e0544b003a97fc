"""Losses of the three pyramid detectors: focal on all points, distance-IoU on the points that must find an action."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tal_repro.models.losses import focal, offset_iou
from tal_repro.models.points import Points, lay_points
from tal_repro.models.targets import assign, distances
from tal_repro.models.trident import offsets_at

if TYPE_CHECKING:
    from tal_repro.models.interface import Target
    from tal_repro.models.pyramid import PyramidDetector, PyramidOutputs


class Positives(NamedTuple):
    """Points that must find an action, on the device: [n] indices (classes only for TriDet), [n, 2] true offsets."""

    sample: Tensor
    label: Tensor
    point: Tensor
    offsets: Tensor
    points: int  # how many points; TriDet counts a point once per class in the tensors


def loss(model: PyramidDetector, outputs: PyramidOutputs, targets: list[Target]) -> dict[str, Tensor]:
    """Return the losses of a batch; see `PyramidDetector.loss`."""
    recipe, device = model.recipe, outputs.logits[0].device
    points = lay_points([x.shape[-1] for x in outputs.logits], recipe.regression_ranges)
    valid = points.valid(outputs.lengths)
    classes, positives = _positives(model, outputs, points, valid, targets)
    normalizer = _normalizer(model, positives.points)
    predicted = _predicted(model, outputs, positives)
    iou, distance = offset_iou(predicted, positives.offsets)
    logits = torch.cat(outputs.logits, dim=-1)
    weight = valid[:, None].float().to(device, non_blocking=True)
    if model.trident:
        at = (positives.sample, positives.label, positives.point)
        weight = weight.expand_as(logits).index_put(at, iou**recipe.iou_weight_power)
    terms = focal(logits, classes.to(device, non_blocking=True), recipe.focal_alpha, recipe.focal_gamma)
    classification = (terms * weight).sum() / normalizer
    regression = distance.sum() / normalizer
    return {"classification": classification, "regression": regression, "total": classification + regression}


def _normalizer(model: PyramidDetector, positives: int) -> Tensor:
    """Return the running number of positive points (float32), after counting this batch if the model trains."""
    running = model.loss_normalizer
    if model.training:
        momentum = model.recipe.loss_normalizer_momentum
        running.mul_(momentum).add_((1 - momentum) * max(positives, 1))
    return running.float()


def _positives(
    model: PyramidDetector, outputs: PyramidOutputs, points: Points, valid: Tensor, targets: list[Target]
) -> tuple[Tensor, Positives]:
    """Return class targets [B, K, P] and the positives of a batch."""
    recipe, device = model.recipe, outputs.logits[0].device
    classes, offsets, choices = [], [], []
    for index, target in enumerate(targets):
        segments, labels = target["segments"].float().cpu(), target["labels"].long().cpu()
        assignment = assign(points, segments, labels, recipe.num_classes, recipe.center_radius)
        found = assignment.classes * valid[index, :, None]
        classes.append(found)
        if model.name == "temporalmaxer":
            at = found.amax(-1).nonzero()[:, 0]
            choices.append(_cheapest_offsets(model, outputs, points, index, at, segments, labels))
        offsets.append(assignment.offsets)
    table = torch.stack(classes)
    if model.trident:
        sample, point, label = table.nonzero(as_tuple=True)
    else:
        sample, point = table.amax(-1).nonzero(as_tuple=True)
        label = torch.zeros_like(sample)
    true = torch.cat(choices) if choices else torch.stack(offsets)[sample, point]
    count = int(table.amax(-1).sum())
    move = [t.to(device, non_blocking=True) for t in (sample, label, point, true)]
    return table.transpose(1, 2), Positives(move[0], move[1], move[2], move[3], count)


def _cheapest_offsets(
    model: PyramidDetector,
    outputs: PyramidOutputs,
    points: Points,
    sample: int,
    at: Tensor,
    segments: Tensor,
    labels: Tensor,
) -> Tensor:
    """Return the offsets [n, 2] of points `at` to the action that costs them least (TemporalMaxer, after SimOTA).

    Any action that holds the point competes, also one that may not claim it: focal cost plus weighted DIoU cost.
    """
    recipe, device = model.recipe, outputs.logits[0].device
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


def _predicted(model: PyramidDetector, outputs: PyramidOutputs, positives: Positives) -> Tensor:
    if model.trident:
        at = (positives.sample, positives.label, positives.point)
        return offsets_at(outputs.starts, outputs.ends, outputs.offsets, at)
    return torch.cat(outputs.offsets, dim=-1)[positives.sample, :, positives.point]
