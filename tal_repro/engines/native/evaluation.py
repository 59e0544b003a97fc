"""From a model to mAP rows: test videos in, detections in seconds, scores under every protocol out.

Videos go through the model in batches of similar length and come back in the order of their ids; a model sees what it
would see alone, up to the rounding of a batched product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from tal_repro.annotations import AMBIGUOUS
from tal_repro.data import DataSet, Video, ground_truth
from tal_repro.data.windows import Slicing, Window, cut_windows, tadtr_steps
from tal_repro.detection.postprocess import (
    SliceCandidates,
    Suppression,
    VideoDetections,
    detections_table,
    merge_slices,
    pyramid_detections,
)
from tal_repro.detection.protocols import PROTOCOLS, Evaluation, GroundTruth, counted_instances, evaluate
from tal_repro.detection.soft_nms import SoftNms
from tal_repro.engines.native.batches import collate
from tal_repro.engines.native.limits import check_test_set, invalid_flags
from tal_repro.engines.native.samples import Sample, VideoFeatures, window_features
from tal_repro.engines.native.schedule import Score
from tal_repro.models.interface import Candidates, Localizer
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    import pandas as pd

BATCH_STEPS = 4608  # feature steps that go through a model at once


class Evaluator:
    """Detect actions in the test videos of a data set and score them."""

    def __init__(self, dataset: DataSet, features: VideoFeatures, model: Localizer, precision: str) -> None:
        self.features, self.precision = features, precision
        self.classes = dataset.classes
        self.videos = dataset.detected
        self.protocol = model_entry(model.name).reported.protocol
        self._truth = _ground_truth(dataset)
        check_test_set(len(counted_instances(self._truth, PROTOCOLS[self.protocol])["video_id"]), self.protocol)

    @torch.no_grad()
    def detect(self, model: Localizer, poll: Callable[[], None] = lambda: None) -> pd.DataFrame:
        """Return the detections of a model with its present weights: video_id, start_s, end_s, label, score."""
        model.eval()  # type: ignore[attr-defined]
        of_video = self._slice_detections if model.recipe.samples == "slices" else self._video_detections
        detections = dict(of_video(model, poll))
        return detections_table(((video.id, *detections[video.id]) for video in self.videos), self.classes)

    def score(self, detections: pd.DataFrame, epoch: int) -> Score:
        """Score detections under the model's own protocol."""
        evaluation = evaluate(detections, self._truth, self.protocol)
        result = evaluation.result
        return {
            "epoch": epoch,
            "average": result.average,
            "ap": {self.protocol: _by_tiou(evaluation)},
            "flags": invalid_flags(result.missing_classes, len(detections)),
            "counts": {
                "videos": evaluation.videos,
                "instances": result.instances,
                "classes": len(result.classes),
                "detections": len(detections),
            },
        }

    def by_class(self, detections: pd.DataFrame) -> dict[str, float]:
        """Return the AP of each class under the model's own protocol, averaged over tIoU."""
        return evaluate(detections, self._truth, self.protocol).result.by_class

    def score_all(self, detections: pd.DataFrame, score: Score) -> Score:
        """Add the scores under the other protocols."""
        others = [name for name in PROTOCOLS if name != self.protocol]
        scores = {name: _by_tiou(evaluate(detections, self._truth, name)) for name in others}
        return {**score, "ap": {**score["ap"], **scores}}

    def _video_detections(self, model: Localizer, poll: Callable[[], None]) -> Iterator[tuple[str, VideoDetections]]:
        recipe: Any = model.recipe
        how = Suppression(SoftNms(sigma=recipe.nms_sigma, min_score=recipe.nms_min_score))
        for videos in _by_length(self.videos, self.features):
            poll()
            samples = [_sample(video.id, self.features.read(video.id)) for video in videos]
            for video, candidates in zip(videos, self._candidates(model, samples), strict=True):
                yield (
                    video.id,
                    pyramid_detections(
                        *_on_cpu(candidates),
                        fps=video.fps,
                        duration_s=video.duration_s,
                        max_detections=recipe.max_detections,
                        stride_frames=video.feature_stride_frames,
                        clip_frames=video.clip_frames,
                        how=how,
                    ),
                )

    def _slice_detections(self, model: Localizer, poll: Callable[[], None]) -> Iterator[tuple[str, VideoDetections]]:
        recipe: Any = model.recipe
        slicing = Slicing.of(vars(recipe))
        windows = [window for video in self.videos for window in cut_windows(video, "test", slicing)]
        candidates_of: dict[str, list[SliceCandidates]] = {video.id: [] for video in self.videos}
        at_once = max(BATCH_STEPS // recipe.slice_length, 1)
        for first in range(0, len(windows), at_once):
            poll()
            chosen = windows[first : first + at_once]
            samples = [
                _sample(window.slice_id, window_features(self.features, window, recipe.slice_length))
                for window in chosen
            ]
            for window, candidates in zip(chosen, self._candidates(model, samples), strict=True):
                candidates_of[window.video_id].append(_slice_candidates(window, candidates))
        for video in self.videos:
            rate = tadtr_steps(video)[1]
            yield video.id, merge_slices(candidates_of[video.id], rate, recipe.nms_iou, recipe.max_detections)

    def _candidates(self, model: Localizer, samples: Sequence[Sample]) -> list[Candidates]:
        batch = collate(samples, str(self.features.device))
        with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            outputs = model(batch.features, batch.lengths)
        return model.decode(outputs, batch.lengths)


def _ground_truth(dataset: DataSet) -> GroundTruth:
    """Return the test annotations, Ambiguous segments among them: they decide whether a video counts."""
    import pandas as pd

    videos = [video for video in dataset.videos.values() if video.subset == "test"]
    ambiguous = [(video.id, *segment, AMBIGUOUS) for video in videos for segment in video.ambiguous_s.tolist()]
    actions = ground_truth(dataset, "test")
    instances = pd.concat([actions, pd.DataFrame(ambiguous, columns=actions.columns)]) if ambiguous else actions
    return GroundTruth({video.id: video.duration_s for video in videos}, instances, dataset.classes)


def _by_tiou(evaluation: Evaluation) -> dict[str, float]:
    """Return the mAP by tIoU (none, where a protocol leaves no instance)."""
    if evaluation.result.instances == 0:
        return {}
    result = evaluation.result
    pairs = zip(result.tious, result.map_per_tiou.tolist(), strict=True)
    return {f"{tiou:g}": ap for tiou, ap in pairs}


def _by_length(videos: Sequence[Video], features: VideoFeatures) -> Iterator[list[Video]]:
    """Yield batches of videos of similar length, `BATCH_STEPS` steps at most unless one video is longer."""
    batch: list[Video] = []
    for video in sorted(videos, key=lambda each: (features.length(each.id), each.id)):
        longest = features.length(video.id)
        if batch and longest * (len(batch) + 1) > BATCH_STEPS:
            yield batch
            batch = []
        batch.append(video)
    if batch:
        yield batch


def _sample(name: str, features: torch.Tensor) -> Sample:
    nothing = torch.zeros(0, 2)
    return Sample(name, features, nothing, nothing[:, 0].long())


def _slice_candidates(window: Window, candidates: Candidates) -> SliceCandidates:
    return SliceCandidates(window.start, window.stop, *_on_cpu(candidates))


def _on_cpu(candidates: Candidates) -> tuple[Any, ...]:
    return tuple(
        field.float().cpu().numpy() if field.dtype == torch.bfloat16 else field.cpu().numpy() for field in candidates
    )
