"""TE-TAD (CVPR 2024) by its authors' code: its recipe, and how its scripts are run (docs/adding-a-model.md).

A query-based model of TadTR's family on ActionFormer's features: whole videos, no slices, no NMS. Its training
evaluates raw and EMA weights every few epochs. The commit does not run without `00-repair.patch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tal_repro.data.layouts import Layout
    from tal_repro.engines.upstream.job import Job

LAYOUT = "actionformer"
PROTOCOL = "tadtr-210"
SHIMS = ("compiled_nms", "torch_load")
SELECTION, WEIGHTS = "best-on-test", "ema"  # what its authors report
CONFIG = "configs/thumos14.py"
SUBSETS = {"validation": "val", "test": "test"}  # ActionFormer's names -> those its loader asks for
# field of the recipe -> key of the authors' configuration
KEYS = {
    "feature_dim": "feature_dim",
    "num_classes": "num_classes",
    "epochs": "epochs",
    "batch_size": "batch_size",
    "learning_rate": "lr",
    "lr_drop_epoch": "lr_drop",
    "weight_decay": "weight_decay",
    "eval_interval": "eval_interval",
    "max_seq_len": "max_seq_len",
    "hidden_dim": "hidden_dim",
    "ffn_dim": "dim_feedforward",
    "encoder_layers": "enc_layers",
    "decoder_layers": "dec_layers",
    "feature_levels": "num_feature_levels",
    "queries": "num_queries",
    "noise_scale": "noise_scale",
    "ema_decay": "ema_decay",
}


@dataclass(frozen=True)
class Recipe:
    """What the authors' script can be told; the defaults are theirs for THUMOS14."""

    feature_dim: int = 2048
    num_classes: int = 20
    epochs: int = 200
    batch_size: int = 8
    learning_rate: float = 1e-4
    lr_drop_epoch: int = 190
    weight_decay: float = 0.05
    eval_interval: int = 5  # epochs; one that is longer than the training leaves nothing evaluated
    max_seq_len: int = 2304
    hidden_dim: int = 256
    ffn_dim: int = 2048
    encoder_layers: int = 4
    decoder_layers: int = 6
    feature_levels: int = 8
    queries: int = 50  # for every 128 feature steps
    noise_scale: float = 0.25
    ema_decay: float = 0.999
    loader_workers: int = 4  # of the evaluation; the training's loader has none


RECIPE = Recipe()
SMALL = {  # for checks: quick on two cores, and learnt from
    "epochs": 64, "eval_interval": 16, "batch_size": 4, "max_seq_len": 576, "hidden_dim": 32, "ffn_dim": 64,
    "encoder_layers": 1, "decoder_layers": 2, "feature_levels": 4, "loader_workers": 1, "learning_rate": 0.002,
    "ema_decay": 0.9,
}  # fmt: skip


def train(job: Job) -> None:
    """Run main.py: it evaluates its raw and its EMA weights, and its hooks say which."""
    job.train("main.py", arguments(job), "raw")


def evaluate(job: Job, checkpoint: Path) -> None:
    """Run main.py --eval on a released checkpoint: it evaluates the EMA weights in it (without any, the others)."""
    job.evaluate("main.py", ["--eval", "--resume", str(checkpoint), *arguments(job)], "ema")


def arguments(job: Job) -> list[str]:
    """Return the words that both are given; the last of them take all that follow."""
    out = job.work / "out"
    words = ["--config_file", str(job.tree / CONFIG), "--output_dir", str(out), "--seed", str(job.run.spec.seed)]
    words += ["--device", job.run.device.partition(":")[0], "--num_workers", str(job.recipe.loader_workers)]
    return [*words, "--options", *options(job.recipe, job.layout, job.work)]


