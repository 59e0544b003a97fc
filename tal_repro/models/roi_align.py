"""1-D RoIAlign with gradient, in plain torch: bins of a segment as averages of interpolated steps, CPU and GPU alike.

Same sampling as the compiled `Align1D` that upstream TadTR ships for CUDA: a segment is cut into equal bins, each bin
averages `ceil(length / bins)` evenly spaced points, each point interpolates between two steps. `forward` and `backward`
have that extension's signature. Segments carry no gradient (upstream detaches them).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tal_repro.models.weighted_rows import weighted_rows

MOST_POINTS = 1 << 16  # a bin of `forward`: a million steps over 16 bins; what is longer would fill the memory


def roi_align(features: Tensor, segments: Tensor, bins: int, ratio: int = 0) -> Tensor:
    """Average `features [B, T, C]` in `bins` bins of each of `segments [B, N, 2]` (steps); return [B, N, bins, C].

    `ratio` fixes the points per bin; 0 means `ceil(length / bins)`. A segment shorter than one step counts as one.
    With ratio 0 segments are cut to [0, T], which bounds the points per bin without a look at the values. A NaN gives
    NaN.
    """
    batch, steps, _ = features.shape
    _check_bins(bins)
    if ratio <= 0:
        segments = segments.clamp(0, steps)
    most = ratio if ratio > 0 else max(1, -(-steps // bins))
    index, weight = bin_taps(segments.detach(), steps, bins, ratio, most)
    shape = (batch, -1, 1, 2 * most)
    pooled = weighted_rows(features[:, :, None], index.reshape(shape), weight.reshape(shape))
    return pooled.view(batch, segments.shape[1], bins, -1)


def bin_taps(segments: Tensor, steps: int, bins: int, ratio: int, most: int) -> tuple[Tensor, Tensor]:
    """Return the steps and weights that make each bin, [..., bins, 2 * most], of segments [..., 2] in steps.

    Points farther than one step before the start or past the end weigh nothing; those nearer read the border step.
    """
    start, end = segments[..., :1], segments[..., 1:]
    length = (end - start).clamp(min=1)
    bin_size = (length / bins)[..., None]
    points = torch.full_like(length, ratio) if ratio > 0 else (length / bins).ceil()
    nth = torch.arange(most, device=segments.device)
    bin_start = start[..., None] + torch.arange(bins, device=segments.device)[:, None] * bin_size
    position = bin_start + (nth + 0.5) * bin_size / points[..., None]
    used = (nth < points[..., None]) & (position >= -1) & (position <= steps)
    position = position.clamp(0, steps - 1)
    low = position.floor()
    fraction = position - low
    share = used / points[..., None]
    index = torch.cat((low, low + 1), -1).long().clamp(0, steps - 1)  # integers: a NaN must not become an index
    return index, torch.cat(((1 - fraction) * share, fraction * share), -1)


def forward(input: Tensor, rois: Tensor, out: int, ratio: int) -> Tensor:
    """Pool `input [B, C, T]` over `rois [R, 3]` (sample, start, end) into [R, C, out]; `Align1D.forward`."""
    return _pool_rows(input.transpose(1, 2), rois, out, ratio).transpose(1, 2).contiguous()


def backward(grad: Tensor, rois: Tensor, out: int, bs: int, ch: int, t: int, ratio: int) -> Tensor:
    """Return the gradient [bs, ch, t] of `forward`'s input from `grad [R, ch, out]`; `Align1D.backward`."""
    with torch.enable_grad():
        rows = grad.new_zeros(bs, t, ch, requires_grad=True)
        pooled = _pool_rows(rows, rois, out, ratio)
        (grad_rows,) = torch.autograd.grad(pooled, rows, grad.transpose(1, 2))
    return grad_rows.transpose(1, 2).contiguous()


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")


def _pool_rows(rows: Tensor, rois: Tensor, bins: int, ratio: int) -> Tensor:
    """Pool `rows [B, T, C]` over `rois [R, 3]`, in any order, into [R, bins, C]."""
    batch, steps, channels = rows.shape
    _check_bins(bins)
    if rois.ndim != 2 or rois.shape[1] != 3:
        raise ValueError(f"rois have shape {tuple(rois.shape)}, expected [R, 3] of (sample, start, end)")
    if len(rois) == 0:
        return rows.new_zeros(0, bins, channels)
    if not bool(rois.isfinite().all()):
        raise ValueError("rois must be finite")
    sample, segments = rois[:, 0].long(), rois[:, 1:].detach()
    if bool(((sample < 0) | (sample >= batch)).any()):
        raise ValueError(f"rois name a sample outside 0..{batch - 1}")
    longest = (segments[:, 1] - segments[:, 0]).clamp(min=1).max()
    if ratio <= 0 and longest > MOST_POINTS * bins:
        raise ValueError(f"a roi of {float(longest):g} steps needs more than {MOST_POINTS} points a bin")
    most = ratio if ratio > 0 else int((longest / bins).ceil())
    index, weight = bin_taps(segments, steps, bins, ratio, most)
    index = index + (sample * steps)[:, None, None]
    shape = (1, -1, 1, 2 * most)
    pooled = weighted_rows(rows.reshape(1, batch * steps, 1, channels), index.reshape(shape), weight.reshape(shape))
    return pooled.view(len(rois), bins, channels)
