"""Sum chosen rows with weights: the one gather that deformable attention and RoIAlign are made of.

Both sample a sequence between its steps, so each result is a short weighted sum of rows. `embedding_bag` does that sum
without storing the sampled rows, at a cost that is linear in the number of samples.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Up to this many steps the gradient goes through a dense [queries, steps] matrix, which a GEMM eats faster than a
# gather does; beyond it nothing quadratic in the length is built. Measured on 2 cores: equal at about 500 steps.
DENSE_GRADIENT_STEPS = 384


def weighted_rows(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Return `sum_s weight[b,k,h,s] * rows[b, index[b,k,h,s], h]` as [B, K, H, D].

    `rows [B, T, H, D]`, `index [B, K, H, S]` (long, 0 <= index < T), `weight [B, K, H, S]` (cast to the rows' type).
    Differentiable in `rows` and `weight`.
    """
    weight = weight.to(rows.dtype)
    needs_gradient = torch.is_grad_enabled() and (rows.requires_grad or weight.requires_grad)
    if needs_gradient and rows.shape[1] <= DENSE_GRADIENT_STEPS:
        result: Tensor = _ShortSequence.apply(rows, index, weight)  # type: ignore[no-untyped-call]
        return result
    return _bag(rows, index, weight)


def _bag(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Sum through `embedding_bag` over the rows of all samples and heads laid end to end."""
    batch, steps, heads, dim = rows.shape
    samples = index.shape[-1]
    sample_start = torch.arange(batch, device=index.device)[:, None, None, None] * (steps * heads)
    head = torch.arange(heads, device=index.device)[:, None]
    flat = index * heads + (sample_start + head)
    bags = F.embedding_bag(
        flat.reshape(-1, samples),
        rows.reshape(-1, dim),
        per_sample_weights=weight.reshape(-1, samples),
        mode="sum",
    )
    return bags.view(batch, index.shape[1], heads, dim)


class _ShortSequence(torch.autograd.Function):
    """`_bag` with its gradient through dense matrices [B * H, K, T]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, index, weight)
        return _bag(rows, index, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        rows, index, weight = ctx.saved_tensors
        batch, steps, heads, dim = rows.shape
        grad_by_head = _by_head(grad)
        index_by_head = _by_head(index)
        grad_rows = grad_weight = None
        if ctx.needs_input_grad[0]:
            dense = _dense(index_by_head, _by_head(weight), steps)
            grad_rows = torch.bmm(dense.transpose(1, 2), grad_by_head)
            grad_rows = grad_rows.view(batch, heads, steps, dim).transpose(1, 2)
        if ctx.needs_input_grad[2]:
            products = torch.bmm(grad_by_head, _by_head(rows).transpose(1, 2))
            chosen = products.gather(2, index_by_head)
            grad_weight = chosen.view(batch, heads, *chosen.shape[1:]).transpose(1, 2)
        return grad_rows, None, grad_weight


def _dense(index: Tensor, weight: Tensor, steps: int) -> Tensor:
    """Return the matrices [N, K, steps] whose rows hold `weight [N, K, S]` in the columns `index [N, K, S]`, added up.

    Not by scattering on a GPU, where several threads would add to one element in any order, or torch would sort them.
    """
    if index.device.type == "cpu":
        return weight.new_zeros(*index.shape[:2], steps).scatter_add_(2, index, weight)
    return dense_by_comparison(index, weight, steps)


def dense_by_comparison(index: Tensor, weight: Tensor, steps: int) -> Tensor:
    """Return the same, summed over S in one order always, through [N, K, S, steps] in memory."""
    chosen = index[..., None] == torch.arange(steps, device=index.device)
    return torch.where(chosen, weight[..., None], 0.0).sum(2)


def _by_head(x: Tensor) -> Tensor:
    """[B, N, H, M] -> [B * H, N, M]."""
    return x.transpose(1, 2).flatten(0, 1)
