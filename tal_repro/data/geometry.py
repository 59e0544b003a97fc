"""Do annotations and features belong together? The one check that `data verify` and both engines make before training.

A wrong stride, fps, unit of time or axis trains without an error and scores a tenth; what is told here is an error.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from tal_repro.annotations import Problem
from tal_repro.annotations.entries import BEYOND_S
from tal_repro.data.annotations import estimate_feature_length
from tal_repro.data.dataset import DataSet, Video
from tal_repro.data.layouts import SLICE_MARK, Layout
from tal_repro.data.store import FeatureStore
from tal_repro.errors import InputError

# A length may differ from what duration, fps and stride make of it by this much; THUMOS14's differ by one step.
SLACK_STEPS, SLACK_SHARE = 8, 0.02
SET_SHARE = 0.05  # for most files at once: strides of 15 and 16 frames are 6 % apart
FACTOR_OFF = 1.33  # of one file: no rounding of durations explains more
MOST = 0.5
FITS = 0.95  # of all actions, for a unit of time to be named
TWIN_ACTIONS = 3  # that equal annotations need to tell one video under two ids
TRAINED_AND_TESTED = "it is trained and tested on"
_LISTED = 10
_CORRECT_DEFINITION = "correct [features] or [time] of the definition, or the durations"
_CORRECT = "correct fps and durations, or extract features at that stride"


def check_geometry(
    dataset: DataSet,
    lengths: FeatureStore | Mapping[str, int],
    *,
    widths: Mapping[str, int] | None = None,
    digests: Mapping[str, str] | None = None,
    zeros: Collection[str] = (),
    units: Iterable[str] = (),
    layout: Layout | None = None,
) -> list[Problem]:
    """Return what does not fit between a data set's annotations and its features, each with its remedy.

    `lengths`: steps of each feature file. Where a pass over the files was made: `widths` (channels), `digests` (of
    contents) and `zeros` (files that hold nothing else). `units`: the training units of a run. `layout` names files.
    """
    if isinstance(lengths, FeatureStore):
        known = set(lengths.video_ids)
        lengths = {video_id: lengths.length(video_id) for video_id in dataset.videos if video_id in known}
    steps = {video_id: lengths[video_id] for video_id in dataset.videos if video_id in lengths}
    problems = [
        *_lengths(dataset, steps, widths or {}),
        *_units_of_time(dataset),
        *(_error(video_id, "all values are zero", "restore the file, or extract it again") for video_id in zeros),
        *_twins(dataset, steps, digests or {}),
        *_test_units(dataset, units),
    ]
    return [_placed(problem, dataset, layout) for problem in problems]


def require_geometry(dataset: DataSet, store: FeatureStore, units: Iterable[str] = ()) -> None:
    """Raise InputError listing the geometry's errors before a training on these units (none named: all).

    Only the files of those units and of the test videos are opened; of the others the stated lengths are compared.
    """
    units = tuple(units)
    chosen = {_video_of(unit) for unit in units} or {video.id for video in dataset.train}
    used = sorted((chosen | {video.id for video in dataset.test}) & set(store.video_ids) & set(dataset.videos))
    lengths = {video.id: video.feature_length for video in dataset.videos.values() if video.has_features}
    lengths |= {video_id: store.length(video_id) for video_id in used}
    zeros = [video_id for video_id in used if _all_zero(store, video_id)]
    digests = _contents_of_suspects(store, (video_id for video_id in used if video_id not in zeros))
    problems = check_geometry(dataset, lengths, digests=digests, zeros=zeros, units=units)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        lines = [f"{problem.where}: {problem.what}" for problem in errors[:_LISTED]]
        more = [f"and {len(errors) - _LISTED} more"] if len(errors) > _LISTED else []
        raise InputError("\n  ".join(lines + more), dataset.root, errors[0].remedy)


def _error(where: str, what: str, remedy: str) -> Problem:
    return Problem("error", "", where, what, remedy)


def _placed(problem: Problem, dataset: DataSet, layout: Layout | None) -> Problem:
    """Name the file that a problem is of: a feature file where the layout is known, else the data folder."""
    file: Path = dataset.root
    if layout is not None:
        file = layout.feature_file(problem.where) if problem.where in dataset.videos else layout.annotation_file
    return Problem(problem.severity, str(file), problem.where, problem.what, problem.remedy)


def _lengths(dataset: DataSet, steps: Mapping[str, int], widths: Mapping[str, int]) -> Iterator[Problem]:
    """Compare the steps of each file with what its video's duration, fps and stride make."""
    expected = {video_id: _expected(dataset.videos[video_id]) for video_id in steps}
    transposed = [
        video_id
        for video_id, width in widths.items()
        if video_id in steps and _misfit(steps[video_id], expected[video_id]) and not _misfit(width, expected[video_id])
    ]
    wrong = [v for v in steps if abs(steps[v] - expected[v]) > max(SLACK_STEPS, SET_SHARE * expected[v])]
    if len(transposed) > MOST * len(steps) or _all_equal(dataset, steps, wrong):
        what = f"{len(transposed) or len(wrong)} of {len(steps)} files are [C, T], not [T, C]"
        yield _error("features", what, "transpose them: numpy.save(path, numpy.load(path).T)")
    elif len(wrong) > MOST * len(steps):
        yield _error("features", *_what_would_fit(dataset, steps, expected, wrong))
    else:
        for video_id, counted in steps.items():
            yield from _length(dataset.videos[video_id], counted, expected[video_id], video_id in transposed)


