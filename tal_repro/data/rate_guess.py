"""How many feature steps a second there are, from the lengths and durations of videos, where nobody said.

A rate that is off by 1 % is off by two seconds at the end of a video of 200: it is fitted, and rounded only to a whole
number that the lengths cannot tell it from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAME = 0.1  # share by which ratios of one rate may differ: the clips at the end of short videos
VARIED = 1.2  # longest video by shortest, from which on a line through the lengths tells more than their ratios
ENOUGH = 4  # videos for a line
ROUNDING_STEPS = 3  # of a length: the clip that does not fit any more, and the rest
DEVIATIONS = 3
UNIFORM = 0.29  # standard deviation of a rounded length, in steps
DIGITS = 5


def guess_rate(steps: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Return the steps a second that most videos have; None where they have none in common."""
    lengths, durations = np.array(steps, float), np.array(seconds, float)
    ratios = lengths / durations
    middle = float(np.median(ratios))
    alike = np.abs(ratios / middle - 1) < SAME
    if not alike.mean() > 0.5:
        return None
    lengths, durations = lengths[alike], durations[alike]
    rate, off = float(np.median(lengths / durations)), ROUNDING_STEPS / float(np.median(lengths))
    if len(lengths) >= ENOUGH and durations.max() > VARIED * durations.min():
        rate = float(np.polyfit(durations, lengths, 1)[0])
        off = DEVIATIONS * UNIFORM / (float(durations.std()) * len(durations) ** 0.5) / rate
    whole = round(rate)
    return float(whole) if whole and abs(rate / whole - 1) < off else float(f"{rate:.{DIGITS}g}")
