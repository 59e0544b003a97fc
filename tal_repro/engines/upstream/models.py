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


def load(model: str, tree: Path) -> nn.Module:
    """Build a model from its prepared tree at its THUMOS14 configuration, in evaluation mode."""
    loaded = [path for path in sys.path if path.startswith(str(tree.parent)) and path != str(tree)]
    if loaded:
        raise InputError(f"this process has loaded {loaded[0]} already", tree, "one process, one upstream")
    shims.install(model)
    if str(tree) not in sys.path:
        sys.path.insert(0, str(tree))
    built = _tadtr(tree) if model == "tadtr" else _pyramid(model, tree)
    return built.eval()


def _pyramid(model: str, tree: Path) -> nn.Module:
    from libs.core import load_config  # type: ignore[import-not-found]
    from libs.modeling import make_meta_arch  # type: ignore[import-not-found]

    config = load_config(str(tree / settings.CONFIG_FILE[model]))
    return _Pyramid(make_meta_arch(config["model_name"], **config["model"]))


def _tadtr(tree: Path) -> nn.Module:
    from models import build_model  # type: ignore[import-not-found]
    from opts import cfg, update_cfg_from_file  # type: ignore[import-not-found]

    update_cfg_from_file(cfg, str(tree / settings.CONFIG_FILE["tadtr"]))
    return _Tadtr(build_model(cfg)[0])


class _Pyramid(nn.Module):
    """Give ActionFormer, TriDet or TemporalMaxer its list of videos; post-processing is part of its forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

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


class _Tadtr(nn.Module):
    """Give TadTR features and an all-valid mask; return its tensors only."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, lengths: Tensor) -> Any:
        mask = torch.zeros(features.shape[0], features.shape[-1], dtype=torch.bool, device=features.device)
        outputs = self.model((features, mask))
        return tuple(value for value in outputs.values() if isinstance(value, Tensor))
