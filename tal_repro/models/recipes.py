"""Every hyper-parameter of the four models, and what training with them means, as dataclasses that need no torch.

A recipe is the `recipe` of a RunSpec: it says how a model is built, trained and decoded. Table 1 of the paper is
printed from `TadtrRecipe`. Sources: the papers and the THUMOS14 configurations of the pinned upstream commits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tal_repro.errors import InputError
from tal_repro.models import recipe_checks
from tal_repro.models.native_recipe import Budget, NativeRecipe, Samples, is_multiple, warmup_and_cosine

if TYPE_CHECKING:
    from torch import nn

CHECKPOINT_INTERVAL = 5  # epochs between the checkpoints that ActionFormer and TriDet keep
PATIENCE = 3  # evaluations without a better mAP, each better one giving one back


@dataclass(frozen=True)
class PyramidRecipe(NativeRecipe):
    """Shared by ActionFormer, TriDet and TemporalMaxer; the defaults are ActionFormer's."""

    known_ranges: ClassVar[bool] = True

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

    @property
    def training_length(self) -> int:
        """Return the feature steps of a padded training sample."""
        return self.max_seq_len

    @property
    def padded_to(self) -> int:
        """Return the feature steps that a shorter input is padded to."""
        return self.max_seq_len

    @property
    def patience(self) -> int | None:
        """Return how many evaluations without a better mAP end TemporalMaxer's training; None: it runs to its end."""
        return PATIENCE if self.early_stop else None

    @property
    def first_stopping_epoch(self) -> int:
        """Return the first epoch after which TemporalMaxer evaluates."""
        return max((self.epochs - 5) // 2, 0)

    def authors_multiple(self, name: str) -> int:
        """Return the steps that the authors' code of model `name` wants `max_seq_len` to be a multiple of."""
        window = self.attention_window // 2 * 2 if name == "actionformer" else 1
        return int(2 ** (self.levels - 1)) * max(window, 1)

    def problem(self, name: str) -> tuple[str, str] | None:
        """Return which values do not fit together, or not the encoder of `name`, and the remedy."""
        return recipe_checks.pyramid_problem(name, dataclasses.asdict(self))

    def small(self, name: str) -> Mapping[str, Any]:
        """Return the fields that make a training of seconds of it."""
        sizes = {"epochs": 3, "warmup_epochs": 1, "embed_dim": 16, "head_dim": 16, "max_seq_len": 576}
        # ActionFormer's own code has four times its embedding
        mlp = {"mlp_dim": 64} if name == "actionformer" else {}
        return {**sizes, "pre_nms_topk": 50, "learning_rate": 0.001, **mlp}

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Decay the weights of convolutions and linear layers, and nothing else."""
        from torch import nn

        decayed = {
            id(parameter)
            for module in network.modules()
            if isinstance(module, nn.Linear | nn.Conv1d)
            for name, parameter in module.named_parameters(recurse=False)
            if name == "weight"
        }
        parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for parameter in network.parameters():
            parts[id(parameter) not in decayed].append(parameter)
        rate = self.learning_rate
        return [
            {"params": parts[0], "lr": rate, "weight_decay": self.weight_decay},
            {"params": parts[1], "lr": rate, "weight_decay": 0.0},
        ]

    def learning_rate_at(self, base: float, step: int, steps_per_epoch: int) -> float:
        """Return the rate of a step: a line over the warm-up, then a half cosine."""
        return warmup_and_cosine(base, step, self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch)

    def is_evaluated(self, epoch: int, every: int | None = None) -> bool:
        """Tell whether a training evaluates after `epoch`.

        TemporalMaxer does from the middle on. ActionFormer and TriDet upstream never do while they train, so every
        fifth epoch of the second half stands for the checkpoints that upstream would have kept.
        """
        if self.early_stop:
            return epoch >= self.first_stopping_epoch and is_multiple(epoch, every or 1)
        return epoch >= self.epochs // 2 and is_multiple(epoch, every or CHECKPOINT_INTERVAL)


@dataclass(frozen=True)
class TadtrRecipe(NativeRecipe):
    """TadTR on THUMOS14 with I3D features at stride 8 (paper Table 1; upstream default is 16 epochs)."""

    samples: ClassVar[Samples] = "slices"
    known_ranges: ClassVar[bool] = True

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

    @property
    def training_length(self) -> int:
        """Return the feature steps of a slice."""
        return self.slice_length

    def problem(self, name: str) -> tuple[str, str] | None:
        """Return which values do not fit together, and the remedy."""
        return recipe_checks.tadtr_problem(dataclasses.asdict(self))

    def small(self, name: str) -> Mapping[str, Any]:
        """Return the fields that make a training of seconds of it."""
        return {"epochs": 2, "encoder_layers": 1, "decoder_layers": 1}

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Let sampling offsets and reference points learn more slowly; everything decays."""
        parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        slow = network.slow_parameter_names()  # type: ignore[operator]
        for name, parameter in network.named_parameters():
            parts[name in slow].append(parameter)
        return [
            {"params": parts[0], "lr": self.learning_rate},
            {"params": parts[1], "lr": self.learning_rate * self.slow_lr_factor},
        ]

    def learning_rate_at(self, base: float, step: int, steps_per_epoch: int) -> float:
        """Return the rate of a step: one drop, at the start of an epoch."""
        return base * (self.lr_decay_factor if step >= self.lr_decay_epoch * steps_per_epoch else 1.0)


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


def with_overrides(recipe: Any, overrides: dict[str, Any]) -> Any:
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
        recipe_checks.check_value(name, value, getattr(recipe, name), own=getattr(recipe, "known_ranges", False))
    return dataclasses.replace(recipe, **frozen)


def _freeze(value: Any) -> Any:
    """Turn lists (TOML, JSON) into tuples so that recipes stay hashable."""
    return tuple(_freeze(v) for v in value) if isinstance(value, list | tuple) else value