def _expected(video: Video) -> int:
    fps = video.feature_fps * video.feature_stride_frames
    return estimate_feature_length(video.duration_s, fps, video.feature_stride_frames, video.clip_frames)


def _misfit(steps: int, expected: int) -> bool:
    return abs(steps - expected) > max(SLACK_STEPS, SLACK_SHARE * expected)


def _all_equal(dataset: DataSet, steps: Mapping[str, int], wrong: Collection[str]) -> bool:
    """Tell whether files of videos of many lengths have the same number of steps: then those are channels."""
    durations = {round(dataset.videos[video_id].duration_s) for video_id in steps}
    return len(durations) >= 3 and len(wrong) > MOST * len(steps) and len(set(steps.values())) == 1


def _what_would_fit(
    dataset: DataSet, steps: Mapping[str, int], expected: Mapping[str, int], wrong: Collection[str]
) -> tuple[str, str]:
    """Return what to say of a set whose files do not fit, and which stride or fps would."""
    ratios = np.array([steps[video_id] / expected[video_id] for video_id in steps])
    ratio = float(np.median(ratios))
    video = next(iter(dataset.videos.values()))
    stride = video.feature_stride_frames
    made = f"{len(wrong)} of {len(steps)} files do not have the steps that duration, fps and a stride of {stride} make"
    if np.mean(np.abs(ratios / ratio - 1) < SET_SHARE) <= MOST:
        return f"{made}, nor do they have them in common", "see that annotations and features are of the same videos"
    videos = [dataset.videos[video_id] for video_id in steps]
    # clips that fit: steps = (seconds * fps - clip) / stride + 1, solved for the stride, then for fps
    strides = [(v.duration_s * v.fps - v.clip_frames) / max(steps[v.id] - 1, 1) for v in videos]
    rates = [((steps[v.id] - 1) * stride + v.clip_frames) / v.duration_s for v in videos]
    factors = [rate / v.fps for rate, v in zip(rates, videos, strict=True)]
    fps = float(np.median([v.fps for v in videos]))
    if dataset.defined and stride == 1:  # where steps a second are known, a frame is a step
        made = (
            f"{len(wrong)} of {len(steps)} files do not have the steps of their durations at {fps:.4g} steps a second"
        )
        fits = f"{_rounded(rates)} steps a second would fit, or durations {_rounded(factors)} times as long"
        return f"{made}, but about {_rounded([ratio])} times as many: {fits}", _CORRECT_DEFINITION
    what = (
        f"{made}, but about {_rounded([ratio])} times as many: a stride of {_rounded(strides)} frames would fit, or "
        f"{_rounded(rates)} frames/s for {fps:.4g}, or durations {_rounded(factors)} times as long"
    )
    return what, _CORRECT_DEFINITION if dataset.defined else _CORRECT


def _rounded(values: list[float]) -> str:
    """Spell the median of estimates: as a whole number where it is within 2 % of one."""
    middle = float(np.median(values))
    near = round(middle)
    return str(near) if near and abs(middle / near - 1) < 0.02 else f"{middle:.3g}"


