"""How many actions of which class each synthetic video holds: THUMOS14's shares, as far as they fit."""

from __future__ import annotations

import numpy as np

from tal_repro.data.dataset import FloatArray, IntArray, SubsetName
from tal_repro.data.synthetic_config import PARTNERS, TWINS, ClassFacts

# Instances grow a little slower than a video's length, with this much log-normal scatter beside it.
INSTANCE_EXPONENT, INSTANCE_SCATTER = 0.8, 0.95
FILLED = 0.8  # share of a video that actions may take
VIDEOS: dict[SubsetName, int] = {"train": 200, "test": 212}
MEAN_SECONDS: dict[SubsetName, float] = {"train": 209.0, "test": 217.0}


def assign_classes(
    facts: dict[str, ClassFacts], subset: SubsetName, count: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Give each video its class, or its two; every class occurs, in THUMOS14's proportions."""
    groups: dict[tuple[str, ...], int] = {}
    videos = {name: fact.videos[subset] for name, fact in facts.items()}
    for first, second in (TWINS, PARTNERS):
        if first in videos and second in videos:
            both = min(videos[first], videos[second])
            groups[first, second] = both
            videos[first] -= both
            videos[second] -= both
    covering = len(groups)
    optional = {name for pair in groups for name in pair}
    groups |= {(name,): number for name, number in videos.items() if number > 0}
    names = list(groups)
    weights = np.array([groups[name] for name in names], dtype=float)
    needed = np.array([i < covering or names[i][0] not in optional for i in range(len(names))])
    slots = share_out(max(round(count * weights.sum() / VIDEOS[subset]), count), weights, needed.astype(np.int64))
    order = rng.permutation(np.repeat(np.arange(len(names)), slots))
    scenes: list[tuple[str, ...]] = [names[group] for group in order[:count]]
    for group in order[count:]:  # more classes than videos: some hold several
        fewest = min(range(count), key=lambda i: (bool(set(scenes[i]) & set(names[group])), len(scenes[i]), i))
        scenes[fewest] = tuple(dict.fromkeys((*scenes[fewest], *names[group])))
    return scenes


def share_out(total: int, weights: FloatArray, least: IntArray) -> IntArray:
    """Share a whole number out by weight (largest remainder); each part gets at least its `least`."""
    shares = weights / weights.sum() * total
    parts: IntArray = np.maximum(np.floor(shares).astype(np.int64), least)
    remainder = shares - parts
    while parts.sum() < total:
        best = int(np.argmax(remainder))
        parts[best] += 1
        remainder[best] -= 1
    while parts.sum() > total and (parts > least).any():
        worst = int(np.argmin(np.where(parts > least, remainder, np.inf)))
        parts[worst] -= 1
        remainder[worst] += 1
    return parts


def count_instances(
    facts: dict[str, ClassFacts],
    scenes: list[tuple[str, ...]],
    subset: SubsetName,
    seconds: FloatArray,
    rng: np.random.Generator,
) -> dict[str, IntArray]:
    """Share each class's instances out to its videos, more to longer ones, as many as fit.

    Where twins share a video, its dives are all cliff dives; Diving keeps what is left of its instances.
    """
    scatter = np.exp(INSTANCE_SCATTER * rng.standard_normal(len(scenes)))
    weights = seconds**INSTANCE_EXPONENT * scatter
    scale = float(seconds.mean()) / MEAN_SECONDS[subset]
    scale = 1.0 if 0.9 < scale < 1.1 else scale
    counts = {}
    for name, fact in facts.items():
        twins = name == TWINS[0] and TWINS[1] in facts
        here = np.array([name in scene and not (twins and TWINS[1] in scene) for scene in scenes])
        counts[name] = np.zeros(len(scenes), dtype=np.int64)
        if not here.any():
            continue
        instances = fact.instances[subset] - (facts[TWINS[1]].instances[subset] if twins else 0)
        videos = fact.videos[subset] - (facts[TWINS[1]].videos[subset] if twins else 0)
        total = max(round(instances / videos * here.sum() * scale), int(here.sum()))
        room = np.array([len(scene) - (set(TWINS) <= set(scene)) for scene in scenes])
        most = np.maximum((FILLED * seconds / room.clip(1) / fact.mean_s[subset]).astype(np.int64), 1)[here]
        counts[name][here] = _share_out_capped(total, weights[here], most)
    return counts


def _share_out_capped(total: int, weights: FloatArray, most: IntArray) -> IntArray:
    """Share out with at least 1 and at most `most` each; what fits nowhere is left out."""
    total = min(total, int(most.sum()))
    parts = np.ones(len(weights), dtype=np.int64)
    open_parts = parts < most
    while parts.sum() < total and open_parts.any():
        more = share_out(total - int(parts.sum()), weights[open_parts], np.zeros(int(open_parts.sum()), dtype=np.int64))
        parts[open_parts] = np.minimum(parts[open_parts] + more, most[open_parts])
        open_parts = parts < most
    return parts
