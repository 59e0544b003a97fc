"""Invent the features of a synthetic video: rows a detector can learn from, better the more videos it has seen.

A few latent directions carry what happens (class, action-ness, start, end); others are nuisance that differs from
video to video (style, scene, slow drift) or only looks like action (distractors). A fixed random projection and a
rectifier turn the latents into non-negative channels. How fast mAP rises with data is nowhere written: it follows
from how many videos it takes to tell the class directions from each video's own nuisance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tal_repro.data.dataset import CLIP_FRAMES, FloatArray
from tal_repro.data.synthetic_config import PURPOSE, SyntheticConfig, SyntheticVideo

STRIDE_FRAMES = 4
ROWS_AT_ONCE = 1024  # bounds the memory of a long video
EDGE_S = 0.12  # a 16-frame clip blurs a boundary by about this much
STYLE_DIMS = 8
DRIFT_KNOT_S = 4.0


@dataclass(frozen=True, eq=False)
class World:
    """What all videos of a data set share: latent directions [.., L] and the projection to channels [L, C]."""

    classes: dict[str, FloatArray]
    starts: dict[str, FloatArray]
    ends: dict[str, FloatArray]
    scenes: dict[str, FloatArray]
    action: FloatArray
    style: FloatArray
    projection: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def make_world(config: SyntheticConfig, classes: tuple[str, ...]) -> World:
    """Draw the shared directions. Classes come in groups that look alike, the more so the harder the data."""
    rng = np.random.default_rng((config.seed, PURPOSE["world"]))
    latents = int(np.clip(config.feature_dim // 2, 2, 48))

    def directions(count: int) -> FloatArray:
        drawn = rng.standard_normal((count, latents))
        unit: FloatArray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return unit

    alike = 0.5 * config.difficulty
    groups = directions(max(len(classes) // 3, 1))
    own = directions(len(classes))
    codes = np.sqrt(1 - alike) * own + np.sqrt(alike) * groups[np.arange(len(classes)) % len(groups)]
    edges = directions(2)
    starts, ends = (0.8 * edge + 0.6 * directions(len(classes)) for edge in edges)
    action, scenes, style = directions(1)[0], directions(len(classes)), directions(STYLE_DIMS)
    projection = rng.standard_normal((latents, config.feature_dim)).astype(np.float32)
    bias = rng.normal(-0.5, 0.5, config.feature_dim).astype(np.float32)

    def named(rows: FloatArray) -> dict[str, FloatArray]:
        return dict(zip(classes, rows, strict=True))

    return World(named(codes), named(starts), named(ends), named(scenes), action, style, projection, bias)


def feature_steps(duration_s: float, fps: float) -> int:
    """Return T at stride 4: one step for each whole clip of 16 frames."""
    return max(int(duration_s * fps) - CLIP_FRAMES, 0) // STRIDE_FRAMES + 1


def feature_chunks(config: SyntheticConfig, world: World, video: SyntheticVideo) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a video's rows in order of time, at most 1024 at once, [t, C] float32, non-negative."""
    rng = np.random.default_rng((config.seed, PURPOSE["features"], video.index))
    steps = feature_steps(video.duration_s, video.fps)
    times: FloatArray = (np.arange(steps, dtype=np.float64) * STRIDE_FRAMES + CLIP_FRAMES / 2) / video.fps
    latents = _latents(config, world, video, times, rng).astype(np.float32)
    noise = np.float32(0.3 + 0.7 * config.difficulty)
    for first in range(0, steps, ROWS_AT_ONCE):
        part = latents[first : first + ROWS_AT_ONCE]
        rows = rng.standard_normal((len(part), config.feature_dim), dtype=np.float32)
        rows *= noise
        rows += part @ world.projection
        rows += world.bias
        np.maximum(rows, 0, out=rows)
        rows *= np.float32(0.4)
        yield rows


