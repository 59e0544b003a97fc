"""StepNet: two convolutions that classify every feature step; actions are runs of steps of one class."""

import nms_1d_cpu
import torch
from torch import nn


class StepNet(nn.Module):
    def __init__(self, dim, hidden, classes):
        super().__init__()
        self.first = nn.Conv1d(dim, hidden, 3, padding=1)
        self.second = nn.Conv1d(hidden, classes, 3, padding=1)

    def forward(self, features):
        return self.second(self.first(features.transpose(0, 1)[None]).relu())[0].transpose(0, 1)


def detect(scores, fps, threshold=0.1):
    """Return (start, end, class, score) rows of one video."""
    found = []
    for label in range(scores.shape[1]):
        above = (scores[:, label] > threshold).int()
        edges = torch.diff(above, prepend=above.new_zeros(1), append=above.new_zeros(1))
        starts, ends = torch.where(edges == 1)[0], torch.where(edges == -1)[0]
        if len(starts) == 0:
            continue
        segments = torch.stack([(starts * 4 + 6) / fps, ((ends - 1) * 4 + 10) / fps], 1).float()
        means = torch.stack([scores[a:b, label].mean() for a, b in zip(starts, ends)]).float()
        for kept in nms_1d_cpu.nms(segments, means, 0.5).tolist():
            found.append((*segments[kept].tolist(), label, means[kept].item()))
    return found
