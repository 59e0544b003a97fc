"""Known faults of THUMOS14's annotations, under the same video ids: protocols differ here as they do there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from tal_repro.data.dataset import SubsetName
from tal_repro.data.synthetic_config import TWINS, SyntheticVideo

ONLY_AMBIGUOUS = "video_test_0001292"
# id -> share of its actions that reach beyond the video's end (22 of 29, 3, 1, 2, 2 in THUMOS14)
CUT_SHORT: dict[SubsetName, dict[str, float]] = {
    "train": {"video_validation_0000364": 0.1, "video_validation_0000856": 0.1},
    "test": {"video_test_0000270": 22 / 29, "video_test_0000814": 0.15, "video_test_0001081": 0.05},
}
SHIFTED: dict[SubsetName, str | None] = {"train": None, "test": "video_test_0001496"}
LEAST_VIDEOS = 20  # a smaller subset stays free of faulty videos: each would weigh too much


def add_quirks(videos: list[SyntheticVideo], subset: SubsetName, rng: np.random.Generator) -> list[SyntheticVideo]:
    """Turn a few videos into THUMOS14's faulty ones, and add the one that holds only Ambiguous segments."""
    videos = [_renamed(video, subset) for video in videos]
    if len(videos) >= LEAST_VIDEOS:
        for video_id, share in CUT_SHORT[subset].items():
            videos = _replace_one(videos, video_id, partial(_cut_short, share=share), rng)
        shifted = SHIFTED[subset]
        if shifted is not None:
            videos = _replace_one(videos, shifted, partial(_shifted, rng=rng), rng)
    if subset == "test":
        videos.append(_only_ambiguous(videos))
    return videos


def _special(subset: SubsetName) -> set[str]:
    return {*CUT_SHORT[subset], ONLY_AMBIGUOUS, SHIFTED[subset] or ""}


def _renamed(video: SyntheticVideo, subset: SubsetName) -> SyntheticVideo:
    """Keep the ids of the faulty videos free: numbers above 9000000 replace them."""
    return replace(video, id=video.id.replace("_0", "_9", 1)) if video.id in _special(subset) else video


def _replace_one(
    videos: list[SyntheticVideo],
    video_id: str,
    change: Callable[[SyntheticVideo], SyntheticVideo],
    rng: np.random.Generator,
) -> list[SyntheticVideo]:
    """Change one video whose classes sound videos hold too, with at least five actions where there is one."""
    sound = [video for video in videos if not video.quirk]
    holders = Counter(label for video in sound for label in {action.label for action in video.actions})
    candidates = [
        index
        for index, video in enumerate(videos)
        if not video.quirk
        and video.actions
        and TWINS[1] not in {action.label for action in video.actions}
        and all(holders[action.label] >= 2 for action in video.actions)
    ]
    many = [index for index in candidates if len(videos[index].actions) >= 5] or candidates
    if not many:
        return videos
    chosen = int(rng.choice(many))
    changed = replace(change(videos[chosen]), id=video_id, quirk=video_id)
    return [*videos[:chosen], changed, *videos[chosen + 1 :]]


def _cut_short(video: SyntheticVideo, share: float) -> SyntheticVideo:
    """End the video so early that this share of its actions (at least one) reaches beyond the end."""
    ends = sorted(action.end_s for action in video.actions)
    beyond = min(max(round(share * len(ends)), 1), len(ends))
    return replace(video, duration_s=round(max(ends[-beyond] - 0.5, 5.0), 2), ambiguous_s=())


def _shifted(video: SyntheticVideo, rng: np.random.Generator) -> SyntheticVideo:
    """Annotate actions where none are shown."""
    actions = []
    for action in video.actions:
        length = action.end_s - action.start_s
        start = round(float(rng.uniform(0, video.duration_s - length)), 1)
        actions.append(replace(action, start_s=start, end_s=round(start + length, 1)))
    actions.sort(key=lambda action: (action.start_s, action.end_s, action.label))
    return replace(video, actions=tuple(actions))


def _only_ambiguous(videos: list[SyntheticVideo]) -> SyntheticVideo:
    """Return a test video without a single action: in ActionFormer's layout a feature file without annotation."""
    last = videos[-1]
    duration = last.duration_s
    segments = tuple((round(duration * at, 1), round(duration * at + 1.5, 1)) for at in (0.2, 0.5, 0.8))
    return SyntheticVideo(
        ONLY_AMBIGUOUS, last.index + 1, "test", duration, last.fps, (), segments, quirk=ONLY_AMBIGUOUS
    )
