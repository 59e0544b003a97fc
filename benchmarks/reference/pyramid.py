"""ActionFormer, TriDet and TemporalMaxer from their checkouts, at any recipe, beside the native detector."""

from __future__ import annotations

import dataclasses
import importlib
import types
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.reference.pair import Videos
from benchmarks.reference.stubs import checkout, nms_stub
from benchmarks.reference.weights import set_named_weights
from tal_repro.detection.postprocess import suppress
from tal_repro.models.interface import Target
from tal_repro.models.pyramid import PyramidDetector, PyramidOutputs
from tal_repro.models.recipes import PyramidRecipe
from tal_repro.models.upstream_weights import load, native_name

CONFIG = "configs/thumos_i3d.yaml"
CONFIGS = {"temporalmaxer": "configs/temporalmaxer_thumos_i3d.yaml"}


class PyramidPair:
    """One of the three pyramid detectors, native and upstream."""

    def __init__(self, name: str, recipe: PyramidRecipe, folder: Path) -> None:
        self.name, self.recipe = name, recipe
        self.upstream: Any = _build(name, recipe, folder)
        self.native: Any = PyramidDetector(name, recipe)
        keys = dict(self.upstream.named_parameters())
        self.names = {key: str(native_name(name, key)) for key in keys}
        load(self.native, self.upstream.state_dict())
        self._turn_off_chance()

    def _turn_off_chance(self) -> None:
        self.native.recipe = dataclasses.replace(self.recipe, drop_path=0.0, input_noise_std=0.0)
        self.upstream.input_noise = 0
        for module in self.upstream.modules():
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0

    def use_named_weights(self, seed: int) -> None:
        set_named_weights(self.native, seed)
        own = dict(self.native.named_parameters())
        with torch.no_grad():
            for key, parameter in self.upstream.named_parameters():
                parameter.copy_(own[self.names[key]].reshape(parameter.shape))

    def reset(self) -> None:
        self.upstream.loss_normalizer = self.recipe.loss_normalizer_start
        self.native.loss_normalizer.fill_(self.recipe.loss_normalizer_start)

    def decayed(self, name: str) -> bool:
        return bool(dict(self.native.named_parameters())[name].ndim == 3)

    def native_outputs(self, videos: Videos, training: bool) -> PyramidOutputs:
        """Run the native model on unequal videos."""
        self.native.train(training)
        longest = max(v.shape[1] for v in videos)
        batch = torch.stack([F.pad(v, (0, longest - v.shape[1])) for v in videos])
        return self.native(batch, torch.tensor([v.shape[1] for v in videos]))  # type: ignore[no-any-return]

    def upstream_outputs(self, videos: Videos, training: bool) -> dict[str, list[Tensor]]:
        """Run upstream's layers up to the raw outputs, [B, channels, T_l] per level."""
        self.upstream.train(training)
        model = self.upstream
        features, masks = model.preprocessing([{"feats": v} for v in videos])
        pyramid, masks = model.neck(*model.backbone(features, masks))
        heads = {"logits": model.cls_head, "offsets": model.reg_head}
        if self.name == "tridet":
            heads |= {"starts": model.start_head, "ends": model.end_head}
        return {key: list(head(pyramid, masks)) for key, head in heads.items()}

    def raw(self, videos: Videos, training: bool) -> dict[str, tuple[Tensor, Tensor]]:
        native = self.native_outputs(videos, training)
        upstream = self.upstream_outputs(videos, training)
        pairs = {}
        for field, levels in upstream.items():
            for level, theirs in enumerate(levels):
                ours = getattr(native, field)[level]
                pairs[f"{field}/{level}"] = (F.pad(ours, (0, theirs.shape[-1] - ours.shape[-1])), theirs)
        return pairs

    def native_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        return self.native.loss(self.native_outputs(videos, True), targets)  # type: ignore[no-any-return]

    def upstream_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        self.upstream.train()
        samples = [{"feats": v, **target} for v, target in zip(videos, targets, strict=True)]
        losses = self.upstream(samples)
        return {"classification": losses["cls_loss"], "regression": losses["reg_loss"], "total": losses["final_loss"]}

    def detections(self, video: Tensor) -> tuple[Any, Any]:
        with torch.no_grad():
            outputs = self.native_outputs([video], training=False)
            (candidates,) = self.native.decode(outputs)
            ours = suppress(candidates.segments, candidates.scores, candidates.labels, self.recipe.max_detections)
            return ours, self._upstream_detections(outputs)

    def _upstream_detections(self, outputs: PyramidOutputs) -> tuple[Tensor, Tensor, Tensor]:
        total = self.native.padded_length(outputs.lengths[0])
        widths = [total // 2**level for level in range(self.recipe.levels)]

        def level_rows(tensors: tuple[Tensor, ...], turn: bool) -> list[Tensor]:
            padded = [F.pad(t[0], (0, width - t.shape[-1])) for t, width in zip(tensors, widths, strict=True)]
            return [t.T for t in padded] if turn else padded

        model = self.upstream
        points = model.point_generator([torch.empty(1, 1, width) for width in widths])
        masks = [torch.arange(w) * 2**level < outputs.lengths[0] for level, w in enumerate(widths)]
        arguments = [points, masks, level_rows(outputs.logits, True), level_rows(outputs.offsets, True)]
        if self.name == "tridet":
            arguments += [level_rows(outputs.starts, False), level_rows(outputs.ends, False)]
        found = model.inference_single_video(*arguments)
        # stride 1, no clip, 1 frame per second: seconds are feature steps
        meta = {"video_id": "v", "fps": 1.0, "duration": float("inf"), "feat_stride": 1.0, "feat_num_frames": 0.0}
        result = model.postprocessing([{**found, **meta}])[0]
        return result["segments"], result["scores"], result["labels"]


def _build(name: str, recipe: PyramidRecipe, folder: Path) -> nn.Module:
    board: Any = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = object
    with checkout(folder, ("libs",), {"nms_1d_cpu": nms_stub(), "torch.utils.tensorboard": board}):
        config = importlib.import_module("libs.core").load_config(str(folder / CONFIGS.get(name, CONFIG)))
        model = {**config["model"], **_model_overrides(name, recipe)}
        model["train_cfg"] = {**config["train_cfg"], "init_loss_norm": recipe.loss_normalizer_start}
        model["test_cfg"] = {**config["test_cfg"], "max_seg_num": recipe.max_detections}
        make = importlib.import_module("libs.modeling").make_meta_arch
        return make(config["model_name"], **model)  # type: ignore[no-any-return]


def _model_overrides(name: str, recipe: PyramidRecipe) -> dict[str, Any]:
    sizes = {
        "input_dim": recipe.feature_dim,
        "num_classes": recipe.num_classes,
        "embd_dim": recipe.embed_dim,
        "fpn_dim": recipe.embed_dim,
        "head_dim": recipe.head_dim,
        "max_seq_len": recipe.max_seq_len,
        "regression_range": list(recipe.regression_ranges),
    }
    own: dict[str, dict[str, Any]] = {
        "actionformer": {"n_head": recipe.attention_heads, "n_mha_win_size": recipe.attention_window},
        "tridet": {"sgp_mlp_dim": recipe.mlp_dim, "num_bins": recipe.trident_bins},
        "temporalmaxer": {},
    }
    return sizes | own[name]
