"""Where a training step of the authors' code spends its time: a probe in their process, told by the hooks when to look.

The launcher installs it where `TAL_REPRO_PROBE` asks for it. After a few steps it writes what it found and ends the
script: no result comes of such a training.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tal_repro import hooks
from tal_repro.measure.attribution import Span, StepTime, attribute, end_to_end, profiling, sampled_stacks

VARIABLE = "TAL_REPRO_PROBE"  # JSON: {"out", "device", "warmup", "steps", "profiled"}
LOADING_S = 0.5  # of reading samples, to see in which function


class Probe:
    """Stand in for `hooks.event`: steps are warmed up, timed, sampled and profiled, in this order.

    The first step of an epoch is left out of all: its wait includes the start of the loader's workers.
    """

    def __init__(self, out: str, device: str, warmup: int, steps: int, profiled: int) -> None:
        self.out, self.device = Path(out), device
        self.ends = [warmup, warmup + steps, warmup + 2 * steps, warmup + 2 * steps + profiled]
        self.taken = 0
        self.first = True  # of an epoch
        self.mark = self.got = 0.0
        self.times: list[StepTime] = []
        self.epoch_waits: list[float] = []
        self.profiles: list[list[Span]] = []
        self.stacks: dict[str, Counter[str]] = {}
        self.loader: Any = None
        self.sampling, self.profiling = contextlib.ExitStack(), contextlib.ExitStack()

    def event(self, kind: str, phase: str, index: int | None = None, values: Any = None) -> None:
        """Take a hook's event: only the training loop's own are looked at."""
        if (kind, phase) == ("train", "start"):
            self.mark, self.first = time.perf_counter(), True
        elif (kind, phase) == ("iteration", "start"):
            self._step_starts()
        elif (kind, phase) == ("iteration", "end"):
            self._step_ends()

    def _step_starts(self) -> None:
        self.got = time.perf_counter()
        if not self.first and self.ends[2] <= self.taken:
            self.profiles.append(self.profiling.enter_context(profiling(self.device)))

    def _step_ends(self) -> None:
        self._synchronise()
        self.profiling.close()
        now = time.perf_counter()
        if self.first:
            self.epoch_waits.append(self.got - self.mark)
        else:
            if self.ends[0] <= self.taken < self.ends[1]:
                self.times.append(StepTime(self.got - self.mark, now - self.got))
            self.taken += 1
            if self.taken == self.ends[1]:
                self.stacks = self.sampling.enter_context(sampled_stacks())
            elif self.taken == self.ends[2]:
                self.sampling.close()
            elif self.taken == self.ends[3]:
                self._finish()
        self.first = False
        self.mark = time.perf_counter()  # what the probe did itself is nobody's wait

    def _synchronise(self) -> None:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)

    def _finish(self) -> None:
        """Write the attribution and leave."""
        found = attribute(self.times, end_to_end(self.profiles), self.stacks.get("MainThread"), self._loading())
        epoch_wait_ms = 1000 * sum(self.epoch_waits) / len(self.epoch_waits)
        self.out.write_text(json.dumps({**found.to_json(), "epoch_start_wait_ms": epoch_wait_ms}), encoding="utf-8")
        raise SystemExit(0)

    def _loading(self) -> Counter[str]:
        """Read samples here for a moment: the loader's workers are processes of their own and cannot be watched."""
        if self.loader is None:
            return Counter()
        deadline = time.perf_counter() + LOADING_S
        with sampled_stacks() as stacks:
            for number in range(len(self.loader.dataset)):
                self.loader.dataset[number]
                if time.perf_counter() > deadline:
                    break
        return stacks.get("MainThread", Counter())


def install() -> None:
    """Put the probe that the environment asks for in the hooks' place; nothing where it asks for none."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    import torch.utils.data

    probe = Probe(**json.loads(asked))
    iterate = torch.utils.data.DataLoader.__iter__

    def remember(loader: Any) -> Any:
        probe.loader = probe.loader or loader  # the first that is gone through is the training's
        return iterate(loader)

    torch.utils.data.DataLoader.__iter__ = remember  # type: ignore[method-assign]
    vars(hooks)["event"] = probe.event
