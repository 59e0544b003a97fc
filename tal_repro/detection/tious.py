"""The tIoU thresholds of a protocol, as a user writes them: `0.5:0.95:0.05`, or a list `0.3,0.5`."""

from __future__ import annotations

import numpy as np

from tal_repro.detection.ties import FIRST, OFFICIAL
from tal_repro.errors import InputError
from tal_repro.untrusted import short

MOST = 100
_REMEDY = "write START:STOP:STEP, for example 0.5:0.95:0.05, or a list, for example 0.3,0.5"


def read_tious(text: str, tie: str = FIRST, where: str = "--tiou") -> tuple[float, ...]:
    """Return rising thresholds in (0, 1]; a range holds its end. Raises InputError naming what is wrong.

    With the official order of equals a range is also what the official evaluators make of it: `numpy.linspace`, whose
    0.9 may be 0.8999999999999999, which tells where a tIoU is 9/10 to the last digit.
    """
    ranged = ":" in text
    numbers = [_number(part, text, where) for part in text.split(":" if ranged else ",")]
    if ranged:
        values = _range(numbers, text, tie, where)
    else:
        values = numbers
    shown = [f"{value:g}" for value in values]
    if not all(0 < value <= 1 for value in values):
        raise InputError(f"{short(text)}: a tIoU is above 0 and at most 1", where, _REMEDY)
    if len(set(shown)) < len(shown) or values != sorted(values):
        raise InputError(f"{short(text)}: the thresholds do not rise", where, _REMEDY)
    if len(values) > MOST:
        raise InputError(f"{short(text)}: {len(values)} thresholds, {MOST} at most", where, _REMEDY)
    return tuple(values)


def _number(part: str, text: str, where: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise InputError(f"{short(text)}: {short(part)} is not a number", where, _REMEDY) from None
    if not np.isfinite(value):
        raise InputError(f"{short(text)}: {short(part)} is not finite", where, _REMEDY)
    return value


def _range(numbers: list[float], text: str, tie: str, where: str) -> list[float]:
    if len(numbers) != 3 or not numbers[2] > 0 or numbers[1] < numbers[0]:
        raise InputError(f"{short(text)} is not START:STOP:STEP with STOP after START", where, _REMEDY)
    start, stop, step = numbers
    steps = (stop - start) / step
    if steps > MOST:
        raise InputError(f"{short(text)}: more than {MOST} thresholds", where, _REMEDY)
    count = round(steps)
    if abs(steps - count) > 1e-6:
        raise InputError(f"{short(text)}: no whole number of steps leads from {start:g} to {stop:g}", where, _REMEDY)
    if tie == OFFICIAL:
        return [float(value) for value in np.linspace(start, stop, count + 1)]
    return [round(start + index * step, 9) for index in range(count + 1)]
