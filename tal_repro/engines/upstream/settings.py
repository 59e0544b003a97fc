"""From a recipe to upstream's own settings: a YAML file for the pyramid models, command-line words for TadTR.

A file starts as the authors' THUMOS14 configuration; only what differs from the default recipe is written over it, so
that the paper's run is the authors' run. What upstream cannot be told is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.models.recipes import PyramidRecipe, TadtrRecipe, with_overrides
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.data.layouts import Layout

CONFIG_FILE = {
    "actionformer": "configs/thumos_i3d.yaml",
    "tridet": "configs/thumos_i3d.yaml",
    "temporalmaxer": "configs/temporalmaxer_thumos_i3d.yaml",
    "tadtr": "configs/thumos14_i3d2s_tadtr.yml",
}
INPUT_CONVOLUTIONS = 2  # of the three, as their configurations have it
MLP_EXPANSION = 4  # of ActionFormer's blocks, written into its code
# recipe field -> (section, key or key.key below it) of the YAML file
_PYRAMID: dict[str, tuple[str, str]] = {
    "feature_dim": ("dataset", "input_dim"),
    "num_classes": ("dataset", "num_classes"),
    "max_seq_len": ("dataset", "max_seq_len"),
    "truncation_threshold": ("dataset", "trunc_thresh"),
    "crop_ratio": ("dataset", "crop_ratio"),
    "embed_dim": ("model", "embd_dim"),
    "head_dim": ("model", "head_dim"),
    "regression_ranges": ("model", "regression_range"),
    "loss_normalizer_start": ("train_cfg", "init_loss_norm"),
    "clip_norm": ("train_cfg", "clip_grad_l2norm"),
    "warmup_epochs": ("opt", "warmup_epochs"),
    "learning_rate": ("opt", "learning_rate"),
    "weight_decay": ("opt", "weight_decay"),
    "batch_size": ("loader", "batch_size"),
    "loader_workers": ("loader", "num_workers"),
    "pre_nms_score": ("test_cfg", "pre_nms_thresh"),
    "pre_nms_topk": ("test_cfg", "pre_nms_topk"),
    "min_duration": ("test_cfg", "duration_thresh"),
    "nms_sigma": ("test_cfg", "nms_sigma"),
    "nms_min_score": ("test_cfg", "min_score"),
    "max_detections": ("test_cfg", "max_seg_num"),
}
_OWN: dict[str, dict[str, tuple[str, str]]] = {
    "actionformer": {
        "attention_heads": ("model", "n_head"),
        "attention_window": ("model", "n_mha_win_size"),
        "drop_path": ("train_cfg", "droppath"),
        "center_radius": ("train_cfg", "center_sample_radius"),
    },
    "tridet": {
        "drop_path": ("train_cfg", "droppath"),
        "center_radius": ("train_cfg", "center_sample_radius"),
        "mlp_dim": ("model", "sgp_mlp_dim"),
        "trident_bins": ("model", "num_bins"),
        "input_noise_std": ("model", "input_noise"),
        "iou_weight_power": ("model", "iou_weight_power"),
    },
    "temporalmaxer": {
        "center_radius": ("model", "assigner.center_radius"),
        "cost_class": ("model", "assigner.cls_weight"),
        "cost_iou": ("model", "assigner.iou_weight"),
    },
}
# recipe field -> word of TadTR's configuration
_TADTR = {
    "hidden_dim": "hidden_dim",
    "ffn_dim": "dim_feedforward",
    "encoder_layers": "enc_layers",
    "decoder_layers": "dec_layers",
    "attention_heads": "nheads",
    "queries": "num_queries",
    "dropout": "dropout",
    "actionness": "act_reg",
    "slice_length": "slice_len",
    "train_overlap": "slice_overlap",
    "test_overlap": "test_slice_overlap",
    "cost_class": "set_cost_class",
    "cost_segment": "set_cost_seg",
    "cost_iou": "set_cost_iou",
    "loss_class": "cls_loss_coef",
    "loss_segment": "seg_loss_coef",
    "loss_iou": "iou_loss_coef",
    "loss_actionness": "act_loss_coef",
    "focal_alpha": "focal_alpha",
    "epochs": "epochs",
    "batch_size": "batch_size",
    "learning_rate": "lr",
    "slow_lr_factor": "lr_linear_proj_mult",
    "weight_decay": "weight_decay",
    "clip_norm": "clip_max_norm",
    "detections_per_slice": "postproc_ins_topk",
}


def resolved(model: str, recipe: Mapping[str, Any]) -> Any:
    """Return the typed recipe of a run; raise InputError for what upstream's code cannot be told."""
    entry = model_entry(model)
    full: Any = with_overrides(entry.recipe, dict(recipe))
    if entry.adapter:  # its recipe holds only what its scripts can be told
        return full
    if model == "actionformer":
        _check_mlp(full)
    if model != "tadtr":
        _check_length(model, full)
    for field in dataclasses.fields(full):
        value, default = getattr(full, field.name), getattr(entry.recipe, field.name)
        if value != default and field.name not in settable(model):
            raise InputError(
                f"{field.name} = {value!r}: {entry.title}'s own code cannot be told so (it has {default!r})",
                remedy="use the native engine (--engine native), or leave it at its default",
            )
    return full


