"""Layers that the three pyramid detectors share: masked channel norms, group norm over a run, scaled residuals."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.levels import Level, total_sum

HALF = (torch.bfloat16, torch.float16)


def widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in float32, others as they are."""
    return x.float() if x.dtype in HALF else x


EPSILON = 1e-5


def _normalise(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x - mean) / std over channels, zero where `mask` is, and the masked 1 / std."""
    # plain passes: on a CPU torch.var_mean over a strided dimension takes 50 times as long, addcmul 3 times
    centred = x - x.mean(dim=1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + EPSILON) * mask
    return centred.mul_(scale), scale


def _affine(normal: Tensor, weight: Tensor, bias: Tensor, relu: bool, zeroed: Tensor | None) -> Tensor:
    out = (normal * weight[:, None]).add_(bias[:, None])
    if relu:
        out = out.relu_()
    if zeroed is not None:
        out.index_fill_(-1, zeroed, 0)
    return out


class _MaskedNorm(torch.autograd.Function):
    """Mask, layer norm over channels, affine, ReLU in one node: half the memory traffic of the separate layers."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, relu: bool, zeroed: Tensor | None
    ) -> Tensor:
        normal, scale = _normalise(x, mask)
        out = _affine(normal, weight, bias, relu, zeroed)
        ctx.save_for_backward(normal, scale, weight, *([out] if relu else []))
        ctx.zeroed = zeroed
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        normal, scale, weight, *rest = ctx.saved_tensors
        grad = grads[0]
        if rest:
            grad = torch.ops.aten.threshold_backward(grad, rest[0], 0)
        elif ctx.zeroed is not None:
            grad = grad.index_fill(-1, ctx.zeroed, 0)
        product = grad * normal
        grad_weight, grad_bias = product.sum((0, 2)), grad.sum((0, 2))
        row = weight[None] / weight.numel()
        inner, mean = row @ product, row @ grad
        grad_x = (grad * weight[:, None]).sub_(mean).sub_(torch.mul(normal, inner, out=product)).mul_(scale)
        return grad_x, None, grad_weight, grad_bias, None, None


class MaskedNorm(nn.Module):
    """Zero the columns behind the video, normalise each column over its channels, optionally apply ReLU.

    Behind the video the result is the (rectified) bias, as in upstream, where convolutions can see it. `zeroed` columns
    [n] become 0 afterwards. Half-precision input is normalised in float32.
    """

    def __init__(self, channels: int, relu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.relu = relu

    def forward(self, x: Tensor, mask: Tensor, zeroed: Tensor | None = None) -> Tensor:
        """Map [B, C, T] to [B, C, T]; `mask` is [B, 1, T] or a scalar tensor 1."""
        low, wide = x.dtype in HALF, widened(x)
        with torch.autocast(x.device.type, enabled=False):
            if torch.is_grad_enabled():
                node: Any = _MaskedNorm
                out = node.apply(wide, mask, self.weight, self.bias, self.relu, zeroed)
            else:
                out = _affine(_normalise(wide, mask)[0], self.weight, self.bias, self.relu, zeroed)
        return out.to(x.dtype) if low else out  # type: ignore[no-any-return]


class ConvNorm(nn.Module):
    """Convolution of width 3 without bias, mask, norm over channels, ReLU: the embedding's and the heads' unit."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = MaskedNorm(outputs, relu=True)

    def forward(self, x: Tensor, mask: Tensor, zeroed: Tensor | None = None) -> Tensor:
        """Map [B, inputs, T] to [B, outputs, T]."""
        return self.norm(self.conv(x), mask, zeroed)  # type: ignore[no-any-return]


def group_norm(x: Tensor, groups: int, level: Level, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Normalise [B, C, columns] over groups of channels and over all columns upstream has, hidden ones included."""
    if level.hidden == 0:
        return F.group_norm(x, groups, weight, bias, EPSILON)
    batch, channels, _ = x.shape
    wide = widened(x)
    count = level.total * (channels // groups)

    def mean(values: Tensor) -> Tensor:
        grouped = total_sum(values, level).reshape(batch, groups, -1).sum(-1, keepdim=True) / count
        return grouped.expand(-1, -1, channels // groups).reshape(batch, channels, 1)

    centred = wide - mean(wide)
    scale = torch.rsqrt(mean(centred.square()) + EPSILON)
    if weight is not None and bias is not None:
        return (centred * (scale * weight[:, None]) + bias[:, None]).to(x.dtype)
    return (centred * scale).to(x.dtype)


class ScaledResidual(nn.Module):
    """Add a branch to its input with a learnt scale per channel (starts at 1e-4) and stochastic depth per sample."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), 1e-4))

    def forward(self, x: Tensor, branch: Tensor, keep: Tensor | None) -> Tensor:
        """Return x + scale * branch * keep; `keep` [B] is 0 or 1 / (1 - drop probability), None in evaluation."""
        scale = self.scale[:, None]
        if keep is not None:
            scale = scale * keep[:, None, None]
        return x + branch.to(x.dtype) * scale
