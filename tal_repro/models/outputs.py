"""What the two kinds of network give: raw outputs, which losses and decoding read."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PyramidOutputs(NamedTuple):
    """Raw outputs per level l with T_l columns; zero behind each video."""

    logits: tuple[Tensor, ...]  # [B, K, T_l] class scores before the sigmoid
    offsets: tuple[Tensor, ...]  # [B, 2, T_l] distances in strides; TriDet [B, 2 * (bins + 1), T_l] bin responses
    starts: tuple[Tensor, ...]  # TriDet: [B, K, T_l] start responses; else empty
    ends: tuple[Tensor, ...]  # TriDet: end responses
    lengths: tuple[int, ...]  # of the videos, in feature steps

    @property
    def trident(self) -> bool:
        """Tell whether offsets are distributions over bins, as TriDet's are."""
        return len(self.starts) > 0


class TadtrOutputs(NamedTuple):
    """Raw outputs. L decoder layers, B samples, Q queries."""

    logits: Tensor  # [L, B, Q, classes]
    segments: Tensor  # [L, B, Q, 2]: centre and width, as fractions of `steps`
    actionness: Tensor | None  # [B, Q, 1], of the last layer
    steps: Tensor  # [B]: the feature steps that 1.0 stands for
