"""Mean average precision over tIoU 0.3 to 0.7, interpolated as ActivityNet's evaluation does."""

import numpy as np

TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)


def average_map(rows, videos):
    truth = [(v["id"], a["label_id"], *a["segment"]) for v in videos for a in v["annotations"]]
    labels = sorted({label for _, label, _, _ in truth})
    return float(np.mean([[one_ap(rows, truth, label, tiou) for label in labels] for tiou in TIOUS]))


def one_ap(rows, truth, label, tiou):
    wanted = {}
    for video, kind, start, end in truth:
        if kind == label:
            wanted.setdefault(video, []).append([start, end, False])
    hits = []
    for video, start, end, _, _ in sorted((r for r in rows if r[3] == label), key=lambda r: -r[4]):
        free = [one for one in wanted.get(video, []) if not one[2] and overlap(start, end, one) >= tiou]
        best = max(free, key=lambda one: overlap(start, end, one), default=None)
        hits.append(best is not None)
        if best is not None:
            best[2] = True
    correct = np.cumsum(hits, dtype=float)
    recall = np.concatenate([[0], correct / sum(map(len, wanted.values())), [1]])
    precision = np.concatenate([[0], correct / np.arange(1, len(hits) + 1), [0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision[1:]))


def overlap(start, end, one):
    inside = max(0.0, min(end, one[1]) - max(start, one[0]))
    return inside / (end - start + one[1] - one[0] - inside)
