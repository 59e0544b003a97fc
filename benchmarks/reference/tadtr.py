"""TadTR from its checkout, at any recipe, beside the native model; RoIAlign is this kit's, the rest the authors'."""

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
from benchmarks.reference.stubs import checkout
from benchmarks.reference.weights import set_named_weights
from tal_repro.models import roi_align
from tal_repro.models.interface import Candidates, Target
from tal_repro.models.outputs import TadtrOutputs
from tal_repro.models.recipes import TadtrRecipe
from tal_repro.models.tadtr import TadTR
from tal_repro.models.tadtr_layers import Dropout
from tal_repro.models.tadtr_weights import load, native_name

CONFIG = "configs/thumos14_i3d2s_tadtr.yml"
LOSSES = {"loss_ce": "class", "loss_segments": "segment", "loss_iou": "iou", "loss_actionness": "actionness"}
REFINING = (".offsets.weight", ".scores.weight", "segment_heads.")
REFINEMENT = 0.1
PACKAGES = ("models", "util", "opts", "datasets")


class NativeTadtr:
    """The native model with nothing left to chance; needs no upstream."""

    def __init__(self, recipe: TadtrRecipe) -> None:
        self.recipe = dataclasses.replace(recipe, dropout=0.0)
        self.model: Any = TadTR(self.recipe)

    def use_named_weights(self, seed: int) -> None:
        """Give the model weights that exercise every parameter, the refinement of positions at a training's size.

        Where a query looks next depends on what it saw: with refinements of several steps on features that are noise,
        upstream is as far from itself in float64 as from anything else.
        """
        set_named_weights(self.model, seed)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if any(part in name for part in REFINING):
                    parameter.mul_(REFINEMENT)

    def run(self, videos: Videos) -> TadtrOutputs:
        """Run the model on unequal videos."""
        batch, lengths = stack(videos)
        self.model.mask_padding = bool((lengths < batch.shape[2]).any())  # as upstream's mask does for unequal videos
        return self.model(batch, lengths)  # type: ignore[no-any-return]

    def outputs(self, videos: Videos) -> dict[str, Tensor]:
        """Return raw outputs by field."""
        found = self.run(videos)
        raw = {"logits": found.logits, "segments": found.segments, "actionness": found.actionness}
        return {field: x for field, x in raw.items() if x is not None}

    def losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        """Return the training losses."""
        return self.model.loss(self.run(videos), targets)  # type: ignore[no-any-return]


