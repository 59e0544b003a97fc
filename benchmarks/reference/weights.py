"""Weights and inputs made from a name and a seed, so that goldens need to store neither."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn


def draw(name: str, seed: int, *shape: int) -> Tensor:
    """Return standard normal numbers [shape] (float32) that depend on `name`, `seed` and the count alone."""
    digest = hashlib.sha256(f"{name}/{seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(shape, generator=generator)


def named_weight(name: str, seed: int, parameter: Tensor) -> Tensor:
    """Return a value for a parameter that exercises it: kernels by fan-in, norms about 1, scales 0.3, biases 0.1."""
    shape = tuple(parameter.shape)
    values = draw(name, seed, *shape)
    if name.endswith("scale") or "scales" in name:
        return 1 + 0.2 * values if parameter.ndim == 0 else 0.3 * values
    if parameter.ndim >= 2:
        return values * (1.5 / math.sqrt(math.prod(shape[1:])))
    if name.endswith("weight"):
        return 1 + 0.2 * values
    return 0.1 * values


def set_named_weights(model: nn.Module, seed: int) -> None:
    """Overwrite every parameter of a native model by `named_weight`."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(named_weight(name, seed, parameter))