def _length(video: Video, steps: int, expected: int, transposed: bool) -> Iterator[Problem]:
    """Judge one file where most of the set fits."""
    if not _misfit(steps, expected):
        return
    what = f"{steps} steps, {video.duration_s:g} s at {video.fps:g} frames/s make about {expected}"
    if transposed:
        yield _error(video.id, f"[C, T], not [T, C]: {what}", "transpose it: numpy.save(path, numpy.load(path).T)")
    elif steps * FACTOR_OFF < expected:
        yield _error(video.id, f"truncated: {what}", "restore the file, or correct the video's duration and fps")
    elif steps > FACTOR_OFF * expected:
        yield _error(video.id, f"too long: {what}", "correct the video's duration and fps, or restore the file")
    else:
        yield Problem("note", "", video.id, what, "check duration and fps of this video")


def _units_of_time(dataset: DataSet) -> Iterator[Problem]:
    """Say where most actions lie beyond their videos' ends, and which unit of time they would fit in."""
    videos = [video for video in dataset.videos.values() if len(video.labels)]
    if not videos:
        return
    ends = np.concatenate([video.segments_s[:, 1] for video in videos])
    durations = np.concatenate([np.full(len(video.labels), video.duration_s) for video in videos])
    fps = np.concatenate([np.full(len(video.labels), video.fps) for video in videos])
    beyond = int((ends > durations + BEYOND_S).sum())
    if beyond <= MOST * len(ends):
        return
    units = (("frames", fps), ("milliseconds", 1000.0))
    unit = next((name for name, per in units if np.mean(ends / per <= durations + BEYOND_S) >= FITS), None)
    guess = f"; they would fit as {unit}" if unit else ""
    what = f"{beyond} of {len(ends)} actions end beyond their videos' ends{guess}"
    yield _error("segment", what, "write seconds" if unit else "check durations, and that segments are in seconds")


def _twins(dataset: DataSet, steps: Mapping[str, int], digests: Mapping[str, str]) -> Iterator[Problem]:
    """Name videos of equal features, and of equal annotations and length where no digests tell features apart."""
    for first, second in _pairs({video_id: digests[video_id] for video_id in dataset.videos if digests.get(video_id)}):
        yield _twin(dataset, first, second, "the same features")
    for first, second in _pairs({video_id: _annotation_key(dataset.videos[video_id], steps) for video_id in steps}):
        if not (digests.get(first) and digests.get(second)):
            yield _twin(dataset, first, second, "the same annotations and length")


def _pairs(keys: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each id with the first one of the same key (None is no key)."""
    first: dict[object, str] = {}
    for video_id, key in keys.items():
        if key is not None and first.setdefault(key, video_id) != video_id:
            yield first[key], video_id


def _annotation_key(video: Video, steps: Mapping[str, int]) -> object:
    if len(video.labels) < TWIN_ACTIONS:
        return None
    return steps[video.id], round(video.duration_s, 2), video.labels.tobytes(), video.segments_s.tobytes()


def _twin(dataset: DataSet, first: str, second: str, what: str) -> Problem:
    sides = {dataset.videos[first].subset, dataset.videos[second].subset}
    leak = f"; {TRAINED_AND_TESTED}" if len(sides) > 1 else ""
    what = f"{what} as {first}: one video under two ids{leak}"
    return _error(second, what, "leave one of them out, in a copy of the annotations")


def _test_units(dataset: DataSet, units: Iterable[str]) -> Iterator[Problem]:
    tested = {video.id for video in dataset.videos.values() if video.subset == "test"}
    for video_id in sorted({_video_of(unit) for unit in units} & tested):
        yield _error(video_id, "a test video among the training units", "draw the subset anew: tal-repro subset")


def _video_of(unit: str) -> str:
    return unit.partition(SLICE_MARK)[0]


def _all_zero(store: FeatureStore, video_id: str) -> bool:
    """Tell whether a file holds nothing but zeros; three steps answer for nearly every one."""
    length = store.length(video_id)
    if any(store.read(video_id, step, step + 1).any() for step in {0, length // 2, length - 1}):
        return False
    return not any(store.read(video_id, start, start + 4096).any() for start in range(0, length, 4096))


def _contents_of_suspects(store: FeatureStore, video_ids: Iterable[str]) -> dict[str, str]:
    """Return digests that are equal where contents are; only files of equal length and first step are read for them."""
    groups: dict[tuple[int, bytes], list[str]] = defaultdict(list)
    for video_id in video_ids:
        groups[store.length(video_id), store.read(video_id, 0, 1).tobytes()].append(video_id)
    digests = {group[0]: f"unlike any other: {group[0]}" for group in groups.values() if len(group) == 1}
    for video_id in (video_id for group in groups.values() if len(group) > 1 for video_id in group):
        digests[video_id] = hashlib.sha256(store.read(video_id).data).hexdigest()
    return digests
