"""What bounds a model on this machine: its share of time by kind of operator, against the rate of a large product."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

KINDS = (
    ("matrix products and convolutions", ("convolution", "mm", "bmm", "addmm", "conv1d", "mkldnn", "linear")),
    ("reductions", ("sum", "mean", "var_mean", "norm", "softmax", "native_group_norm", "native_layer_norm", "max")),
    ("copies and layout", ("copy_", "cat", "fill_", "zero_", "index", "clone", "contiguous", "pad", "as_strided")),
    ("optimizer", ("_fused_adamw_", "_foreach")),
)


def gemm_peak(size: int = 2048, seconds: float = 2.0) -> float:
    """Return the best rate of a square float32 product in 10^9 operations a second, over `seconds`."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2e-9 * size**3 / best


def profile_shares(work: Callable[[], Any]) -> dict[str, float]:
    """Return the share of operators' own CPU time by kind, the rest being element-wise."""
    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    shares: dict[str, float] = {}
    for event in profile.key_averages():
        if event.key.startswith("aten::"):
            kind = _kind(event.key.removeprefix("aten::"))
            shares[kind] = shares.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(shares.values())
    return {kind: round(value / total, 4) for kind, value in sorted(shares.items(), key=lambda item: -item[1])}


def _kind(operator: str) -> str:
    for kind, names in KINDS:
        if any(operator == name or operator.startswith(name + "_") or name in operator for name in names):
            return kind
    return "element-wise"
