"""Do the authors' scripts print the mAPs that the metrics hook was told, each at its evaluation?

A question of `models check`: a patch that computes a mAP of its own agrees with itself, whatever it decodes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from tal_repro.engines.upstream.witness import EVALUATED
from tal_repro.errors import InputError

LEAST_SHOWN = 0.01  # average mAP that is looked for: one near 0 could stand there by chance
ROUNDING = 0.501  # of the last digit that is printed
LONGEST_LINE = 300  # characters; a longer one is a configuration
Numbers = tuple[float, ...]
_DECIMALS = re.compile(r"\d+\.\d{2,}")
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")
_TIME = re.compile(  # what a log says of the time: a clock's, or how long it took
    r"\d+:\d+(:\d+)?([.,]\d+)?|(?<![a-z])time\W{0,3}\d+\.\d+|\d+\.\d+ ?(s|secs?|seconds?|ms|mins?|s/it|it/s)\b",
    re.IGNORECASE,
)


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


def map_lines(output: str, shapes: Collection[str]) -> list[Numbers]:
    """Return the decimals of each line that speaks of a mAP, or has one of the shapes given (see `shapes_of`)."""
    lines = []
    for line in output.splitlines():
        numbers = decimals(_TIME.sub("", line)) if len(line) <= LONGEST_LINE else []
        if numbers and ("mAP" in line or _shape(line) in shapes):
            lines.append(tuple(number for number, _ in numbers))
    return lines


def shapes_of(output: str, reported: Sequence[float]) -> set[str]:
    """Return the lines, without their numbers, that show what the metrics hook was told, next to its calls."""
    parts = [part.splitlines() for part in output.split(EVALUATED)]
    shapes = set()
    for place, value in enumerate(reported):
        beside = zip_longest(reversed(parts[place]), parts[place + 1], fillvalue="")
        near = (line for pair in beside for line in pair if shows(decimals(_TIME.sub("", line)), value))
        if value >= LEAST_SHOWN and (line := next(near, "")):
            shapes.add(_shape(line))
    return shapes


def _shape(line: str) -> str:
    return _NUMBER.sub("#", _TIME.sub("", line)).strip()
