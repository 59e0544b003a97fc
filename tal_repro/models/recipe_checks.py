"""What the values of a recipe may be: kinds, ranges, and what must fit together. Asked wherever a recipe is read.

Needs no torch, so that a wrong value is told when a study is planned and not hours later in the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.models.native_recipe import NativeRecipe

MOST = 2**31 - 1  # of any whole number
MAX_LEVELS = 16  # the coarsest stride is 2 ** (levels - 1) feature steps
GROUPS = {"tridet": ("TriDet's", 16), "temporalmaxer": ("TemporalMaxer's", 4)}  # of the normalisation
TADTR_GROUPS = 32
BUDGETS = ("epochs", "steps")

FROM_ONE = ("feature_dim", "num_classes", "epochs", "batch_size")  # of a model beyond the four too
_OWN_FROM_ONE = (
    "embed_dim", "head_dim", "max_seq_len", "attention_heads", "attention_window", "mlp_dim", "trident_bins",
    "pre_nms_topk", "max_detections", "hidden_dim", "ffn_dim", "encoder_layers", "decoder_layers", "sampling_points",
    "queries", "roi_bins", "slice_length", "detections_per_slice",
)  # fmt: skip
_SHARES = (
    "ema_decay", "loss_normalizer_momentum", "truncation_threshold", "pre_nms_score",
    "nms_min_score", "nms_iou", "focal_alpha", "min_inside", "lr_decay_factor",
)  # fmt: skip
_BELOW_ONE = ("train_overlap", "test_overlap", "drop_path", "dropout")  # what is kept is divided by 1 - drop
_POSITIVE = ("learning_rate", "roi_scale", "nms_sigma", "loss_normalizer_start", "center_radius")
_NOT_NEGATIVE = (
    "stem_blocks", "warmup_epochs", "loader_workers", "lr_decay_epoch", "input_noise_std", "focal_gamma",
    "iou_weight_power", "cost_class", "cost_iou", "cost_segment", "loss_class", "loss_segment", "loss_iou",
    "loss_actionness", "weight_decay", "slow_lr_factor", "clip_norm", "min_duration",
)  # fmt: skip


def check_value(name: str, value: Any, default: Any, own: bool) -> None:
    """Raise InputError for a hyper-parameter of another kind than its default, or out of its range.

    A whole number may stand for a real one. `own`: of the four models, whose every range is known.
    """
    if isinstance(value, int | float) and not -MOST <= value <= MOST:  # nan too
        raise InputError(
            f"{name} = {value!r}", None, f"use a finite number of at most {MOST}; the default is {name} = {default!r}"
        )
    if (
        default is not None
        and type(value) is not type(default)
        and not (isinstance(default, float) and type(value) is int)
    ):
        kind = type(default).__name__.replace("tuple", "list")
        raise InputError(f"{name} = {value!r} is not a {kind}", None, f"the default is {name} = {default!r}")
    if (wrong := _out_of_range(name, value, own)) is not None:
        raise InputError(f"{name} = {value!r}", None, wrong)


def _out_of_range(name: str, value: Any, own: bool) -> str | None:
    """Return what is allowed in the place of a value, None where it is."""
    if name in FROM_ONE or (own and name in _OWN_FROM_ONE):
        return None if value >= 1 else "use a whole number of 1 or more"
    if not own:
        return None
    if name == "levels":
        return None if 1 <= value <= MAX_LEVELS else f"use a whole number from 1 to {MAX_LEVELS}"
    if name in _SHARES:
        return None if 0 <= value <= 1 else "use a number from 0 to 1"
    if name in _BELOW_ONE:
        return None if 0 <= value < 1 else "use a number from 0 to below 1"
    if name in _POSITIVE:
        return None if value > 0 else "use a number above 0"
    if name in _NOT_NEGATIVE:
        return None if value >= 0 else "use a number of 0 or more"
    if name == "budget":
        return None if value in BUDGETS else f"use one of: {', '.join(BUDGETS)}"
    if name == "crop_ratio":
        fits = _is_pair(value) and 0 < value[0] <= value[1] <= 1
        return None if fits else "use [low, high] with 0 < low <= high <= 1"
    if name == "regression_ranges":
        fits = bool(value) and all(_is_pair(pair) and 0 <= pair[0] < pair[1] for pair in value)
        return None if fits else "use a list of [low, high] with 0 <= low < high, one for each level"
    return None


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(x, int | float) and not isinstance(x, bool) and -MOST <= x <= MOST for x in value)
    )


def check_recipe(model: str, recipe: NativeRecipe) -> None:
    """Raise InputError where the values of a whole recipe do not fit together, or not the model's network."""
    if problem := recipe.problem(model):
        raise InputError(problem[0], f"recipe of {model}", problem[1])


def pyramid_problem(model: str, values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return which values of a pyramid model's recipe do not fit together, and the remedy."""
    levels, ranges, width, heads = (
        values[name] for name in ("levels", "regression_ranges", "embed_dim", "attention_heads")
    )
    if len(ranges) != levels:
        return f"{len(ranges)} regression_ranges for {levels} levels", "give regression_ranges a pair for each level"
    coarsest = 2 ** (levels - 1)
    if values["max_seq_len"] % coarsest:
        problem = f"max_seq_len {values['max_seq_len']} is not a multiple of the coarsest stride {coarsest}"
        return problem, f"use a multiple of {coarsest}"
    if model == "actionformer" and values["attention_window"] < 2:  # upstream reads 1 as: no window at all
        return f"attention_window {values['attention_window']} reaches no neighbour", "use a whole number of 2 or more"
    if model == "actionformer" and width % heads:
        return f"embed_dim {width} is not a multiple of {heads} attention_heads", f"use a multiple of {heads}"
    whose, groups = GROUPS.get(model, ("", 1))
    if width % groups:
        return f"embed_dim {width} is not a multiple of {whose} {groups} groups", f"use a multiple of {groups}"
    return None


def tadtr_problem(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return which values of TadTR's recipe do not fit together, and the remedy."""
    for what, by in ((f"{values['attention_heads']} attention_heads", values["attention_heads"]),
                     (f"TadTR's {TADTR_GROUPS} groups", TADTR_GROUPS)):  # fmt: skip
        if values["hidden_dim"] % by:
            return f"hidden_dim {values['hidden_dim']} is not a multiple of {what}", f"use a multiple of {by}"
    for name in ("train_overlap", "test_overlap"):
        if int(values["slice_length"] * (1 - values[name])) < 1:
            what = f"{name} {values[name]} leaves no step between slices of {values['slice_length']} steps"
            return what, "use a smaller overlap, or a larger slice_length"
    return None
