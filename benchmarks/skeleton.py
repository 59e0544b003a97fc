"""What every side-by-side program shares: its common options, turns A B A B, ratios of neighbours, the JSON report."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tal_repro.files import write_whole

Clock = Callable[[], float]
Taken = dict[str, list[tuple[float, ...]]]  # side -> what each clock showed for each turn


def parser(
    description: str | None,
    *,
    models: Sequence[str] = (),
    upstream: bool = False,
    rounds: int = 0,
    threads: bool = False,
    out: str = "JSON report",
) -> argparse.ArgumentParser:
    """Return a parser with --out and those common options that the program has."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if upstream:
        found.add_argument("--upstream", type=Path, default=Path("third_party"), help="folder of the four checkouts")
    if models:
        found.add_argument("--models", nargs="+", choices=models, default=list(models))
    if rounds:
        found.add_argument("--rounds", type=int, default=rounds, help="turns a side")
    if threads:
        found.add_argument("--threads", type=int)
    found.add_argument("--out", type=Path, help=out)
    return found


def in_turn(
    work: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    block: int = 1,
    clocks: Sequence[Clock] = (time.perf_counter,),
    before: Callable[[str], None] = lambda side: None,
) -> Taken:
    """Time the sides in turn, A B A B, after one unmeasured turn of each: whatever slows the machine slows both.

    `block`: calls a turn, each timed. `before` is called with the side's name ahead of its turn, outside the clocks.
    """
    taken: Taken = {side: [] for side in work}
    for number in range(rounds + 1):
        for side, call in work.items():
            before(side)
            for _ in range(block if number else 1):
                started = [clock() for clock in clocks]
                call()
                if number:
                    taken[side].append(tuple(clock() - at for clock, at in zip(clocks, started, strict=True)))
    return taken


def spread(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Return how many times as long theirs took as ours, turn by turn: median, lowest, highest."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def write(out: Path | None, report: Mapping[str, Any]) -> None:
    """Write a report where --out says (nowhere without it); after each model, as the next may take minutes."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, json.dumps(report, indent=1).encode() + b"\n")
