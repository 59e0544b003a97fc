"""The contract of all models: features in; raw outputs, losses and decoded segments out, all in feature units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypedDict, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from tal_repro.models.native_recipe import NativeRecipe


class NotFinite(ValueError):
    """Outputs are no numbers, so that there is no loss of them: the training has diverged."""


class Target(TypedDict):
    """Ground truth of one sample: `segments [N, 2]` (feature steps, start < end), `labels [N]` (long)."""

    segments: Tensor
    labels: Tensor


class Candidates(NamedTuple):
    """Decoded detections of one sample, before NMS: `segments [M, 2]` in feature steps, `scores [M]`, `labels [M]`."""

    segments: Tensor
    scores: Tensor
    labels: Tensor


@runtime_checkable
class Localizer(Protocol):
    """What engines, benchmarks and MAC counts may call. Implementations are `nn.Module`s."""

    name: str

    @property
    def recipe(self) -> NativeRecipe:
        """Return the hyper-parameters the model was built with."""

    def __call__(self, features: Tensor, lengths: Tensor) -> Any:
        """Map features [B, C, T] (float) and lengths [B] (long) to raw outputs; ValueError on a bad shape or NaN.

        Whatever the arithmetic inside (autocast, half-precision weights), outputs are float32 or wider.
        """

    def prepare(self, device: str) -> None:
        """Choose how to compute on a device ("cpu", "cuda:0"), with the same results."""

    def loss(self, outputs: Any, targets: list[Target]) -> dict[str, Tensor]:
        """Return named losses and their weighted sum under `total`."""

    def decode(self, outputs: Any, lengths: Tensor) -> list[Candidates]:
        """Return each sample's candidate detections, in upstream's order, before NMS."""


class Network:
    """What most models need not replace; a model of one's own is a `class Mine(Network, nn.Module)`."""

    name: str
    recipe: NativeRecipe

    def prepare(self, device: str) -> None:
        """Do nothing: it computes alike on every device."""

    def padded_length(self, length: int) -> int:
        """Return the steps that an input of `length` steps is padded to: as many as its recipe says."""
        return max(length, self.recipe.padded_to or 0)

    def upstream_form(self, on: bool = True) -> Network:
        """Return this: it has no second form, so that its MACs are counted as they are."""
        return self
