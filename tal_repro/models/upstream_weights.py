"""Upstream checkpoints into native models: which parameter is called what, and nothing missing or left over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from tal_repro.models.interface import Localizer
    from tal_repro.models.tadtr import TadTR

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# pattern of an upstream name -> native name; the first that matches is taken
_ATTENTION = r"attn\.(query|key|value)"
_SHARED = (
    (r"backbone\.embd\.(\d+)\.conv\.(\w+)", r"embed.\1.conv.\2"),
    (r"backbone\.embd_norm\.(\d+)\.(\w+)", r"embed.\1.norm.\2"),
    (r"neck\.fpn_norms\.(\d+)\.(\w+)", r"encoder.level_norms.\1.\2"),
    (r"(\w+)_head\.head\.(\d+)\.conv\.(\w+)", r"\1.hidden.\2.conv.\3"),
    (r"(\w+)_head\.norm\.(\d+)\.(\w+)", r"\1.hidden.\2.norm.\3"),
    (r"(\w+)_head\.(?:cls|offset)_head\.conv\.(\w+)", r"\1.output.\2"),
    (r"reg_head\.scale\.(\d+)\.scale", r"offset_scales.\1"),
)
_HEADS = {"cls": "classifier", "reg": "regressor", "start": "start_head", "end": "end_head"}
_BLOCKS = {
    "actionformer": (
        (_ATTENTION + r"_conv\.conv\.(\w+)", r"attention.\1.depthwise.\2"),
        (_ATTENTION + r"_norm\.(\w+)", r"attention.\1.norm.\2"),
        (_ATTENTION + r"\.(\w+)", r"attention.\1.pointwise.\2"),
        (r"attn\.proj\.(\w+)", r"attention.output.\1"),
        (r"ln1\.(\w+)", r"norm_attention.\1"),
        (r"ln2\.(\w+)", r"norm_mlp.\1"),
        (r"mlp\.0\.(\w+)", r"mlp_in.\1"),
        (r"mlp\.3\.(\w+)", r"mlp_out.\1"),
        (r"drop_path_attn\.scale", r"residual_attention.scale"),
        (r"drop_path_mlp\.scale", r"residual_mlp.scale"),
    ),
    "tridet": (
        (r"ln\.(\w+)", r"norm.\1"),
        (r"gn\.(\w+)", r"group_norm.\1"),
        (r"psi\.(\w+)", r"window_gate.\1"),
        (r"fc\.(\w+)", r"instant.\1"),
        (r"convw\.(\w+)", r"window.\1"),
        (r"convkw\.(\w+)", r"wide_window.\1"),
        (r"global_fc\.(\w+)", r"global_gate.\1"),
        (r"mlp\.0\.(\w+)", r"mlp_in.\1"),
        (r"mlp\.2\.(\w+)", r"mlp_out.\1"),
        (r"drop_path_out\.scale", r"residual.scale"),
        (r"drop_path_mlp\.scale", r"residual_mlp.scale"),
    ),
    "temporalmaxer": (),
}


def native_name(model: str, upstream: str) -> str | None:
    """Return the native name of an upstream parameter of a pyramid detector, None if it has none."""
    block = re.fullmatch(r"backbone\.(stem|branch)\.(\d+)\.(.+)", upstream)
    if block:
        inner = _rename(_BLOCKS[model], block[3])
        return None if inner is None else f"encoder.{block[1]}.{block[2]}.{inner}"
    name = _rename(_SHARED, upstream)
    head, _, rest = (name or "").partition(".")
    return f"{_HEADS[head]}.{rest}" if head in _HEADS else name


def _rename(rules: Iterable[tuple[str, str]], name: str) -> str | None:
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def select_state(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights in a state dict or a whole checkpoint (its EMA weights if it has any), prefixes stripped."""
    if not isinstance(state, Mapping):
        raise InputError(f"holds {type(state).__name__}, not a mapping of weights", "checkpoint")
    for key in ("state_dict_ema", "state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
            break
    for name in state:
        if not isinstance(name, str):
            raise InputError(f"key {name!r} is {type(name).__name__}, not a name", "checkpoint")
    while state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{name!r} holds {type(value).__name__}, not a tensor", "checkpoint")
    return dict(state)


def load(model: Localizer, state: Mapping[str, Any]) -> None:
    """Load an upstream checkpoint into `model`, whole or not at all.

    Raises InputError for a missing, surplus or mis-shaped key, and for one that holds no finite real numbers.
    """
    weights = select_state(state)
    module: Any = model
    most = sum(parameter.numel() for parameter in module.parameters())
    for name, value in weights.items():
        _check_values(name, value, most)
    if model.name == "tadtr":
        from tal_repro.models import tadtr_weights

        tadtr_weights.load(cast("TadTR", model), weights)
        return
    own = dict(module.named_parameters())
    upstream_name: dict[str, str] = {}
    for name in weights:
        native = native_name(model.name, name)
        if native is None or native not in own:
            raise InputError(f"surplus key {name!r}", f"checkpoint for {model.name}", _remedy(model.name))
        if native in upstream_name:
            raise InputError(f"{upstream_name[native]!r} and {name!r} are one weight", f"checkpoint for {model.name}")
        upstream_name[native] = name
    missing = sorted(set(own) - set(upstream_name))
    if missing:
        raise InputError(f"no weights for {missing[0]!r}", f"checkpoint for {model.name}", _remedy(model.name))
    for native, name in upstream_name.items():
        _check_shape(name, weights[name], own[native])
    with torch.no_grad():
        for native, name in upstream_name.items():
            own[native].copy_(weights[name].reshape(own[native].shape))


def _remedy(model: str) -> str:
    return f"give a checkpoint of {model} built with the same recipe"


def _check_values(name: str, value: Tensor, most: int) -> None:
    if value.numel() > most:  # before they are looked at: a file of a few bytes can claim any number of them
        raise InputError(f"{name!r} has shape {tuple(value.shape)}, more than the whole model", "checkpoint")
    if value.dtype not in REAL or value.layout != torch.strided or value.is_meta:
        kind = "without content" if value.is_meta else str(value.layout).removeprefix("torch.")
        raise InputError(
            f"{name!r} is {value.dtype} ({kind})", "checkpoint", "weights are plain tensors of 16, 32 or 64-bit floats"
        )
    if not torch.isfinite(value.float()).all():  # as the model will hold it
        raise InputError(f"{name!r} holds NaN or infinity", "checkpoint", "take one saved before the training diverged")


def _check_shape(name: str, value: Tensor, parameter: Tensor) -> None:
    # upstream keeps norm and scale vectors as [1, C, 1]
    vector = parameter.ndim == 1 and tuple(value.shape) in {(len(parameter),), (1, len(parameter), 1)}
    if value.shape != parameter.shape and not vector:
        raise InputError(
            f"{name!r} has shape {tuple(value.shape)}, the model wants {tuple(parameter.shape)}",
            "checkpoint",
            "build the model with the checkpoint's sizes",
        )
