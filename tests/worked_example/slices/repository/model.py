"""SliceNet: a class for every step; two weight sets, the trained one and its average."""

import numpy as np
import torch
from torch import nn


LEFT_OUT = "video_test_0001292"  # of the test set, as ActionFormer has it


class SliceNet(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.first = nn.Conv1d(dim, 64, 3, padding=1)
        self.second = nn.Conv1d(64, classes, 3, padding=1)

    def forward(self, features):
        return self.second(self.first(features.t()[None]).relu())[0].t()


def decode(scores, start, rate):
    """Return (start, end, class, score) rows of a window, in seconds."""
    found = []
    for label in range(scores.shape[1]):
        above = torch.nn.functional.pad((scores[:, label] > 0.1).int(), (1, 1)).diff()
        for a, b in zip(torch.where(above == 1)[0].tolist(), torch.where(above == -1)[0].tolist()):
            found.append(((start + a) / rate, (start + b + 1) / rate, label, scores[a:b, label].mean().item()))
    return found


def average_map(rows, windows):
    """Interpolated average precision, as ActivityNet's evaluation has it, over tIoU 0.3 to 0.7."""
    truth = {
        (name, *a["segment"], windows.classes.index(a["label"])) for name, _, _, acts in windows.windows for a in acts
    }
    precisions = []
    for tiou in (0.3, 0.4, 0.5, 0.6, 0.7):
        for label in sorted({one[3] for one in truth}):
            wanted = {one: False for one in sorted(truth) if one[3] == label}
            hits = []
            of_label = [r for r in rows if r[3] == label and r[0] != LEFT_OUT]
            order = np.argsort([r[4] for r in of_label])[::-1]  # as that one orders equal scores
            for name, start, end, _, _ in (of_label[place] for place in order):
                overlaps = {one: iou(start, end, one) for one, taken in wanted.items() if one[0] == name and not taken}
                best = max(overlaps, key=overlaps.get, default=None)
                hits.append(best is not None and overlaps[best] >= tiou)
                if hits[-1]:
                    wanted[best] = True
            correct = np.cumsum(hits, dtype=float)
            recall = np.concatenate([[0], correct / len(wanted), [1]])
            precision = np.concatenate([[0], correct / np.arange(1, len(hits) + 1), [0]])
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            precisions.append(np.sum(np.diff(recall) * precision[1:]))
    return float(np.mean(precisions))


def iou(start, end, one):
    shared = max(0.0, min(end, one[2]) - max(start, one[1]))
    return shared / (end - start + one[2] - one[1] - shared)
