"""Focal and distance-IoU losses of the pyramid detectors, element-wise, always in float32 as upstream computes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
