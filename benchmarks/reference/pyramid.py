"""ActionFormer, TriDet and TemporalMaxer from their checkouts, at any recipe, beside the native detector."""

from __future__ import annotations

import importlib
import types
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.reference.native import FPS, NativePyramid, duration
from benchmarks.reference.pair import Videos
from benchmarks.reference.stubs import checkout, nms_stub
from tal_repro.detection.postprocess import CLIP_FRAMES, PYRAMID_STRIDE_FRAMES
from tal_repro.models.interface import Target
from tal_repro.models.outputs import PyramidOutputs
from tal_repro.models.recipes import PyramidRecipe
from tal_repro.models.upstream_weights import load, native_name

CONFIG = "configs/thumos_i3d.yaml"
CONFIGS = {"temporalmaxer": "configs/temporalmaxer_thumos_i3d.yaml"}


class PyramidPair:
    """One of the three pyramid detectors, native and upstream."""

    def __init__(self, name: str, recipe: PyramidRecipe, folder: Path) -> None:
        self.name, self.recipe = name, recipe
        self.upstream: Any = _build(name, recipe, folder)
        self.side = NativePyramid(name, recipe)
        self.native: Any = self.side.model
        self.names = {key: str(native_name(name, key)) for key, _ in self.upstream.named_parameters()}
        load(self.native, self.upstream.state_dict())
        self.upstream.input_noise = 0
        for module in self.upstream.modules():
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0

    def use_named_weights(self, seed: int) -> None:
        self.side.use_named_weights(seed)
        own = dict(self.native.named_parameters())
        with torch.no_grad():
            for key, parameter in self.upstream.named_parameters():
                parameter.copy_(own[self.names[key]].reshape(parameter.shape))

    def reset(self) -> None:
        self.upstream.loss_normalizer = self.recipe.loss_normalizer_start
        self.side.reset()

    def decayed(self, name: str) -> bool:
        return bool(dict(self.native.named_parameters())[name].ndim == 3)

    def upstream_outputs(self, videos: Videos, training: bool) -> dict[str, Tensor]:
        """Run upstream's layers up to the raw outputs, [B, channels, T_l] per field and level."""
        model = self.upstream.train(training)
        features, masks = model.preprocessing([{"feats": v} for v in videos])
        pyramid, masks = model.neck(*model.backbone(features, masks))
        heads = {"logits": model.cls_head, "offsets": model.reg_head}
        if self.name == "tridet":
            heads |= {"starts": model.start_head, "ends": model.end_head}
        return {f"{f}/{level}": x for f, head in heads.items() for level, x in enumerate(head(pyramid, masks))}

    def native_run(self, videos: Videos, training: bool) -> PyramidOutputs:
        return self.side.run(videos, training)

    def upstream_run(self, videos: Videos, training: bool) -> dict[str, Tensor]:
        return self.upstream_outputs(videos, training)

    def raw(self, videos: Videos, training: bool) -> dict[str, tuple[Tensor, Tensor]]:
        ours, theirs = self.side.outputs(videos, training), self.upstream_outputs(videos, training)
        return {key: (F.pad(ours[key], (0, x.shape[-1] - ours[key].shape[-1])), x) for key, x in theirs.items()}

    def native_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        return self.side.losses(videos, targets)

    def upstream_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        self.upstream.train()
        samples = [{"feats": v, **target} for v, target in zip(videos, targets, strict=True)]
        losses = self.upstream(samples)
        return {"classification": losses["cls_loss"], "regression": losses["reg_loss"], "total": losses["final_loss"]}

    def detections(self, video: Tensor) -> tuple[Any, Any]:
        with torch.no_grad():
            outputs = self.side.run([video], training=False)
            return self.side.detections(outputs), self.upstream_detections(outputs)

    def upstream_detections(self, outputs: PyramidOutputs) -> tuple[Tensor, Tensor, Tensor]:
        """Decode and post-process raw outputs of a single video by upstream's code."""
        model = self.upstream.eval()
        total = self.native.eval().padded_length(outputs.lengths[0])
        widths = [total // 2**level for level in range(self.recipe.levels)]

        def padded(tensors: tuple[Tensor, ...]) -> list[Tensor]:
            return [F.pad(t[0], (0, width - t.shape[-1])) for t, width in zip(tensors, widths, strict=True)]

        points = model.point_generator([torch.empty(1, 1, width) for width in widths])
        masks = [torch.arange(w) * 2**level < outputs.lengths[0] for level, w in enumerate(widths)]
        rows = [[t.T for t in padded(field)] for field in (outputs.logits, outputs.offsets)]
        edges = [padded(field) for field in (outputs.starts, outputs.ends) if field]
        found = model.inference_single_video(points, masks, *rows, *edges)
        meta = {"fps": FPS, "feat_stride": PYRAMID_STRIDE_FRAMES, "feat_num_frames": CLIP_FRAMES}
        meta |= {"video_id": "video", "duration": duration(outputs)}
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