def _latents(
    config: SyntheticConfig, world: World, video: SyntheticVideo, times: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Sum up what a video shows at each time, [T, L]."""
    hard = config.difficulty
    size = len(world.action)
    style = rng.standard_normal(STYLE_DIMS) @ world.style * (0.3 + 0.6 * hard) / np.sqrt(STYLE_DIMS)
    latents: FloatArray = _drift(times, size, 0.2 + 0.6 * hard, rng) + style
    for name in dict.fromkeys(action.label for action in video.actions):
        latents += 0.3 * world.scenes[name]
    own_look: dict[str, FloatArray] = {}
    for action in video.actions:
        if action.label not in own_look:  # each video shows a class in its own way
            own_look[action.label] = _deviation(world, rng) * 1.2 * hard
        strength = float(np.exp(0.4 * hard * rng.standard_normal()))
        code = world.classes[action.label] + own_look[action.label] + _deviation(world, rng) * 0.5 * hard
        start, end = action.shown_start_s, action.shown_end_s
        _add(latents, times, start, end, strength * (1.5 * code + 0.8 * world.action))
        _add_edge(latents, times, start, strength * world.starts[action.label])
        _add_edge(latents, times, end, strength * world.ends[action.label])
    names = list(world.classes)
    for start, end in video.ambiguous_s:
        _add(latents, times, start, end, 0.7 * world.classes[names[int(rng.integers(len(names)))]])
    for start, end in _distractors(video, 6 * hard, rng):
        look = world.classes[names[int(rng.integers(len(names)))]]
        other = rng.standard_normal(size) / np.sqrt(size)
        _add(latents, times, start, end, 0.8 * world.action + 0.5 * look + 0.8 * other)
    return latents


def _deviation(world: World, rng: np.random.Generator) -> FloatArray:
    """Draw a look of unit length within the style directions."""
    drawn: FloatArray = rng.standard_normal(STYLE_DIMS) @ world.style
    look: FloatArray = drawn / float(np.linalg.norm(drawn))
    return look


def _drift(times: FloatArray, size: int, scale: float, rng: np.random.Generator) -> FloatArray:
    """Draw a slow random walk-about around zero: random knots every 4 s, joined by lines."""
    knots = rng.standard_normal((int(times[-1] / DRIFT_KNOT_S) + 2, size)) * scale / np.sqrt(size)
    position = times / DRIFT_KNOT_S
    left = position.astype(int)
    weight = (position - left)[:, None]
    drift: FloatArray = (1 - weight) * knots[left] + weight * knots[left + 1]
    return drift


def _add(latents: FloatArray, times: FloatArray, start: float, end: float, code: FloatArray) -> None:
    """Add a code between two moments, blurred at both."""
    low, high = np.searchsorted(times, (start - 8 * EDGE_S, end + 8 * EDGE_S))
    near = times[low:high]
    profile = 1 / (1 + np.exp((start - near) / EDGE_S)) / (1 + np.exp((near - end) / EDGE_S))
    latents[low:high] += profile[:, None] * code


def _add_edge(latents: FloatArray, times: FloatArray, moment: float, code: FloatArray) -> None:
    """Add a code around one moment."""
    low, high = np.searchsorted(times, (moment - 1.0, moment + 1.0))
    profile = np.exp(-0.5 * ((times[low:high] - moment) / (2 * EDGE_S)) ** 2)
    latents[low:high] += profile[:, None] * code


def _distractors(video: SyntheticVideo, per_minute: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Draw stretches of background that look like action without being one."""
    drawn = []
    taken = [(action.shown_start_s, action.shown_end_s) for action in video.actions]
    for _ in range(int(rng.poisson(per_minute * video.duration_s / 60))):
        length = min(float(rng.lognormal(0.7, 0.6)), 0.2 * video.duration_s)
        start = float(rng.uniform(0, video.duration_s - length))
        if all(start + length < low or start > high for low, high in taken):
            drawn.append((start, start + length))
    return drawn
