"""StepNet by its authors' code: its recipe, and how its scripts are run (docs/adding-a-model.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tal_repro.engines.upstream.job import Job

LAYOUT = "actionformer"
PROTOCOL = "af-212"
SHIMS = ("compiled_nms",)  # the harmless ones are always on


@dataclass(frozen=True)
class Recipe:
    """What the authors' script can be told; the defaults are theirs."""

    feature_dim: int = 2048
    num_classes: int = 20
    hidden: int = 64
    epochs: int = 10
    batch_size: int = 4
    learning_rate: float = 0.01
    weight_decay: float = 0.01  # their script has no word for it: patches/04-settings.patch


RECIPE = Recipe()
SMALL = {"feature_dim": 16, "epochs": 10, "batch_size": 1}  # of the training of `models check`


def train(job: Job) -> None:
    """Run train.py: it evaluates its raw weights after every epoch."""
    recipe, out = job.recipe, job.work / "out"
    out.mkdir()
    arguments = ["--data", str(job.layout.folder.resolve()), "--out", str(out), "--seed", str(job.run.spec.seed)]
    arguments += ["--epochs", str(recipe.epochs), "--batch", str(recipe.batch_size), "--lr", str(recipe.learning_rate)]
    job.tell(weight_decay=recipe.weight_decay)
    job.train("train.py", [*arguments, "--hidden", str(recipe.hidden)], "raw")


def build(tree: Path) -> Any:
    """Return the authors' model at its defaults, as a module from features [1, C, T] and lengths to outputs."""
    from libs.model import StepNet  # type: ignore[import-not-found]
    from torch import Tensor, nn

    class Inference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = StepNet(RECIPE.feature_dim, RECIPE.hidden, RECIPE.num_classes)

        def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
            scores: Tensor = self.model(features[0].transpose(0, 1))
            return scores

    return Inference()
