"""How much a selected segment lowers the score of another: the float32 arithmetic of soft-NMS, upstream's to the bit.

Upstream's compiled `nms_1d_cpu` works in float32 with the C library's `expf`. numpy's float32 exponential differs from
it in 4 of 10 results, so `expf` here follows the C library's: table of 2^(i/32), cubic polynomial, in float64.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Method = Literal["vanilla", "linear", "gaussian"]
METHODS: tuple[Method, ...] = ("vanilla", "linear", "gaussian")  # upstream's numbers 0, 1, 2

AREA_OFFSET = np.float32(1e-6)  # upstream adds it to every length

# glibc >= 2.27 (from Arm's optimized-routines): 2^(r/32) = 1 + r (c2 + r (c1 + r c0)) for |r| <= 1/2
_STEPS = 32
_C0 = float.fromhex("0x1.c6af84b912394p-5") / _STEPS**3
_C1 = float.fromhex("0x1.ebfce50fac4f3p-3") / _STEPS**2
_C2 = float.fromhex("0x1.62e42ff0c52d6p-1") / _STEPS
_STEPS_PER_E_FOLD = float.fromhex("0x1.71547652b82fep+0") * _STEPS
_POWERS = np.exp2(np.arange(_STEPS) / _STEPS)
_HALF_WAY = 1 << 28  # the 29 bits of a float64 that float32 has not, seen from the middle between two float32
_NEAR_HALF_WAY = 1 << 22  # 2^-7 of a float32 step: the C library errs by less than 0.003 steps beyond rounding


def areas(segments: Float32Array) -> Float32Array:
    """Return the lengths of segments [N, 2], with upstream's offset."""
    return np.asarray(segments[:, 1] - segments[:, 0] + AREA_OFFSET, np.float32)


def expf(x: Float32Array) -> Float32Array:
    """Return e^x for finite or -inf x <= 0 in float32, bit for bit as the C library does.

    The float64 exponential rounds to the same float32 unless it falls almost half-way between two; only those few are
    taken through the C library's own steps.
    """
    exact = np.exp(x.astype(np.float64))
    result = exact.astype(np.float32)
    distance = (exact.view(np.int64) & (2 * _HALF_WAY - 1)) - _HALF_WAY
    close = np.flatnonzero((np.abs(distance) < _NEAR_HALF_WAY) & (x > -80))
    if len(close):
        result[close] = _expf_by_table(x[close])
    return result


def _expf_by_table(x: Float32Array) -> Float32Array:
    scaled = x.astype(np.float64) * _STEPS_PER_E_FOLD
    whole = np.rint(scaled)
    r = scaled - whole
    steps = whole.astype(np.int64)
    power = np.ldexp(_POWERS[steps % _STEPS], (steps // _STEPS).astype(np.int32))
    return np.asarray(((_C0 * r + _C1) * (r * r) + (_C2 * r + 1)) * power, np.float32)


def weights(overlap: Float32Array, method: Method, iou_threshold: np.float32, sigma: np.float32) -> Float32Array:
    """Return the factor for the score of a segment that overlaps the selected one by `overlap` (float32 tIoU)."""
    if method == "gaussian":
        return expf(-(overlap * overlap) / sigma)
    kept = np.float32(0) if method == "vanilla" else np.float32(1) - overlap
    return np.where(overlap >= iou_threshold, kept, np.float32(1))
