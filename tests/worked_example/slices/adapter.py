"""SliceNet by its authors' code: TadTR's layout, windows as samples, two weight sets, evaluated by another script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tal_repro.engines.upstream.job import Job

LAYOUT = "tadtr"
PROTOCOL = "af-212"
SHIMS: tuple[str, ...] = ()
PUBLISHED = {"af-212": (54.3, "README")}


@dataclass(frozen=True)
class Recipe:
    """What the authors' script can be told; the defaults are theirs."""

    feature_dim: int = 2048
    num_classes: int = 20
    epochs: int = 10
    batch_size: int = 1
    learning_rate: float = 0.003


RECIPE = Recipe()
SMALL = {"feature_dim": 16, "learning_rate": 0.005}


def train(job: Job) -> None:
    """Train, then evaluate both weight sets of the last checkpoint."""
    data, out = str(job.layout.folder.resolve()), job.work / "out"
    out.mkdir()
    words = [str(job.recipe.epochs), str(job.recipe.learning_rate), str(job.run.spec.seed)]
    job.train("train.py", [data, str(out), *words], "raw")
    for weights in ("ema", "raw"):
        job.evaluate("eval.py", [data, str(job.newest_checkpoint(out))], weights)


def evaluate(job: Job, checkpoint: Path) -> None:
    """Evaluate a released checkpoint."""
    job.evaluate("eval.py", [str(job.layout.folder.resolve()), str(checkpoint)], "ema")


def build(tree: Path) -> Any:
    """Return the authors' model at its defaults, as a module from features [1, C, T] and lengths to outputs."""
    from model import SliceNet  # type: ignore[import-not-found]
    from torch import Tensor, nn

    class Inference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = SliceNet(RECIPE.feature_dim, RECIPE.num_classes)

        def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
            scores: Tensor = self.model(features[0].transpose(0, 1))
            return scores

    return Inference()
