"""Dropout that draws 16 random bits per element on a CPU, where torch draws a whole variate at 4 times the cost."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LEVELS = 1 << 16  # the drop probability is rounded to a multiple of 1 / LEVELS, and the scale follows it exactly


class Dropout(nn.Module):
    """`nn.Dropout` with the same distribution up to 2^-17 in the probability, alone or fused with its neighbour."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"dropout {probability} is not in [0, 1)")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Zero each element of `x` with the given probability and scale the others; in eval mode return `x`."""
        return x * self._mask(x) if self._active() else x

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return `residual + dropout(x)` in one pass."""
        return torch.addcmul(residual, x, self._mask(x)) if self._active() else residual + x

    def relu(self, x: Tensor) -> Tensor:
        """Return `dropout(relu(x))`; the gradient needs no more than the result."""
        if not self._active():
            return F.relu(x, inplace=not torch.is_grad_enabled())
        result: Tensor = _ReluMask.apply(x, self._mask(x), self.scale)  # type: ignore[no-untyped-call]
        return result

    @property
    def scale(self) -> float:
        """Return what the kept elements are multiplied by."""
        return LEVELS / (LEVELS - round(self.probability * LEVELS))

    def _active(self) -> bool:
        return self.training and self.probability > 0

    def _mask(self, x: Tensor) -> Tensor:
        """Return 0 or the scale for each element, from torch's default generator."""
        if x.device.type != "cpu":
            return F.dropout(torch.ones_like(x), self.probability)
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        # whole numbers from -2^15 up: those below the first level kept become 0, the others 1; faster than comparing
        first_kept = round(self.probability * LEVELS) - LEVELS // 2
        mask = bits.float().sub_(first_kept - 1).clamp_(0, 1).mul_(self.scale)
        return mask.to(x.dtype)


class _ReluMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        result = x.relu().mul_(mask)
        ctx.save_for_backward(result)
        ctx.scale = scale
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # what is positive now was positive before and has been kept
        (result,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(grad, result, 0)
        return passed.mul_(ctx.scale), None, None
