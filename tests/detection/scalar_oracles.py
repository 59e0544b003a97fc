"""Slow, literal, one-number-at-a-time versions of what the package vectorises: the oracles of these tests."""

from __future__ import annotations

import ctypes
import ctypes.util

import numpy as np

F = np.float32
_libm = ctypes.CDLL(ctypes.util.find_library("m"))
_libm.expf.restype, _libm.expf.argtypes = ctypes.c_float, [ctypes.c_float]


def exp_of_the_c_library(x) -> np.float32:
    return F(_libm.expf(float(x)))


def overlap(a, b) -> np.float32:
    """tIoU of two (start, end) pairs of float32, lengths being offset by 1e-6; a NaN or infinity where it is one."""
    low = a[0] if a[0] > b[0] else b[0]
    high = a[1] if a[1] < b[1] else b[1]
    shared = high - low if high - low > 0 else F(0)
    with np.errstate(all="ignore"):
        return shared / ((a[1] - a[0] + F(1e-6)) + (b[1] - b[0] + F(1e-6)) - shared)


def scalar_hard_nms(segments, scores, threshold):
    left = sorted(range(len(scores)), key=lambda i: -scores[i])  # stable
    kept = []
    while left:
        kept.append(left.pop(0))
        left = [j for j in left if not overlap(segments[kept[-1]], segments[j]) >= F(threshold)]
    return kept


def scalar_soft_nms(segments, scores, threshold, sigma, min_score, method):
    """Selections (index, score). Candidates sit in an array; the winner swaps to the front, losers make way for the
    last one."""
    pool = [[i, scores[i]] for i in range(len(scores))]
    front = 0
    while front < len(pool):
        top = front
        for place in range(front + 1, len(pool)):
            if pool[top][1] < pool[place][1]:
                top = place
        pool[front], pool[top] = pool[top], pool[front]
        winner = segments[pool[front][0]]
        place = front + 1
        while place < len(pool):
            index, score = pool[place]
            with np.errstate(all="ignore"):
                score = score * factor(overlap(winner, segments[index]), threshold, sigma, method)
            if score < F(min_score):
                last = pool.pop()
                if place < len(pool):
                    pool[place] = last
                continue
            pool[place][1] = score
            place += 1
        front += 1
    return pool


def factor(iou, threshold, sigma, method) -> np.float32:
    if method == 2:
        return exp_of_the_c_library(-(iou * iou) / F(sigma))
    if iou >= F(threshold):
        return F(0) if method == 0 else F(1) - iou
    return F(1)


def segment_tiou(a, b) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (b[1] - b[0]) + (a[1] - a[0]) - shared
    return shared / union if union > 0 else 0.0


def scalar_ap(detections, instances, threshold) -> float:
    """detections: (video, start, end, score) and instances: (video, start, end), of one class."""
    free = set(range(len(instances)))
    precision, recall = [], []
    hits = 0
    for rank, (video, start, end, _) in enumerate(sorted(detections, key=lambda d: -d[3]), start=1):
        near = [(-segment_tiou((start, end), instances[i][1:]), i) for i in sorted(free) if instances[i][0] == video]
        if near and -min(near)[0] >= threshold:
            free.discard(min(near)[1])
            hits += 1
        precision.append(hits / rank)
        recall.append(hits / len(instances))
    area, before = 0.0, 0.0
    for k, reached in enumerate(recall):
        area += (reached - before) * max(precision[k:])
        before = reached
    return area
