"""Invent the annotations of a THUMOS14-like data set: the real one's statistics, none of its content.

Sources: thumos14_classes.csv (per class) and the published statistics of lengths and instances, as constants here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from tal_repro.data.dataset import FloatArray, SubsetName
from tal_repro.data.synthetic_config import (
    PURPOSE,
    TWINS,
    Action,
    ClassFacts,
    SyntheticConfig,
    SyntheticVideo,
    read_class_facts,
)
from tal_repro.data.synthetic_counts import FILLED, MEAN_SECONDS, VIDEOS, assign_classes, count_instances
from tal_repro.data.synthetic_quirks import add_quirks

LOG_SECONDS: dict[SubsetName, tuple[float, float]] = {"train": (4.94, 0.92), "test": (5.02, 0.84)}
AMBIGUOUS_SEGMENTS: dict[SubsetName, int] = {"train": 89, "test": 99}
FPS_VIDEOS = {30.0: 381, 29.97: 18, 25.0: 11, 24.0: 2}
ACTION_SECONDS = (0.2, 118.0)
BUSY_SCATTER = 0.7  # of the rank of a video's length among those of its subset, beside log action seconds


def invent_videos(config: SyntheticConfig) -> list[SyntheticVideo]:
    """Invent every video of a data set, training first; the same config gives the same videos on any machine."""
    config.check()
    facts = read_class_facts(config.classes)
    videos: list[SyntheticVideo] = []
    sizes: tuple[tuple[SubsetName, int], ...] = (("train", config.train_videos), ("test", config.test_videos))
    for number, (subset, count) in enumerate(sizes):
        rng = np.random.default_rng((config.seed, PURPOSE["annotations"], number))
        invented = _invent_subset(config, facts, subset, count, len(videos), rng)
        videos += add_quirks(invented, subset, rng)
    return videos


def _invent_subset(
    config: SyntheticConfig,
    facts: Sequence[ClassFacts],
    subset: SubsetName,
    count: int,
    first_index: int,
    rng: np.random.Generator,
) -> list[SyntheticVideo]:
    by_name = {fact.name: fact for fact in facts}
    scenes = assign_classes(by_name, subset, count, rng)
    seconds = _draw_seconds(config.seconds, subset, count, rng)
    seconds = _longer_for_busier(seconds, [_action_seconds(scene, by_name, subset) for scene in scenes], rng)
    fps = _draw_fps(count, rng)
    counts = count_instances(by_name, scenes, subset, seconds, rng)
    durations = {name: _draw_actions(fact, subset, int(counts[name].sum()), rng) for name, fact in by_name.items()}
    prefix = {"train": "video_validation", "test": "video_test"}[subset]
    videos = []
    for index in range(count):
        to_place: list[tuple[str, float]] = []
        for name in scenes[index]:
            number = int(counts[name][index])
            to_place += [(name, value) for value in durations[name][:number]]
            durations[name] = durations[name][number:]
        actions = _place(to_place, float(seconds[index]), config.difficulty, rng)
        if TWINS[1] in scenes[index]:
            actions += [replace(action, label=TWINS[0]) for action in actions if action.label == TWINS[1]]
        actions.sort(key=lambda action: (action.start_s, action.end_s, action.label))
        videos.append(
            SyntheticVideo(
                f"{prefix}_{index + 1:07d}",
                first_index + index,
                subset,
                float(seconds[index]),
                float(fps[index]),
                tuple(actions),
            )
        )
    share = count / VIDEOS[subset] * float(seconds.mean()) / MEAN_SECONDS[subset]
    return _add_ambiguous(videos, round(AMBIGUOUS_SEGMENTS[subset] * min(share, count)), rng)


def _quantiles(count: int, rng: np.random.Generator) -> FloatArray:
    """Return one uniform value in each of `count` equal parts of (0, 1), shuffled: small sets keep the shape."""
    return rng.permutation((np.arange(count) + rng.random(count)) / max(count, 1))


def _log_normal(quantiles: FloatArray, location: float, scale: float) -> FloatArray:
    normal = NormalDist(location, scale)
    return np.exp([normal.inv_cdf(min(max(float(quantile), 1e-12), 1 - 1e-12)) for quantile in quantiles])


def _draw_seconds(limits: tuple[float, float], subset: SubsetName, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw video lengths: THUMOS14's log-normal, cut to the wanted range."""
    location, scale = LOG_SECONDS[subset]
    normal = NormalDist(location, scale)
    low, high = (normal.cdf(float(np.log(limit))) for limit in limits)
    quantiles = low + (high - low) * _quantiles(count, rng)
    if high - low < 1e-6:  # a range the distribution hardly reaches: spread evenly
        return np.round(limits[0] + (limits[1] - limits[0]) * _quantiles(count, rng), 2)
    return np.round(_log_normal(quantiles.clip(1e-9, 1 - 1e-9), location, scale).clip(*limits), 2)


