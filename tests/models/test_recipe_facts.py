"""Every default of the four recipes, typed in again from what was measured and read of the authors' code.

Each row says where: "9.1" the networks, "9.2" targets, losses and optimisation, "9.3" inference, of the notes on the
authors' THUMOS14 runs; a file name is that of the authors' configuration; "kit" is a choice of the kit's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tal_repro.models import build, recipes
from tal_repro.models.native_recipe import NativeRecipe

Row = tuple[str, Any, str]

PYRAMID: tuple[Row, ...] = (
    ("feature_dim", 2048, "9.1 input"),
    ("num_classes", 20, "9.1 heads"),
    ("embed_dim", 512, "9.1 embedding"),
    ("head_dim", 512, "9.1 heads"),
    ("max_seq_len", 2304, "9.1 input"),
    ("levels", 6, "9.1 levels"),
    ("stem_blocks", 2, "9.1 backbone"),
    ("attention_heads", 4, "9.1 backbone"),
    ("attention_window", 19, "9.1 backbone"),
    ("mlp_dim", 2048, "9.1 backbone"),
    ("drop_path", 0.1, "9.1 backbone"),
    ("regression_ranges", ((0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000)), "9.1 regression ranges"),
    ("trident_bins", 16, "9.1 heads (16 neighbours)"),
    ("input_noise_std", 0.0, "9.1 input"),
    ("center_radius", 1.5, "9.2 assignment"),
    ("focal_alpha", 0.25, "9.2 losses"),
    ("focal_gamma", 2.0, "9.2 losses"),
    ("iou_weight_power", 0.0, "9.2 losses"),
    ("cost_class", 1.0, "9.2 assignment"),
    ("cost_iou", 2.0, "9.2 assignment"),
    ("loss_normalizer_start", 100.0, "9.2 losses"),
    ("loss_normalizer_momentum", 0.9, "9.2 losses"),
    ("epochs", 35, "9.2 schedule"),
    ("warmup_epochs", 5, "9.2 schedule"),
    ("batch_size", 2, "9.2 batch"),
    ("learning_rate", 1e-4, "9.2 optimizer"),
    ("weight_decay", 0.05, "9.2 optimizer"),
    ("clip_norm", 1.0, "9.2 clip"),
    ("ema_decay", 0.999, "9.2 EMA"),
    ("early_stop", False, "9.2 schedule"),
    ("budget", "epochs", "kit; 10.1: epochs are fixed"),
    ("crop_ratio", (0.9, 1.0), "9.2 augmentation"),
    ("truncation_threshold", 0.5, "9.2 augmentation"),
    ("pre_nms_score", 0.001, "9.3 pre-NMS"),
    ("pre_nms_topk", 2000, "9.3 pre-NMS"),
    ("min_duration", 0.05, "9.3 pre-NMS"),
    ("nms_sigma", 0.5, "9.3 NMS"),
    ("nms_min_score", 0.001, "9.3 NMS"),
    ("max_detections", 200, "9.3 kept"),
    ("loader_workers", 4, "libs/core/config.py"),
)
TRIDET: tuple[Row, ...] = (
    ("mlp_dim", 768, "9.1 backbone"),
    ("input_noise_std", 5e-4, "9.1 input"),
    ("iou_weight_power", 0.2, "9.2 losses"),
    ("epochs", 40, "9.2 schedule"),
    ("warmup_epochs", 20, "9.2 schedule"),
    ("weight_decay", 0.025, "9.2 optimizer"),
    ("max_detections", 2000, "9.3 kept"),
)
TEMPORALMAXER: tuple[Row, ...] = (
    ("stem_blocks", 0, "9.1 backbone"),
    ("epochs", 65, "9.2 schedule"),
    ("early_stop", True, "9.2 schedule"),
)
TADTR: tuple[Row, ...] = (
    ("feature_dim", 2048, "9.1 input"),
    ("num_classes", 20, "9.3 top 100 of 800 pairs"),
    ("hidden_dim", 256, "9.1 embedding"),
    ("ffn_dim", 1024, "9.1 backbone"),
    ("encoder_layers", 4, "9.1 backbone"),
    ("decoder_layers", 4, "9.1 backbone"),
    ("attention_heads", 8, "9.1 backbone"),
    ("sampling_points", 4, "9.1 backbone"),
    ("queries", 40, "9.1 backbone"),
    ("dropout", 0.1, "9.1 backbone"),
    ("actionness", True, "9.1 parameters (act_reg)"),
    ("roi_bins", 16, "9.1 heads"),
    ("roi_scale", 1.5, "9.1 heads"),
    ("slice_length", 128, "9.1 input"),
    ("train_overlap", 0.75, "9.2 augmentation"),
    ("test_overlap", 0.25, "9.3 NMS"),
    ("min_inside", 0.75, "9.2 augmentation"),
    ("cost_class", 6.0, "9.2 assignment"),
    ("cost_segment", 5.0, "9.2 assignment"),
    ("cost_iou", 2.0, "9.2 assignment"),
    ("loss_class", 2.0, "9.2 losses"),
    ("loss_segment", 5.0, "9.2 losses"),
    ("loss_iou", 2.0, "9.2 losses"),
    ("loss_actionness", 4.0, "9.2 losses"),
    ("focal_alpha", 0.25, "opts.py"),
    ("focal_gamma", 2.0, "the focal loss of Lin et al., 2017"),
    ("epochs", 15, "9.2 schedule (the paper's table; the authors' default is 16)"),
    ("lr_decay_epoch", 14, "9.2 schedule"),
    ("lr_decay_factor", 0.1, "9.2 schedule"),
    ("batch_size", 16, "9.2 batch"),
    ("learning_rate", 2e-4, "9.2 optimizer"),
    ("slow_lr_factor", 0.1, "9.2 optimizer"),
    ("weight_decay", 1e-4, "9.2 optimizer"),
    ("clip_norm", 0.1, "9.2 clip"),
    ("ema_decay", 0.0, "9.2 EMA"),
    ("budget", "epochs", "kit; 10.1: epochs are fixed"),
    ("detections_per_slice", 100, "9.3 pre-NMS"),
    ("nms_iou", 0.4, "9.3 NMS"),
    ("max_detections", 200, "9.3 kept"),
    ("loader_workers", 2, "opts.py"),
)


@pytest.mark.parametrize(
    ("recipe", "rows"),
    [
        pytest.param(recipes.ACTIONFORMER, PYRAMID, id="actionformer"),
        pytest.param(recipes.TRIDET, (*PYRAMID, *TRIDET), id="tridet"),
        pytest.param(recipes.TEMPORALMAXER, (*PYRAMID, *TEMPORALMAXER), id="temporalmaxer"),
        pytest.param(recipes.TADTR, TADTR, id="tadtr"),
    ],
)
def test_every_default_is_the_authors(recipe: NativeRecipe, rows: tuple[Row, ...]) -> None:
    expected = {name: value for name, value, _ in rows}  # a later row is the model's own
    assert dataclasses.asdict(recipe) == expected


@pytest.mark.parametrize(("model", "name"), [("actionformer", "drop_path"), ("tadtr", "dropout")])
def test_nothing_can_be_dropped_altogether(model: str, name: str) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        build(model, **{name: 1.0})
