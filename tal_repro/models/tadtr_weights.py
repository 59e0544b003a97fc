"""Where the weights of an upstream TadTR checkpoint go: names in, names out. Called by `upstream_weights`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import Tensor

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.models.tadtr import TadTR

# Upstream keeps the segment heads under two names; the decoder's copy is the same tensor.
ALIAS = re.compile(r"^transformer\.decoder\.(?=segment_embed\.)")

ATTENTION = (
    (r"sampling_offsets\.", "offsets."),
    (r"attention_weights\.", "scores."),
    (r"value_proj\.", "value."),
    (r"output_proj\.", "output."),
)
FEED_FORWARD = ((r"linear1\.", "ffn.expand."), (r"linear2\.", "ffn.contract."))
ENCODER = (*((f"self_attn.{a}", f"attention.{b}") for a, b in ATTENTION), *FEED_FORWARD,
           (r"norm1\.", "attention_norm."), (r"norm2\.", "ffn.norm."))  # fmt: skip
DECODER = (*((f"cross_attn.{a}", f"memory_attention.{b}") for a, b in ATTENTION), *FEED_FORWARD,
           (r"self_attn\.in_proj_", "self_attention.query_key_value."),
           (r"self_attn\.out_proj\.", "self_attention.output."),
           (r"norm1\.", "memory_norm."), (r"norm2\.", "self_norm."), (r"norm3\.", "ffn.norm."))  # fmt: skip
RENAMES = tuple(
    (re.compile("^" + pattern), replacement)
    for pattern, replacement in (
        (r"query_embed\.weight$", "queries"),
        (r"transformer\.level_embed$", "level_embedding"),
        (r"input_proj\.0\.0\.", "input_projection."),
        (r"input_proj\.0\.1\.", "input_norm."),
        (r"transformer\.reference_points\.", "reference."),
        *((rf"transformer\.encoder\.layers\.(\d+)\.{a}", rf"encoder.\1.{b}") for a, b in ENCODER),
        *((rf"transformer\.decoder\.layers\.(\d+)\.{a}", rf"decoder.\1.{b}") for a, b in DECODER),
        (r"class_embed\.(\d+)\.", r"class_heads.\1."),
        # linear layers only here, linear layers and ReLU in turn there
        *((rf"segment_embed\.(\d+)\.layers\.{n}\.", rf"segment_heads.\1.{2 * n}.") for n in range(3)),
        (r"actionness_pred\.", "actionness_head."),
    )
)


def load(model: TadTR, upstream: dict[str, Tensor]) -> None:
    """Copy an upstream state (no prefix) into `model`; InputError names a missing, surplus or mis-shaped key."""
    own, where = model.state_dict(), "checkpoint for tadtr"
    state = native_state(upstream)
    remedy = "give a checkpoint of tadtr built with the same recipe (actionness included)"
    for name in state.keys() - own.keys():
        raise InputError(f"surplus key {name!r}", where, remedy)
    for name in own.keys() - state.keys():
        raise InputError(f"no weights for {name!r}", where, remedy)
    for name, value in state.items():
        if value.shape != own[name].shape:
            sizes = f"{tuple(value.shape)}, the model wants {tuple(own[name].shape)}"
            raise InputError(f"{name!r} has shape {sizes}", where, "build the model with the checkpoint's sizes")
    model.load_state_dict(state)


def native_state(upstream: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename an upstream state (no prefix) for `TadTR.load_state_dict`; an unknown name is kept, to be reported."""
    native: dict[str, Tensor] = {}
    for key, value in upstream.items():
        if ALIAS.match(key):
            _check_alias(upstream, key)
            continue
        name = native_name(key)
        if name in native:
            raise InputError(f"{key!r} and another key are both {name!r}", "checkpoint for tadtr")
        native[name] = value.flatten() if name == "level_embedding" else value  # upstream's is [1, C]
    return native


def native_name(key: str) -> str:
    """Return the native name of an upstream weight, or `key` itself where there is none."""
    key = ALIAS.sub("", key)
    for pattern, replacement in RENAMES:
        renamed, count = pattern.subn(replacement, key)
        if count:
            return renamed
    return key


def _check_alias(upstream: dict[str, Tensor], key: str) -> None:
    original = ALIAS.sub("", key)
    if original not in upstream:
        raise InputError(f"the checkpoint has {key!r} but lacks {original!r}")
    if not upstream[key].equal(upstream[original]):
        raise InputError(f"{key!r} and {original!r} differ, but are one tensor in TadTR")