def _action_seconds(scene: tuple[str, ...], facts: dict[str, ClassFacts], subset: SubsetName) -> float:
    """Return the action seconds that a video of these classes holds on average."""
    return sum(
        facts[name].instances[subset] / facts[name].videos[subset] * facts[name].mean_s[subset] for name in scene
    )


def _longer_for_busier(seconds: FloatArray, actions_s: list[float], rng: np.random.Generator) -> FloatArray:
    """Give longer videos to classes with more action, so that their instances fit (with much chance left in it)."""
    score = np.log(actions_s) + BUSY_SCATTER * rng.standard_normal(len(actions_s))
    ranks = np.argsort(np.argsort(score))
    return np.sort(seconds)[ranks]


def _draw_fps(count: int, rng: np.random.Generator) -> FloatArray:
    total = sum(FPS_VIDEOS.values())
    edges = np.cumsum([videos / total for videos in FPS_VIDEOS.values()])
    rates = np.array(list(FPS_VIDEOS))
    drawn: FloatArray = rates[np.searchsorted(edges, _quantiles(count, rng)).clip(max=len(rates) - 1)]
    return drawn


def _draw_actions(fact: ClassFacts, subset: SubsetName, count: int, rng: np.random.Generator) -> list[float]:
    """Draw action lengths in seconds: log-normal with the class's median and mean."""
    ratio = max(fact.mean_s[subset] / fact.median_s[subset], 1.05)
    drawn = _log_normal(_quantiles(count, rng), float(np.log(fact.median_s[subset])), float(np.sqrt(2 * np.log(ratio))))
    return [float(value) for value in drawn.clip(*ACTION_SECONDS)]


def _place(
    to_place: list[tuple[str, float]], seconds: float, difficulty: float, rng: np.random.Generator
) -> list[Action]:
    """Place actions one after the other with random gaps; a few reach into the one before them.

    Annotators are not exact: what is annotated differs from what is shown by up to a fifth of the action.
    """
    if not to_place:
        return []
    order = rng.permutation(len(to_place))
    lengths = np.array([to_place[i][1] for i in order])
    lengths *= min(1.0, FILLED * seconds / lengths.sum())
    gaps = rng.dirichlet(np.ones(len(to_place) + 1)) * (seconds - lengths.sum())
    starts = np.cumsum(gaps[:-1] + np.concatenate([[0.0], lengths[:-1]]))
    overlapping = np.flatnonzero(rng.random(len(to_place)) < 0.03)
    for i in overlapping[overlapping > 0]:
        starts[i] = max(starts[i - 1] + 0.7 * lengths[i - 1], 0.0)
    jitter = (0.05 + 0.2 * difficulty) * rng.standard_normal((len(to_place), 2))
    jitter = np.clip(jitter, -0.2 * lengths[:, None], 0.2 * lengths[:, None])
    actions = []
    for position, i in enumerate(order):
        start, end = float(starts[position]), float(starts[position] + lengths[position])
        told_start = round(min(max(start + float(jitter[position, 0]), 0.0), seconds - 0.2), 1)
        told_end = round(max(min(end + float(jitter[position, 1]), seconds), told_start + 0.2), 1)
        actions.append(Action(to_place[i][0], told_start, min(told_end, seconds), start, end))
    return actions


def _add_ambiguous(videos: list[SyntheticVideo], count: int, rng: np.random.Generator) -> list[SyntheticVideo]:
    """Mark some background as Ambiguous: stretches between two actions, or after the last."""
    added: dict[int, list[tuple[float, float]]] = {}
    for _ in range(20 * count):
        index = int(rng.integers(len(videos)))
        video = videos[index]
        length = max(min(float(rng.lognormal(1.05, 0.6)), 0.1 * video.duration_s), 0.2)
        start = float(rng.uniform(0, video.duration_s - length))
        taken = [(action.start_s, action.end_s) for action in video.actions] + added.get(index, [])
        if all(start + length < low or start > high for low, high in taken):
            added.setdefault(index, []).append((round(start, 1), round(start + length, 1)))
        if sum(map(len, added.values())) == count:
            break
    return [
        replace(video, ambiguous_s=tuple(sorted(added[index]))) if index in added else video
        for index, video in enumerate(videos)
    ]
