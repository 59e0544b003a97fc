"""Half precision inside, never outside: raw outputs are float32 or wider, so that steps, scores and losses keep theirs.

In bfloat16 (8 bits) step 1001 of a video is 1000, and a segment of TadTR ends a quarter of a step from where it should.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALF = (torch.bfloat16, torch.float16)


def widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in float32, others as they are."""
    return x.float() if x.dtype in HALF else x
