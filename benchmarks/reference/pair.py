"""What the parity and speed tools ask of a model and its upstream counterpart, whatever the model."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from tal_repro.models.interface import Target

Videos = list[Tensor]  # features [C, L] each, of unequal lengths


class Pair(Protocol):
    """One model twice: `native` and `upstream` hold the same weights; stochastic parts are off.

    `names` maps each upstream parameter to its native name.
    """

    name: str
    native: Any
    upstream: nn.Module
    names: dict[str, str]

    def raw(self, videos: Videos, training: bool) -> dict[str, tuple[Tensor, Tensor]]:
        """Return (native, upstream) raw outputs by name, of equal shapes. Evaluation takes one video."""

    def native_run(self, videos: Videos, training: bool) -> Any:
        """Run the native model to its raw outputs."""

    def upstream_run(self, videos: Videos, training: bool) -> Any:
        """Run upstream to its raw outputs, with its own padding."""

    def native_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        """Return the native training losses of one batch, `total` among them."""

    def upstream_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        """Return upstream's losses under the native names."""

    def detections(self, video: Tensor) -> tuple[Any, Any]:
        """Return (native, upstream) detections (segments, scores, labels) after NMS from the same raw outputs."""

    def use_named_weights(self, seed: int) -> None:
        """Give both the weights of `benchmarks.reference.weights`, which exercise every parameter."""

    def reset(self) -> None:
        """Put running state that is no parameter (loss normalisers) back to its start, in both."""

    def decayed(self, name: str) -> bool:
        """Say whether weight decay applies to the native parameter `name`."""
