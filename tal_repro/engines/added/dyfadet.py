"""DyFADet (ECCV 2024) by its authors' code: its recipe, and how its scripts are run (docs/adding-a-model.md).

A pyramid model of ActionFormer's family: the same data, loader and NMS. Its training evaluates the EMA weights itself,
in the second half only, and stops when their mAP falls 0.15 points below the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tal_repro.data.layouts import Layout
    from tal_repro.engines.upstream.job import Job

LAYOUT = "actionformer"
PROTOCOL = "af-212"
SHIMS = ("compiled_nms", "joblib_workers", "cuda_synchronize", "torch_load")
SELECTION, WEIGHTS = "best-on-test", "ema"  # what its authors report
STOPS_EARLY = True
PUBLISHED = {"af-212": (69.2, "README, THUMOS14-I3D")}
CONFIG = "configs/thumos_i3d.yaml"
# field of the recipe -> section and key of the authors' configuration
KEYS = {
    "feature_dim": ("dataset", "input_dim"),
    "num_classes": ("dataset", "num_classes"),
    "max_seq_len": ("dataset", "max_seq_len"),
    "embed_dim": ("model", "embd_dim"),
    "head_dim": ("model", "head_dim"),
    "mlp_dim": ("model", "mlp_dim"),
    "input_noise": ("model", "input_noise"),
    "warmup_epochs": ("opt", "warmup_epochs"),
    "learning_rate": ("opt", "learning_rate"),
    "weight_decay": ("opt", "weight_decay"),
    "batch_size": ("loader", "batch_size"),
    "loader_workers": ("loader", "num_workers"),
    "drop_path": ("train_cfg", "droppath"),
    "pre_nms_topk": ("test_cfg", "pre_nms_topk"),
    "max_detections": ("test_cfg", "max_seg_num"),
}


@dataclass(frozen=True)
class Recipe:
    """What the authors' script can be told; the defaults are theirs for THUMOS14 with I3D features."""

    feature_dim: int = 2048
    num_classes: int = 20
    epochs: int = 40  # those of the warm-up among them; 3 or more, for the first half is never evaluated
    warmup_epochs: int = 20
    batch_size: int = 2
    learning_rate: float = 1e-4
    weight_decay: float = 0.025
    max_seq_len: int = 2304  # a multiple of 32
    embed_dim: int = 512
    head_dim: int = 512
    mlp_dim: int = 768
    input_noise: float = 1e-5
    drop_path: float = 0.1
    ema_decay: float = 0.999  # a step; after 1000 steps a third of what is evaluated is still the random start
    loader_workers: int = 4  # 1 or more: they are kept between epochs
    pre_nms_topk: int = 2000
    max_detections: int = 2000


RECIPE = Recipe()
SMALL = {  # for checks: at these widths the gates of the check's seed begin open (docs/upstream.md)
    "epochs": 40, "warmup_epochs": 2, "max_seq_len": 320, "embed_dim": 96, "head_dim": 64, "mlp_dim": 96,
    "loader_workers": 1, "learning_rate": 0.001, "ema_decay": 0.95, "pre_nms_topk": 200, "max_detections": 200,
}  # fmt: skip


def train(job: Job) -> None:
    """Run train.py: it evaluates its EMA weights after the epochs it chooses."""
    config = write_config(job.tree, job.recipe, job.layout, job.run.spec.seed, job.work)
    (job.work / "checkpoints").mkdir()
    job.tell(ema_decay=job.recipe.ema_decay)
    job.train("train.py", [str(config), "--output", "run"], "ema")


def evaluate(job: Job, checkpoint: Path) -> None:
    """Run eval.py on a released checkpoint: it evaluates the EMA weights in it."""
    config = write_config(job.tree, job.recipe, job.layout, job.run.spec.seed, job.work)
    job.evaluate("eval.py", [str(config), str(checkpoint)], "ema")


def write_config(tree: Path, recipe: Recipe, layout: Layout, seed: int, out: Path) -> Path:
    """Write the authors' configuration with what the recipe and the data say; return its path."""
    import yaml

    from tal_repro.engines.upstream.settings import write_pyramid

    config = yaml.safe_load((tree / CONFIG).read_text(encoding="utf-8"))
    for field, (section, key) in KEYS.items():
        config.setdefault(section, {})[key] = getattr(recipe, field)
    config["model"]["fpn_dim"] = recipe.embed_dim  # their identity "neck" passes the embedding on
    return write_pyramid(config, recipe, layout, seed, out)


def build(tree: Path) -> Any:
    """Return the authors' network at its defaults, without decoding and NMS, from features [1, C, T] and lengths."""
    from libs.core import load_config  # type: ignore[import-not-found]
    from libs.modeling import make_meta_arch  # type: ignore[import-not-found]
    from torch import Tensor, nn, zeros

    config = load_config(str(tree / CONFIG))

    class Inference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = make_meta_arch(config["model_name"], **config["model"])
            vars(self.model)["inference"] = lambda *outputs: outputs[2:]  # their last step: decoding and NMS

        def forward(self, features: Tensor, lengths: Tensor) -> Any:
            # Their forward pass leaves out videos without annotations: one action is given, and not looked at.
            action = {"segments": zeros(1, 2), "labels": zeros(1)}
            return self.model([{"video_id": "video", "feats": features[0], **action}])

    return Inference()
