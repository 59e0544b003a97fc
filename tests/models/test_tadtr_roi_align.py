"""RoIAlign: closed forms, a literal loop, gradients, determinism, and the signature of the compiled extension."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tal_repro.models import roi_align as module
from tal_repro.models.roi_align import roi_align


def literal(row: Tensor, start: float, end: float, bins: int, ratio: int) -> Tensor:
    """Pool one channel [T] point by point, as the definition reads."""
    steps, length = len(row), max(end - start, 1.0)
    points = ratio if ratio > 0 else math.ceil(length / bins)
    pooled = []
    for b in range(bins):
        values = []
        for i in range(points):
            t = start + b * length / bins + (i + 0.5) * length / bins / points
            if t < -1 or t > steps:
                values.append(row.new_zeros(()))
                continue
            t = min(max(t, 0.0), steps - 1.0)
            low = int(t)
            high = min(low + 1, steps - 1)
            values.append((low + 1 - t) * row[low] + (t - low) * row[high])
        pooled.append(torch.stack(values).mean())
    return torch.stack(pooled)


def test_a_ramp_is_pooled_to_the_middles_of_the_bins() -> None:
    ramp = torch.arange(40.0)[None, :, None]
    pooled = roi_align(ramp, torch.tensor([[[4.0, 36.0]]]), bins=4)
    assert pooled.flatten().tolist() == [8.0, 16.0, 24.0, 32.0]


def test_a_segment_shorter_than_a_step_counts_as_one_step() -> None:
    ramp = torch.arange(10.0)[None, :, None]
    pooled = roi_align(ramp, torch.tensor([[[3.0, 3.0]]]), bins=2)
    assert pooled.flatten().tolist() == [3.25, 3.75]


def test_example_of_the_extension() -> None:
    # a ramp 1..10, one segment that begins half a step early, one shorter than a step, 4 bins
    rows = torch.stack([torch.arange(1.0, 11), torch.arange(11.0, 21)])[None]
    pooled = module.forward(rows, torch.tensor([[0.0, -0.5, 9.5], [0, 0.1, 0.9]]), 4, 0)
    # bins of 2.5 steps at 3 points: the first point lies before step 0 and reads it, as the last reads step 9
    first = [(1 + 1.75 + 2.5833333) / 3, 4.25, 6.75, (8.4166667 + 9.25 + 10) / 3]
    torch.testing.assert_close(pooled[0, 0], torch.tensor(first))
    torch.testing.assert_close(pooled[1, 0], torch.tensor([1.225, 1.475, 1.725, 1.975]))
    torch.testing.assert_close(pooled[:, 1], pooled[:, 0] + 10)


@pytest.mark.parametrize("ratio", [0, 3])
def test_equals_the_literal_loop_in_any_order_of_samples(ratio: int) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, 2, 23, generator=generator, dtype=torch.float64)
    sample = torch.randint(3, (40,), generator=generator)
    start = torch.rand(40, generator=generator, dtype=torch.float64) * 34 - 6
    end = start + torch.rand(40, generator=generator, dtype=torch.float64) * 30 - 2
    rois = torch.stack([sample.double(), start, end], 1)
    pooled = module.forward(features, rois, 5, ratio)
    assert pooled.shape == (40, 2, 5)
    for roi, found in zip(rois, pooled, strict=True):
        for channel in range(2):
            row = features[int(roi[0]), channel]
            torch.testing.assert_close(found[channel], literal(row, float(roi[1]), float(roi[2]), 5, ratio))


def test_backward_is_the_transpose_of_forward() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 3, 17, generator=generator, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.5, 9.0], [1, -0.5, 17.0], [0, 3.0, 3.1]], dtype=torch.float64)
    pooled = module.forward(features, rois, 4, 0)
    grad = torch.randn(pooled.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(pooled, features, grad)
    torch.testing.assert_close(module.backward(grad, rois, 4, 2, 3, 17, 0), expected)
    # <backward(g), x> = <g, forward(x)>
    torch.testing.assert_close((expected * features).sum(), (grad * pooled).sum())


@pytest.mark.parametrize("steps", [30, 700])  # with the gradient through a dense matrix, and without
def test_gradients_by_finite_differences(steps: int) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, steps, 1, dtype=torch.float64, requires_grad=True)
    segments = torch.tensor([[[2.3, 19.0], [25.0, 29.9]]], dtype=torch.float64)
    torch.autograd.gradcheck(lambda x: roi_align(x, segments, 3), features)


def test_segments_carry_no_gradient() -> None:
    segments = torch.tensor([[[1.0, 5.0]]], requires_grad=True)
    features = torch.rand(1, 8, 2, requires_grad=True)
    roi_align(features, segments, 2).sum().backward()
    assert segments.grad is None
    assert features.grad is not None


def test_is_bit_stable() -> None:
    torch.manual_seed(0)
    features, segments = torch.randn(4, 128, 16), torch.rand(4, 40, 2).cumsum(-1) * 60
    found = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(3):
            x = features.clone().requires_grad_()
            pooled = roi_align(x, segments, 16)
            (grad,) = torch.autograd.grad(pooled.square().sum(), x)
            found.append((pooled.detach(), grad))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for again in found[1:] for a, b in zip(again, found[0], strict=True))


def test_no_rois_and_bad_rois() -> None:
    features = torch.rand(2, 3, 10)
    assert module.forward(features, torch.empty(0, 3), 4, 0).shape == (0, 3, 4)
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        module.forward(features, torch.tensor([[2.0, 0, 1]]), 4, 0)
    with pytest.raises(ValueError, match=r"expected \[R, 3\]"):
        module.forward(features, torch.rand(5, 2), 4, 0)


@pytest.mark.gpu
def test_gpu_equals_cpu() -> None:
    torch.manual_seed(0)
    features, segments = torch.randn(2, 128, 8), torch.rand(2, 40, 2).cumsum(-1) * 60
    results = []
    for device in ("cpu", "cuda"):
        x = features.to(device).requires_grad_()
        pooled = roi_align(x, segments.to(device), 16)
        (grad,) = torch.autograd.grad(pooled.square().sum(), x)
        results.append((pooled.cpu(), grad.cpu()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_impossible_bins_and_rois_are_refused() -> None:
    rows = torch.rand(1, 10, 2)
    with pytest.raises(ValueError, match="bins must be at least 1"):
        roi_align(rows, torch.tensor([[[1.0, 3.0]]]), bins=0)
    for outside, inside in (([-1.0, 3.0], [0.0, 3.0]), ([1.0, 1e9], [1.0, 10.0])):
        found = roi_align(rows, torch.tensor([[outside]]), bins=4)
        torch.testing.assert_close(found, roi_align(rows, torch.tensor([[inside]]), bins=4))
    for roi, words in (([0.0, 1, math.nan], "finite"), ([0.0, 1, 1e12], "more than 65536 points a bin")):
        with pytest.raises(ValueError, match=words):
            module.forward(rows.transpose(1, 2), torch.tensor([roi]), 4, 0)


def test_a_nan_stays_a_nan_and_reads_no_foreign_memory() -> None:
    segments = torch.tensor([[[math.nan, math.nan], [1.0, 3.0]]])
    pooled = roi_align(torch.rand(1, 10, 2), segments, bins=4)
    assert pooled[0, 0].isnan().all()
    assert pooled[0, 1].isfinite().all()
    index, _ = module.bin_taps(segments, 10, 4, 0, 3)
    assert int(index.min()) >= 0
    assert int(index.max()) <= 9
