"""Do the authors' scripts print the mAPs that the metrics hook was told, each at its evaluation?

A question of `models check`: a patch that computes a mAP of its own agrees with itself, whatever it decodes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tal_repro.engines.upstream.witness import EVALUATED
from tal_repro.errors import InputError

LEAST_SHOWN = 0.01  # average mAP that is looked for: one near 0 could stand there by chance
ROUNDING = 0.501  # of the last digit that is printed
_DECIMALS = re.compile(r"\d+\.\d{2,}")


def check_printed(reported: Sequence[Mapping[str, Any]], output: str) -> None:
    """Raise InputError where a mAP that the hook was told does not stand in what the scripts printed around that call.

    As a share or in percent, to the digits that are printed, two or more. `reported`: a witness's notes of the hook,
    index and average_map (a share), in their order; `output`: what the scripts printed, with its line at each call.
    """
    parts = [decimals(part) for part in output.split(EVALUATED)]
    for place, note in enumerate(reported):
        value = float(note["average_map"])
        if value < LEAST_SHOWN or _said_again(reported, place):
            continue
        if not any(shows(part, value) for part in parts[place : place + 2]):  # printed before the call, or after it
            raise InputError(
                f"the metrics hook was told {value:.2%}, which the authors' scripts do not print at that evaluation",
                "03-metrics.patch",
                "give it the variable that they print, where they print none, let the patch print it",
            )


def _said_again(reported: Sequence[Mapping[str, Any]], place: int) -> bool:
    """Tell a mAP that an evaluation said which does not know its epoch (-1), and the training loop says once more."""
    before = reported[place - 1] if place else {"index": 0}
    return bool(
        before["index"] < 0 <= reported[place]["index"] and before["average_map"] == reported[place]["average_map"]
    )


def decimals(text: str) -> list[tuple[float, int]]:
    """Return the numbers in a text with their digits after the point."""
    return [(float(number), len(number.partition(".")[2])) for number in _DECIMALS.findall(text)]


def shows(printed: Sequence[tuple[float, int]], value: float) -> bool:
    """Tell whether a mAP is among printed numbers."""
    return any(
        abs(number - shown) <= ROUNDING * 10.0**-digits for number, digits in printed for shown in (value, 100 * value)
    )