def settable(model: str) -> set[str]:
    """Return the fields of a recipe that the authors' code of one of the four can be told."""
    if model == "tadtr":
        return {"epochs", *_TADTR, "sampling_points", "lr_decay_epoch", "loader_workers"}
    # mlp_dim: by its embedding; a recipe must say the size that is built
    by_blocks = {"actionformer": {"levels", "stem_blocks", "mlp_dim"}, "tridet": {"levels", "stem_blocks"}}
    return {"epochs", *_PYRAMID, *_OWN[model], *by_blocks.get(model, {"levels"})}


def _check_mlp(recipe: PyramidRecipe) -> None:
    """Raise InputError for another size between ActionFormer's two layers than its code makes."""
    if recipe.mlp_dim != (size := MLP_EXPANSION * recipe.embed_dim):
        raise InputError(
            f"mlp_dim = {recipe.mlp_dim}: ActionFormer's own code makes it {MLP_EXPANSION} times embed_dim",
            remedy=f"set mlp_dim = {size}, or use the native engine",
        )


def _check_length(model: str, recipe: PyramidRecipe) -> None:
    """Raise InputError unless every level of the authors' pyramid comes out even (their code asserts it)."""
    divisor = recipe.authors_multiple(model)
    if recipe.max_seq_len % divisor:
        raise InputError(
            f"max_seq_len = {recipe.max_seq_len}: the authors' code wants a multiple of {divisor}",
            remedy=f"set max_seq_len = {max(recipe.max_seq_len // divisor, 1) * divisor}, or use the native engine",
        )


def write_config(tree: Path, model: str, recipe: PyramidRecipe, layout: Layout, seed: int, out: Path) -> Path:
    """Write the YAML configuration of a pyramid model's run to `out`/config.yaml and return its path.

    `layout`: ActionFormer's; that of a defined set says its stride and clip.
    """
    import yaml

    with (tree / CONFIG_FILE[model]).open(encoding="utf-8") as stream:
        config = yaml.safe_load(stream)
    default = model_entry(model).recipe
    for field, (section, key) in {**_PYRAMID, **_OWN[model]}.items():
        if getattr(recipe, field) != getattr(default, field):
            _put(config.setdefault(section, {}), key, _yaml(getattr(recipe, field)))
    if recipe.embed_dim != default.embed_dim:
        config["model"]["fpn_dim"] = recipe.embed_dim
    if _blocks(model, recipe) != _blocks(model, default):
        config["model"]["backbone_arch"] = _blocks(model, recipe)
    return write_pyramid(config, recipe, layout, seed, out)


def _blocks(model: str, recipe: PyramidRecipe) -> list[int]:
    """Return the authors' `backbone_arch`: convolutions at the input, blocks before the pyramid, levels above them."""
    stem = [] if model == "temporalmaxer" else [recipe.stem_blocks]
    return [INPUT_CONVOLUTIONS, *stem, recipe.levels - 1]


def write_pyramid(config: dict[str, Any], recipe: Any, layout: Layout, seed: int, out: Path) -> Path:
    """Write the configuration of ActionFormer's family with a run's epochs, data, seed and folder; return its path."""
    import yaml

    config["opt"]["epochs"] = recipe.epochs - recipe.warmup_epochs  # upstream counts the warm-up apart
    config["dataset"]["json_file"] = str(layout.annotation_file.absolute())
    config["dataset"]["feat_folder"] = str(layout.feature_folder.absolute())
    if layout.defined:
        config["dataset"] |= {"feat_stride": layout.definition.stride, "num_frames": layout.definition.clip}
    config["init_rand_seed"] = seed
    config["output_folder"] = str(out / "checkpoints")
    path = out / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def tadtr_words(recipe: TadtrRecipe, out: Path) -> list[str]:
    """Return TadTR's configuration words (`key value ...`) of a run."""
    words: dict[str, Any] = {key: getattr(recipe, field) for field, key in _TADTR.items()}
    words["enc_n_points"] = words["dec_n_points"] = recipe.sampling_points
    words["lr_step"] = [recipe.lr_decay_epoch]
    words["output_dir"] = str(out)
    return [word for key, value in words.items() for word in (key, str(value))]


def _put(section: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, or one below it (`assigner.center_radius`)."""
    first, _, rest = key.partition(".")
    if rest:
        _put(section.setdefault(first, {}), rest, value)
    else:
        section[first] = value


def _yaml(value: Any) -> Any:
    return [_yaml(item) for item in value] if isinstance(value, tuple) else value
