"""The recipe that a native model of one's own inherits (docs/adding-a-native-model.md). Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tal_repro.models.native_recipe import Budget, NativeRecipe

if TYPE_CHECKING:
    from tal_repro.models.interface import Localizer


@dataclass(frozen=True)
class OwnRecipe(NativeRecipe):
    """The recipe of a native model of one's own: inherit, replace defaults, add fields, and write `build`.

    As it stands it trains on clips, AdamW with a constant rate, evaluates after every epoch and decodes by Soft-NMS.
    """

    feature_dim: int = 2048
    num_classes: int = 20
    epochs: int = 30
    batch_size: int = 2
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    clip_norm: float = 1.0  # 0: gradients are not clipped
    ema_decay: float = 0.0  # 0: no average of the weights is kept
    budget: Budget = "epochs"
    max_detections: int = 200  # of a video (clips), of a slice (slices)
    # clips
    max_seq_len: int = 2304  # feature steps; longer training videos are cropped to it
    crop_ratio: tuple[float, float] = (0.9, 1.0)
    truncation_threshold: float = 0.5
    nms_sigma: float = 0.5
    nms_min_score: float = 0.001
    # slices
    slice_length: int = 128  # feature steps
    train_overlap: float = 0.75
    test_overlap: float = 0.25
    min_inside: float = 0.75
    nms_iou: float = 0.4

    def build(self, name: str) -> Localizer:
        """Return the network of model `name` with fresh weights; torch is imported here and not before."""
        raise NotImplementedError

    @property
    def training_length(self) -> int:
        """Return the feature steps of its longest training sample."""
        return self.slice_length if self.samples == "slices" else self.max_seq_len
