"""Time the native models against the authors' own, side by side: python -m benchmarks.model_speed [--upstream DIR].

Both hold the same weights and get the same inputs in turn, A B A B, in one process. Reported is the median ratio of
neighbours and its spread, on full-length inputs and on lengths distributed like THUMOS14's. With `--device cuda:0`
inputs lie on the device for both, and a call ends when the device has done its work.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import skeleton
from benchmarks.reference import Pair, cases, pair
from benchmarks.reference.profile import gemm_peak, profile_shares
from benchmarks.reference.report import describe_run
from benchmarks.reference.settings import real_lengths, settings
from benchmarks.reference.training import Batch
from tal_repro.engines.native.freed_memory import keep_freed_memory
from tal_repro.engines.native.optimization import WeightAverage, build_optimizer
from tal_repro.measure.macs import count_macs
from tal_repro.models import model_entry

MODELS = ("actionformer", "tridet", "temporalmaxer", "tadtr")


def main() -> None:
    """Time the chosen models; print a table and write JSON."""
    options = _parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    report = describe_run(options.models, options.upstream, options.seed)
    report |= {"schema": "tal-repro/bench-models/1", "load_average": os.getloadavg()[0], "models": {}}
    if options.device == "cpu":
        report["gemm_peak_gflops"] = gemm_peak()
    else:
        report["device"] = torch.cuda.get_device_name(options.device)
    for name in options.models:
        torch.manual_seed(options.seed)
        both = pair(name, settings(name).recipe, options.upstream / model_entry(name).submodule)
        if hasattr(both, "set_dropout"):  # off in the parity tool, but part of a training step
            both.set_dropout(settings(name).recipe.dropout)
        move(both, options.device)
        report["models"][name] = time_model(both, options.rounds, options.seed, options.device)
        print_model(name, report["models"][name])
        skeleton.write(options.out, report)


def move(both: Pair, device: str) -> None:
    """Put both models, and what upstream's losses hold, on a device, as the native engine and the authors' scripts do.

    The native pyramid models then pad to the batch, as in a training on a GPU.
    """
    if device == "cpu":
        return
    for module in (both.native, both.upstream, getattr(both, "criterion", None)):
        if module is not None:
            module.to(device)
    if hasattr(both.native, "padding"):
        both.native.padding = "batch"


def time_model(both: Pair, rounds: int, seed: int, device: str = "cpu") -> dict[str, Any]:
    """Return timings of inference and of whole training steps, and what the native step spends its time on."""
    lengths = real_lengths(both.name)
    found: dict[str, Any] = {"lengths": lengths}
    for kind in ("full", "real"):
        found[f"inference_{kind}"] = _time_inference(both, lengths[f"test_{kind}"], rounds, seed, device)
    steps = _Step.native(both), _Step.upstream(both)
    for kind in ("full", "real"):
        batches = [_batch(both, group, seed, device) for group in lengths[f"train_{kind}"]]
        found[f"training_{kind}"] = _alternate(
            lambda b=batches: [steps[0].take(x[0]) for x in b],
            lambda b=batches: [steps[1].take(x[1]) for x in b],
            rounds,
            device,
        )
    if device != "cpu":
        return found
    full, _ = _batch(both, lengths["train_full"][0], seed, device)
    found["training_profile"] = profile_shares(lambda: steps[0].take(full))
    found |= _rates(both.name, found, lengths["test_full"][0])
    return found


class _Step:
    """A whole optimizer step: forward, losses, backward, clipping, AdamW, moving average."""

    def __init__(self, model: nn.Module, loss: Callable[..., Any], optimizer: Any, average: Callable[[], None]) -> None:
        self.model, self.loss, self.optimizer, self.average = model, loss, optimizer, average

    @classmethod
    def native(cls, both: Pair) -> _Step:
        """Return the step as the native trainer takes it."""
        recipe = settings(both.name).recipe
        average = WeightAverage(both.native, recipe.ema_decay) if recipe.ema_decay else None
        optimizer = build_optimizer(both.native, recipe)
        return cls(both.native, both.native_losses, optimizer, average.update if average else lambda: None)

    @classmethod
    def upstream(cls, both: Pair) -> _Step:
        """Return the step as upstream takes it: plain AdamW, an average updated tensor by tensor."""
        recipe = settings(both.name).recipe
        kept = [p.detach().clone() for p in both.upstream.parameters()]

        def update() -> None:
            with torch.no_grad():
                for average, parameter in zip(kept, both.upstream.parameters(), strict=True):
                    average.copy_(recipe.ema_decay * average + (1 - recipe.ema_decay) * parameter)

        optimizer = torch.optim.AdamW(both.upstream.parameters(), lr=recipe.learning_rate)
        return cls(both.upstream, both.upstream_losses, optimizer, update if recipe.ema_decay else lambda: None)

    def take(self, batch: Batch) -> None:
        """Take one step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(*batch)["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average()


def _time_inference(both: Pair, lengths: list[int], rounds: int, seed: int, device: str) -> dict[str, Any]:
    channels = settings(both.name).channels
    videos = [[v.to(device) for v in cases.videos("bench", seed, channels, [length])] for length in lengths]
    with torch.no_grad():
        return _alternate(
            lambda: [both.native_run(video, False) for video in videos],
            lambda: [both.upstream_run(video, False) for video in videos],
            rounds,
            device,
        )


def _alternate(native: Callable[[], Any], upstream: Callable[[], Any], rounds: int, device: str) -> dict[str, Any]:
    """Return the speed-up by the clock and by CPU time, each round's ratio of neighbours, after one unmeasured round.

    On a busy machine the clock measures the others too; CPU time of a single thread does so much less.
    """

    def finished(work: Callable[[], Any]) -> Callable[[], Any]:
        """Return a call that ends when the device has done its work."""
        return work if device == "cpu" else lambda: (work(), torch.cuda.synchronize(device))

    taken = skeleton.in_turn(
        {"native": finished(native), "upstream": finished(upstream)},
        rounds,
        clocks=(time.perf_counter, time.process_time),
        before=lambda side: keep_freed_memory(side == "native"),  # the native engine's own setting
    )
    found: dict[str, Any] = {}
    for which, prefix in ((0, ""), (1, "cpu_")):
        ours, theirs = ([row[which] for row in taken[side]] for side in ("native", "upstream"))
        middle, *bounds = skeleton.spread(theirs, ours)
        found |= {f"{prefix}speedup": middle, f"{prefix}speedup_range": bounds}
        found |= {f"{prefix}native_seconds": ours, f"{prefix}upstream_seconds": theirs}
    return found


def _batch(both: Pair, lengths: list[int], seed: int, device: str) -> tuple[Batch, Batch]:
    """Return a batch as the native model takes it, its targets on the CPU, and as upstream does."""
    setting = settings(both.name)
    videos = [video.to(device) for video in cases.videos("bench", seed, setting.channels, lengths)]
    targets = cases.targets("one" if both.name == "tadtr" else "fifteen", lengths, setting.recipe.num_classes, seed)
    moved: Any = [{key: value.to(device) for key, value in target.items()} for target in targets]
    return (videos, targets), (videos, moved)


def _rates(name: str, found: dict[str, Any], length: int) -> dict[str, Any]:
    """Return arithmetic rates of inference at full length, in 10^9 floating-point operations a second."""
    rates = {}
    for side, form in (("native", False), ("upstream", True)):
        macs = count_macs(name, length, upstream_form=form).macs
        rates[f"{side}_macs"] = macs
        rates[f"{side}_gflops"] = 2e-9 * macs / min(found["inference_full"][f"{side}_seconds"])
    return {"arithmetic": rates}


def print_model(name: str, found: dict[str, Any]) -> None:
    """Print one model's ratios."""
    for key in ("inference_full", "inference_real", "training_full", "training_real"):
        row = found[key]
        low, high = row["speedup_range"]
        seconds = f"{min(row['native_seconds']):.3f} s against {min(row['upstream_seconds']):.3f} s"
        cpu = f"by CPU time {row['cpu_speedup']:.2f}"
        print(f"{name:14s} {key:16s} {row['speedup']:5.2f} x ({low:.2f} ... {high:.2f}), {cpu}; {seconds}", flush=True)
    if "arithmetic" in found:
        print(f"{name:14s} {found['arithmetic']}\n{'':14s} {found['training_profile']}", flush=True)


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, upstream=True, models=MODELS, threads=True, rounds=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--seed", type=int, default=20230621)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