def lay_out(layout: Layout, out: Path) -> None:
    """Write what its loader reads beside the features: annotations with its subset names, and lengths and rates."""
    import json

    import numpy as np

    database = json.loads(layout.annotation_file.read_text(encoding="utf-8"))["database"]
    features = {}
    for name, video in database.items():
        video["subset"] = SUBSETS.get(video["subset"].lower(), video["subset"])
        if (path := layout.feature_file(name)).exists():
            steps = len(np.load(path, mmap_mode="r"))
            features[name] = {"feature_length": steps, "fps": video["fps"], "base_frames": 16, "stride": 4}
    present = {name: video for name, video in database.items() if name in features}
    (out / "annotations.json").write_text(json.dumps({"database": present}), encoding="utf-8")
    (out / "features.json").write_text(json.dumps(features), encoding="utf-8")


def options(recipe: Recipe, layout: Layout, work: Path) -> list[str]:
    """Return the words key=value that replace what the authors' configuration says."""
    words = {key: getattr(recipe, field) for field, key in KEYS.items()}
    words |= {"gt_path": work / "annotations.json", "meta_info_path": work / "features.json"}
    words |= {"feature_folder": layout.feature_folder.resolve(), "name_format": "{}.npy", "eval_workers": 1}
    return [f"{key}={value}" for key, value in words.items()]


def build(tree: Path) -> Any:
    """Return the authors' network at its defaults, as a module from features [1, C, T] and lengths to outputs."""
    from types import SimpleNamespace

    import torch
    from models.tetad import model as authors  # type: ignore[import-not-found]
    from util.misc import nested_tensor_from_tensor_list  # type: ignore[import-not-found]
    from util.slconfig import SLConfig  # type: ignore[import-not-found]

    settings = SimpleNamespace(**SLConfig.fromfile(str(tree / CONFIG))._cfg_dict.to_dict())

    class Inference(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = authors.build(settings)[0]

        def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> Any:
            steps, device = features.shape[-1], features.device
            clip = {"fps": 30.0, "stride": 4.0, "feature_duration": steps * 4 / 30.0}
            info = [{name: torch.tensor(value, device=device) for name, value in clip.items()}]
            outputs = self.model(nested_tensor_from_tensor_list([features[0]]), info)  # pads to a multiple of 256
            return outputs["pred_logits"], outputs["pred_segments"]

    return Inference()


def addict_stand_in() -> None:
    """addict is not installed: a dictionary whose keys are attributes too, as far as its configuration uses one"""
    import sys
    import types

    class Dict(dict):  # type: ignore[type-arg]
        def __init__(self, values: Any = ()) -> None:
            super().__init__({key: self._wrapped(value) for key, value in dict(values).items()})

        @classmethod
        def _wrapped(cls, value: Any) -> Any:
            return cls(value) if isinstance(value, dict) else value

        def __getattr__(self, name: str) -> Any:
            return self[name]

        def __setattr__(self, name: str, value: Any) -> None:
            self[name] = value

        def copy(self) -> Any:
            return type(self)(self)

        def to_dict(self) -> dict[str, Any]:
            return {key: value.to_dict() if isinstance(value, Dict) else value for key, value in self.items()}

    module = types.ModuleType("addict")
    vars(module)["Dict"] = Dict
    sys.modules.setdefault("addict", module)


def yapf_stand_in() -> None:
    """yapf is not installed: the copy of the configuration that the script writes for itself stays unformatted"""
    import sys
    import types

    module = types.ModuleType("yapf.yapflib.yapf_api")
    vars(module)["FormatCode"] = lambda text, **how: (text, False)
    for name in ("yapf", "yapf.yapflib"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules.setdefault("yapf.yapflib.yapf_api", module)


def torchvision_stand_in() -> None:
    """torchvision is not installed: imported for images alone, and its version read (it must be 0.7 or later)"""
    import sys
    import types

    module = types.ModuleType("torchvision")
    vars(module)["__version__"] = "0.20"
    sys.modules.setdefault("torchvision", module)


OWN_SHIMS = (torchvision_stand_in, addict_stand_in, yapf_stand_in)
