"""What the hooks cost an iteration: python -m benchmarks.hooks [--rounds N] [--out JSON].

The training loop of a small network (two convolutions on [1, 64, 256], about as small as an iteration gets) runs with
the hooks recording and without, in turn (A B A B); the ratio of the medians is what they cost. Target: below 1 %.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks import skeleton
from tal_repro import hooks

ITERATIONS = 60
LIMIT = 0.01


def main() -> int:
    """Time both loops in turn; exit 1 above the limit."""
    parser = skeleton.parser(__doc__, rounds=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    step = small_step()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[hooks.EVENTS_VARIABLE] = str(Path(scratch) / "events.jsonl")
        epoch_seconds(step, True), epoch_seconds(step, False)
        pairs = [(epoch_seconds(step, True), epoch_seconds(step, False)) for _ in range(options.rounds)]
        hook_seconds = min(epoch_seconds(lambda: {"final_loss": torch.zeros(())}, True) for _ in range(5))
    plain = statistics.median(without for _, without in pairs)
    ratios = sorted(with_hooks / without for with_hooks, without in pairs)
    report = {
        "schema": "tal-repro/bench-hooks/1",
        "iteration_ms": 1e3 * plain / ITERATIONS,
        "hooks_us_per_iteration": 1e6 * hook_seconds / ITERATIONS,
        "share": hook_seconds / plain,
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
        "rounds": options.rounds,
    }
    print(json.dumps(report, indent=1))
    skeleton.write(options.out, report)
    return 0 if report["share"] < LIMIT else 1


def small_step() -> Callable[[], dict[str, torch.Tensor]]:
    """Return one training iteration of a small network."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(64, 128, 3, padding=1), nn.ReLU(), nn.Conv1d(128, 20, 3, padding=1))
    optimizer = torch.optim.AdamW(model.parameters())
    features = torch.rand(1, 64, 256)

    def step() -> dict[str, torch.Tensor]:
        loss = model(features).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"final_loss": loss}

    return step


def epoch_seconds(step: Callable[[], dict[str, torch.Tensor]], hooked: bool) -> float:
    """Return the seconds of one epoch; hooked as the patches do it."""
    started = time.perf_counter()
    for iteration in range(ITERATIONS):
        if hooked:
            hooks.event("iteration", "start", iteration)
        losses = step()
        if hooked:
            hooks.add_losses(losses)
            hooks.event("iteration", "end", iteration)
    if hooked:
        hooks.end_losses(0)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
