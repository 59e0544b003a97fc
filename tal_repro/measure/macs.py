"""Count multiply-accumulates (MACs) of a model's inference at an input length, with fvcore, without weights or a GPU.

One MAC is one fused multiply-add, which fvcore calls a flop. Element-wise operators, softmax, pooling and hand-written
norms are not counted but listed in `unsupported_ops`. Two forms are counted, both on the module that trains:
upstream's arithmetic, which is what published numbers can be compared with, and this kit's own, which is less.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tal_repro.errors import InputError
from tal_repro.measure.memory import is_out_of_memory, memory_guard
from tal_repro.models import build, model_entry
from tal_repro.models.native_recipe import NativeRecipe
from tal_repro.models.recipes import with_overrides

if TYPE_CHECKING:
    from tal_repro.models.interface import Localizer

MAX_LENGTH = 1_000_000  # steps; above it a length is a slip of the keyboard
# operators that multiply and add and for which fvcore has no count
MULTIPLYING = {
    f"aten::{name}"
    for name in (
        "baddbmm", "addbmm", "addmv", "addr", "bilinear", "cdist", "chain_matmul", "conv_tbc", "dot", "gru", "lstm",
        "mv", "rnn_relu", "rnn_tanh", "scaled_dot_product_attention", "vdot", "_native_multi_head_attention",
        "_transformer_encoder_layer_fwd",
    )
}  # fmt: skip


@dataclass(frozen=True)
class MacCount:
    """MACs of one forward pass over one input, its padding included."""

    model: str
    feature_length: int
    padded_length: int
    max_seq_len: int | None  # None: the model pads nothing
    macs: int
    by_operator: Mapping[str, int]
    unsupported_ops: Mapping[str, int]  # calls that fvcore has no count for


def count_macs(
    model: str, length: int, max_seq_len: int | None = None, upstream_form: bool = True, **overrides: Any
) -> MacCount:
    """Count the MACs of `model` for an input of `length` feature steps.

    `max_seq_len` sets the padding rule (None: the recipe's 2304; published counts used 576); `overrides` replace other
    hyper-parameters. `upstream_form` counts upstream's algorithm, otherwise this kit's. InputError for a bad length.
    """
    if "native" not in model_entry(model).engines:
        raise InputError(f"{model} has no native model to count", remedy="run the experiment `macs` of a study")
    recipe: NativeRecipe = model_entry(model).recipe
    if max_seq_len is not None:
        if recipe.padded_to is None:
            raise InputError(f"{model} does not pad, so max_seq_len means nothing to it", remedy="leave it out")
        _check_length(max_seq_len, "max_seq_len")
        overrides = overrides | {"max_seq_len": max_seq_len}
    _check_length(length, "length")
    recipe = with_overrides(recipe, overrides)
    detector = _build(model, recipe)
    padded = detector.padded_length(length)
    # upstream's form depends on the padded length alone, and padded lengths repeat
    macs, by_operator, unsupported = _count(model, recipe, padded if upstream_form else length, upstream_form)
    return MacCount(model, length, padded, recipe.padded_to, macs, dict(by_operator), dict(unsupported))


def count_module(module: nn.Module, *inputs: Any, handlers: Mapping[str, Any] | None = None) -> tuple[int, Any, Any]:
    """Count any module at given inputs: (MACs, MACs by operator, calls of unsupported operators).

    Outputs of any nesting are traced; only tensors among the inputs can be. `handlers` add to fvcore's operator counts.
    """
    from fvcore.nn import FlopCountAnalysis

    tensors = tuple(x for x in inputs if isinstance(x, Tensor))
    analysis = FlopCountAnalysis(_TensorOutputs(module, inputs), tensors)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle(**dict(handlers or {}))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        total = round(analysis.total())
        by_operator = {name: round(count) for name, count in sorted(analysis.by_operator().items())}
        unsupported = dict(sorted(analysis.unsupported_ops().items()))
    return total, by_operator, unsupported


def uncounted(unsupported: Mapping[str, int]) -> str:
    """Return a warning where operators multiply that are not counted, "" where none does."""
    names = [f"{name} ({calls} calls)" for name, calls in sorted(unsupported.items()) if name in MULTIPLYING]
    return f"the count is too low: {', '.join(names)} multiplies and is not counted" if names else ""


def padded_steps(module: nn.Module, features: Tensor, *inputs: Any) -> int:
    """Return how long a module makes features [1, C, T] before it computes: what the first part that takes them gets.

    T itself where no part takes C channels as they are.
    """
    channels, steps = features.shape[1], list[int]()

    def look(part: nn.Module, given: tuple[Any, ...]) -> None:
        tensors = [value for value in given if isinstance(value, Tensor) and value.dim() in (2, 3)]
        if not steps and tensors and not any(True for _ in part.children()):
            sizes = list(tensors[0].shape[-2:])
            if channels in sizes:
                steps.append(sizes[1 - sizes.index(channels)])

    handles = [part.register_forward_pre_hook(look) for part in module.modules()]
    try:
        with torch.no_grad():
            module(features, *inputs)
    finally:
        for handle in handles:
            handle.remove()
    return steps[0] if steps else features.shape[-1]


class _TensorOutputs(nn.Module):
    """Give the tracer a module from tensors to tensors: fixed other inputs in, nested outputs flattened."""

    def __init__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.module, self.inputs = module, inputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        arguments = [next(given) if isinstance(x, Tensor) else x for x in self.inputs]
        return tuple(_flatten(self.module(*arguments)))


def _flatten(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        outputs = outputs.values()
    return [x for o in outputs for x in _flatten(o)] if isinstance(outputs, list | tuple | type({}.values())) else []


class _Inference(nn.Module):
    """What upstream's evaluation computes up to NMS, as far as fvcore counts it: network and Trident decoding."""

    def __init__(self, detector: Localizer, length: int, upstream_form: bool) -> None:
        super().__init__()
        self.detector = detector
        self.length, self.upstream_form = length, upstream_form

    def forward(self, features: Tensor) -> list[Any]:
        outputs = self.detector(features, torch.tensor([self.length]))
        if self.upstream_form and getattr(self.detector, "trident", False):
            from tal_repro.models.heads import all_offsets

            return [outputs, all_offsets(outputs.starts, outputs.ends, outputs.offsets)]
        return [outputs, self.detector.decode(outputs, torch.tensor([self.length]))]


@lru_cache(maxsize=256)
def _count(
    model: str, recipe: NativeRecipe, length: int, upstream_form: bool
) -> tuple[int, tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    detector = _build(model, recipe)
    detector.upstream_form(upstream_form)
    # upstream's RoIAlign is a compiled operator that fvcore does not see
    handlers = {} if upstream_form else {"aten::embedding_bag": _weighted_rows_macs}
    inference = _Inference(detector, length, upstream_form)
    try:
        with memory_guard():
            features = torch.zeros(1, recipe.feature_dim, length)
            macs, by_operator, unsupported = count_module(inference, features, handlers=handlers)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        what = f"counting {model} at {length} feature steps takes more memory than there is"
        raise InputError(what, remedy="count a shorter input, or use a machine with more memory") from None
    return macs, tuple(by_operator.items()), tuple(unsupported.items())


@lru_cache(maxsize=8)
def _build(model: str, recipe: Any) -> Any:
    """Return the model in evaluation mode; its weights do not matter."""
    import dataclasses

    with torch.random.fork_rng():  # counting must not move the caller's draws
        return build(model, **dataclasses.asdict(recipe)).eval()  # type: ignore[attr-defined]


def _weighted_rows_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count one multiply-add per sampled row and channel."""
    rows, index = inputs[0].type().sizes(), inputs[1].type().sizes()
    return int(rows[1] * math.prod(index))


def _check_length(length: int, name: str) -> None:
    if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= MAX_LENGTH:
        raise InputError(f"{name} {length!r} is not a whole number of feature steps in 1..{MAX_LENGTH}")