class TadtrPair:
    """TadTR, native and upstream."""

    name = "tadtr"

    def __init__(self, recipe: TadtrRecipe, folder: Path) -> None:
        self.side = NativeTadtr(recipe)
        self.recipe, self.native = self.side.recipe, self.side.model
        self.upstream, self.criterion, self.postprocess = _build(self.recipe, folder)
        self.names = {key: native_name(key) for key, _ in self.upstream.named_parameters()}
        load(self.native, self.upstream.state_dict())

    def use_named_weights(self, seed: int) -> None:
        self.side.use_named_weights(seed)
        own = dict(self.native.named_parameters())
        with torch.no_grad():
            for key, parameter in self.upstream.named_parameters():
                parameter.copy_(own[self.names[key]].reshape(parameter.shape))

    def reset(self) -> None:
        """TadTR has no running state."""

    def decayed(self, name: str) -> bool:
        return True

    def set_dropout(self, probability: float) -> None:
        """Switch dropout on in both: speed is measured with it, parity without."""
        for module in (*self.native.modules(), *self.upstream.modules()):
            if isinstance(module, Dropout):
                module.probability = probability
            elif isinstance(module, nn.Dropout):
                module.p = probability
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = probability

    def native_run(self, videos: Videos, training: bool) -> TadtrOutputs:
        self.native.train(training)
        return self.side.run(videos)

    def upstream_run(self, videos: Videos, training: bool) -> dict[str, Any]:
        self.upstream.train(training)
        return self.run_upstream(videos)

    def run_upstream(self, videos: Videos) -> dict[str, Any]:
        """Run upstream's model under its padding mask."""
        batch, lengths = stack(videos)
        return self.upstream((batch, (torch.arange(batch.shape[2]) >= lengths[:, None]).to(batch.device)))  # type: ignore[no-any-return]

    def upstream_outputs(self, videos: Videos) -> dict[str, Tensor]:
        """Return upstream's raw outputs by field, the layers of the decoder stacked."""
        found = self.run_upstream(videos)
        layers = [*found["aux_outputs"], found]
        raw = {field: torch.stack([layer[f"pred_{field}"] for layer in layers]) for field in ("logits", "segments")}
        return raw | ({"actionness": found["pred_actionness"]} if "pred_actionness" in found else {})

    def raw(self, videos: Videos, training: bool) -> dict[str, tuple[Tensor, Tensor]]:
        self.native.train(training)
        self.upstream.train(training)
        ours, theirs = self.side.outputs(videos), self.upstream_outputs(videos)
        return {field: (ours[field], theirs[field]) for field in theirs}

    def native_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        self.native.train()
        return self.side.losses(videos, targets)

    def upstream_losses(self, videos: Videos, targets: list[Target]) -> dict[str, Tensor]:
        self.upstream.train()
        found = self.criterion(
            self.run_upstream(videos), [_normalised(t, v) for t, v in zip(targets, videos, strict=True)]
        )
        weights = self.criterion.weight_dict
        total = sum(value * weights[key] for key, value in found.items() if key in weights)
        named = {native_loss(key): value for key, value in found.items() if key in weights}
        return {**named, "total": total}

    def detections(self, video: Tensor) -> tuple[Any, Any]:
        with torch.no_grad():
            outputs = self.side.run([video])
            (ours,) = self.native.decode(outputs, torch.tensor([video.shape[1]]))
            theirs = self.upstream_detections(outputs)[0]
        return (ours.segments.float(), ours.scores, ours.labels), theirs

    def upstream_detections(self, outputs: TadtrOutputs) -> list[Candidates]:
        """Decode raw outputs by upstream's code, in steps."""
        last = {"pred_logits": outputs.logits[-1], "pred_segments": outputs.segments[-1]}
        last |= {} if outputs.actionness is None else {"pred_actionness": outputs.actionness}
        found = self.postprocess(last, outputs.steps.float(), fuse_score=outputs.actionness is not None)
        return [Candidates(x["segments"], x["scores"], x["labels"]) for x in found]


def stack(videos: Videos) -> tuple[Tensor, Tensor]:
    """Return unequal videos as one zero-padded batch and its lengths."""
    lengths = torch.tensor([v.shape[1] for v in videos])
    return torch.stack([F.pad(v, (0, int(lengths.max()) - v.shape[1])) for v in videos]), lengths


def native_loss(key: str) -> str:
    """Return the native name of one of upstream's losses."""
    stem, _, layer = key.rpartition("_")
    return f"{LOSSES[stem]}_{layer}" if layer.isdigit() else LOSSES[key]


def _normalised(target: Target, video: Tensor) -> dict[str, Tensor]:
    """Return centre and width as fractions of the video, as upstream's data set gives them."""
    start, end = (target["segments"].double() / video.shape[1]).unbind(1)
    segments = torch.stack(((start + end) / 2, end - start), 1).to(video.dtype)
    return {"segments": segments, "labels": target["labels"]}


def _build(recipe: TadtrRecipe, folder: Path) -> tuple[Any, Any, Any]:
    vision: Any = types.ModuleType("torchvision")
    vision.__version__ = "0"
    align: Any = types.ModuleType("models.ops.roi_align.Align1D")
    align.forward, align.backward = roi_align.forward, roi_align.backward
    with checkout(folder, PACKAGES, {"torchvision": vision, align.__name__: align}):
        options = importlib.import_module("opts")
        options.update_cfg_from_file(options.cfg, str(folder / CONFIG))
        options.cfg.update(_overrides(recipe))
        model, criterion, postprocess = importlib.import_module("models").build_model(options.cfg)
    return model, criterion, postprocess


def _overrides(recipe: TadtrRecipe) -> dict[str, Any]:
    """Return upstream's options for a recipe; it fixes 2048 channels, 20 classes and 16 RoI bins itself."""
    return {
        "enc_layers": recipe.encoder_layers,
        "dec_layers": recipe.decoder_layers,
        "dim_feedforward": recipe.ffn_dim,
        "hidden_dim": recipe.hidden_dim,
        "nheads": recipe.attention_heads,
        "enc_n_points": recipe.sampling_points,
        "dec_n_points": recipe.sampling_points,
        "num_queries": recipe.queries,
        "dropout": recipe.dropout,
        "act_reg": recipe.actionness,
    }
