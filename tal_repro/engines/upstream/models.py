"""The authors' models as modules from (features, lengths) to outputs, for MAC counts and inference times.

Three of the four own a package called `libs`: one process loads the model of one upstream only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tal_repro.engines.upstream import settings, shims
from tal_repro.errors import InputError


def load(model: str, tree: Path, bare: bool = False) -> nn.Module:
    """Build a model from its prepared tree at its THUMOS14 configuration, in evaluation mode.

    The pyramid models' forward pass holds their decoding and NMS. `bare`: it ends before them, for `postprocess` to do.
    """
    loaded = [path for path in sys.path if path.startswith(str(tree.parent)) and path != str(tree)]
    if loaded:
        raise InputError(f"this process has loaded {loaded[0]} already", tree, "one process, one upstream")
    shims.install(model)
    if str(tree) not in sys.path:
        sys.path.insert(0, str(tree))
    built = _tadtr(tree) if model == "tadtr" else _pyramid(model, tree, bare)
    return built.eval()


def postprocess(model: nn.Module, outputs: Any, inputs: tuple[Any, ...]) -> Any:
    """Return the detections of one video from the outputs of a bare model, by the authors' own code.

    TadTR's merging of slices is not in it: one input is one slice.
    """
    with torch.inference_mode():
        return model.finish(outputs, inputs)  # type: ignore[operator]


def _pyramid(model: str, tree: Path, bare: bool) -> nn.Module:
    from libs.core import load_config  # type: ignore[import-not-found]
    from libs.modeling import make_meta_arch  # type: ignore[import-not-found]

    config = load_config(str(tree / settings.CONFIG_FILE[model]))
    return _Pyramid(make_meta_arch(config["model_name"], **config["model"]), bare)


def _tadtr(tree: Path) -> nn.Module:
    from models import build_model  # type: ignore[import-not-found]
    from opts import cfg, update_cfg_from_file  # type: ignore[import-not-found]

    update_cfg_from_file(cfg, str(tree / settings.CONFIG_FILE["tadtr"]))
    model, _, postprocessor = build_model(cfg)
    return _Tadtr(model, postprocessor, bool(cfg.act_reg))


def _passed_on(*arguments: Any) -> tuple[Any, ...]:
    """Stand in for the last step of a forward pass: return what it was given."""
    return arguments


class _Pyramid(nn.Module):
    """Give ActionFormer, TriDet or TemporalMaxer its list of one video."""

    def __init__(self, model: nn.Module, bare: bool) -> None:
        super().__init__()
        self.model = model
        self.inference: Any = model.inference
        if bare:  # set on the instance: its class, and the order of its arguments, stay the authors'
            vars(model)["inference"] = _passed_on

    def forward(self, features: Tensor, lengths: Tensor) -> Any:
        video = {
            "video_id": "video",
            "feats": features[0],
            "fps": 30.0,
            "duration": features.shape[-1] * 4 / 30.0,
            "feat_stride": 4,
            "feat_num_frames": 16,
        }
        return self.model([video])

    def finish(self, outputs: Any, inputs: tuple[Any, ...]) -> Any:
        return self.inference(*outputs)


class _Tadtr(nn.Module):
    """Give TadTR features and an all-valid mask; return its tensors only."""

    def __init__(self, model: nn.Module, postprocessor: nn.Module, fuse_score: bool) -> None:
        super().__init__()
        self.model, self.postprocessor, self.fuse_score = model, postprocessor, fuse_score

    def forward(self, features: Tensor, lengths: Tensor) -> Any:
        mask = torch.zeros(features.shape[0], features.shape[-1], dtype=torch.bool, device=features.device)
        outputs = self.model((features, mask))
        return {name: value for name, value in outputs.items() if isinstance(value, Tensor)}

    def finish(self, outputs: Any, inputs: tuple[Any, ...]) -> Any:
        seconds = inputs[1].to(inputs[0].device, torch.float32)
        return self.postprocessor(outputs, seconds, fuse_score=self.fuse_score)
