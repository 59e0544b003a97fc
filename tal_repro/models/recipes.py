"""Every hyper-parameter of the four models, as frozen dataclasses that need no torch.

A recipe is the `recipe` of a RunSpec: it says how a model is built, trained and decoded. Table 1 of the paper is
printed from `TadtrRecipe`. Sources: the papers and the THUMOS14 configurations of the pinned upstream commits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from tal_repro.errors import InputError
from tal_repro.models.recipe_checks import check_value

Budget = Literal["epochs", "steps"]


@dataclass(frozen=True)
class PyramidRecipe:
    """Shared by ActionFormer, TriDet and TemporalMaxer; the defaults are ActionFormer's."""

    # architecture
    feature_dim: int = 2048
    num_classes: int = 20
    embed_dim: int = 512
    head_dim: int = 512
    max_seq_len: int = 2304
    levels: int = 6  # strides 1, 2, 4, ... in feature steps
    stem_blocks: int = 2
    attention_heads: int = 4
    attention_window: int = 19  # centred, in steps of the level
    mlp_dim: int = 2048
    drop_path: float = 0.1
    regression_ranges: tuple[tuple[float, float], ...] = (
        (0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000),
    )  # fmt: skip
    trident_bins: int = 16  # TriDet only
    input_noise_std: float = 0.0  # TriDet: 5e-4, in training
    # targets and losses
    center_radius: float = 1.5  # in strides
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    iou_weight_power: float = 0.0  # TriDet: 0.2
    cost_class: float = 1.0  # TemporalMaxer only: a point regresses to the action of lowest cost
    cost_iou: float = 2.0  # TemporalMaxer only
    loss_normalizer_start: float = 100.0
    loss_normalizer_momentum: float = 0.9
    # optimisation
    epochs: int = 35  # warm-up included
    warmup_epochs: int = 5
    batch_size: int = 2
    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    early_stop: bool = False  # TemporalMaxer: evaluate from epoch (epochs - 5) // 2, stop at 3 without a better mAP
    budget: Budget = "epochs"  # "steps": every subset gets the optimizer steps of the whole training set
    # augmentation
    crop_ratio: tuple[float, float] = (0.9, 1.0)
    truncation_threshold: float = 0.5
    # decoding
    pre_nms_score: float = 0.001
    pre_nms_topk: int = 2000  # per level
    min_duration: float = 0.05  # in feature steps
    nms_sigma: float = 0.5
    nms_min_score: float = 0.001
    max_detections: int = 200  # per video; TriDet 2000
    loader_workers: int = 4  # upstream's draws depend on it; native's do not, and native leaves it out of the run id


@dataclass(frozen=True)
class TadtrRecipe:
    """TadTR on THUMOS14 with I3D features at stride 8 (paper Table 1; upstream default is 16 epochs)."""

    # architecture
    feature_dim: int = 2048
    num_classes: int = 20
    hidden_dim: int = 256
    ffn_dim: int = 1024
    encoder_layers: int = 4
    decoder_layers: int = 4
    attention_heads: int = 8
    sampling_points: int = 4
    queries: int = 40
    dropout: float = 0.1
    actionness: bool = True  # RoIAlign branch
    roi_bins: int = 16
    roi_scale: float = 1.5
    # slices
    slice_length: int = 128
    train_overlap: float = 0.75
    test_overlap: float = 0.25
    min_inside: float = 0.75
    # matching and losses
    cost_class: float = 6.0
    cost_segment: float = 5.0
    cost_iou: float = 2.0
    loss_class: float = 2.0
    loss_segment: float = 5.0
    loss_iou: float = 2.0
    loss_actionness: float = 4.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    # optimisation
    epochs: int = 15  # the paper's Table 1; upstream's default is 16
    lr_decay_epoch: int = 14
    lr_decay_factor: float = 0.1
    batch_size: int = 16
    learning_rate: float = 2e-4
    slow_lr_factor: float = 0.1  # sampling offsets and reference points
    weight_decay: float = 1e-4
    clip_norm: float = 0.1
    ema_decay: float = 0.0  # none
    budget: Budget = "epochs"
    # decoding
    detections_per_slice: int = 100
    nms_iou: float = 0.4  # across overlapping slices only
    max_detections: int = 200
    loader_workers: int = 2


Recipe = PyramidRecipe | TadtrRecipe

ACTIONFORMER = PyramidRecipe()
TRIDET = dataclasses.replace(
    ACTIONFORMER,
    mlp_dim=768,
    input_noise_std=5e-4,
    iou_weight_power=0.2,
    epochs=40,
    warmup_epochs=20,
    weight_decay=0.025,
    max_detections=2000,
)
TEMPORALMAXER = dataclasses.replace(ACTIONFORMER, stem_blocks=0, epochs=65, early_stop=True)
TADTR = TadtrRecipe()


def with_overrides(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """Return `recipe` with named fields replaced; raise InputError for an unknown name or an impossible value."""
    known = {f.name for f in dataclasses.fields(recipe)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise InputError(
            f"unknown hyper-parameter {unknown[0]!r} for {type(recipe).__name__}",
            remedy=f"use one of: {', '.join(sorted(known))}",
        )
    frozen = {k: _freeze(v) for k, v in overrides.items()}
    for name, value in frozen.items():
        check_value(name, value, getattr(recipe, name), own=isinstance(recipe, PyramidRecipe | TadtrRecipe))
    return dataclasses.replace(recipe, **frozen)


def _freeze(value: Any) -> Any:
    """Turn lists (TOML, JSON) into tuples so that recipes stay hashable."""
    return tuple(_freeze(v) for v in value) if isinstance(value, list | tuple) else value
