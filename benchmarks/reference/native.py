"""The native pyramid detectors as the parity tool and the golden files drive them; needs no upstream."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.pair import Videos
from benchmarks.reference.weights import set_named_weights
from tal_repro.detection.postprocess import CLIP_FRAMES, PYRAMID_STRIDE_FRAMES, pyramid_detections
from tal_repro.models.interface import Target
from tal_repro.models.outputs import PyramidOutputs
from tal_repro.models.pyramid import PyramidDetector
from tal_repro.models.recipes import PyramidRecipe

FPS = 30.0


class NativePyramid:
    """A native detector with nothing left to chance."""

    def __init__(self, name: str, recipe: PyramidRecipe) -> None:
        self.name = name
        self.recipe = dataclasses.replace(recipe, drop_path=0.0, input_noise_std=0.0)
        self.model: Any = PyramidDetector(name, self.recipe)

    def use_named_weights(self, seed: int) -> None:
        """Give the model weights that exercise every parameter."""
        set_named_weights(self.model, seed)

    def run(self, videos: Videos, training: bool) -> PyramidOutputs:
        """Run the detector on unequal videos."""
        self.model.train(training)
        longest = max(v.shape[1] for v in videos)
        batch = torch.stack([F.pad(v, (0, longest - v.shape[1])) for v in videos])
        return self.model(batch, torch.tensor([v.shape[1] for v in videos]))  # type: ignore[no-any-return]

    def outputs(self, videos: Videos, training: bool) -> dict[str, Tensor]:
        """Return raw outputs by field and level, [B, channels, T_l]."""
        found = self.run(videos, training)
        fields = ("logits", "offsets", "starts", "ends")
        return {f"{f}/{level}": x for f in fields for level, x in enumerate(getattr(found, f))}

    def losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        """Return the training losses."""
        return self.model.loss(self.run(videos, True), targets)  # type: ignore[no-any-return]

    def detections(self, outputs: PyramidOutputs) -> tuple[Any, Any, Any]:
        """Return segments in seconds, scores and labels of a single video after NMS."""
        (candidates,) = self.model.decode(outputs, torch.tensor(outputs.lengths))
        most = self.recipe.max_detections
        return pyramid_detections(*candidates, fps=FPS, duration_s=duration(outputs), max_detections=most)

    def reset(self) -> None:
        """Put the loss normaliser back to its start."""
        self.model.loss_normalizer.fill_(self.recipe.loss_normalizer_start)


def duration(outputs: PyramidOutputs) -> float:
    """Return the seconds of a single video at 30 frames a second."""
    return (outputs.lengths[0] * PYRAMID_STRIDE_FRAMES + CLIP_FRAMES) / FPS
