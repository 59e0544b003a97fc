"""What NMS and its neighbours refuse before any work: settings out of range, candidates that do not belong together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# the normal numbers of float32, in which NMS works
LEAST, MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a number from 0 to 1; NaN is none."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")


def check_finite(name: str, value: float) -> None:
    """Raise ValueError for NaN and infinity."""
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is finite and above 0, also once it is a float32."""
    if not LEAST <= value <= MOST:
        raise ValueError(f"{name} must be finite and above 0 in float32, got {value}")


def check_most(name: str, value: int | None) -> None:
    """Raise ValueError for a limit below 1; None is no limit."""
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def checked_labels(labels: Any, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the labels as an array; ValueError unless they are whole numbers, one for each score."""
    labels = np.asarray(labels)
    if labels.shape != scores.shape:
        raise ValueError(f"labels must have the shape of scores {scores.shape}, got {labels.shape}")
    if labels.size and labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be whole numbers, got {labels.dtype}")
    return labels  # type: ignore[no-any-return]
