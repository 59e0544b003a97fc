"""Which points must find which action: centre sampling within each level's regression range.

Runs on the host from targets on the CPU, so a training step on a GPU never waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tal_repro.models.points import Points

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
    found = (claims.float() @ F.one_hot(labels, classes).float()).clamp_(max=1)
    offsets = reach[torch.arange(count), nearest] / points.stride[:, None]
    return Assignment(found, nearest, offsets)
