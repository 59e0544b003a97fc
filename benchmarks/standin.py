"""A stand-in adapter for rehearsing the runner: deterministic, without torch, with a checkpoint at every epoch.

It trains nothing. Its engine version says so, and its results are only ever compared with themselves. What it does is
set by TAL_REPRO_STAND_IN_PLAN, a JSON object: epochs, epoch_seconds, train_seconds (all of it, writing included), and
by seed: slow {"3": 9.0} (seconds an epoch),
misbehave {"3": "hang"}.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from tal_repro.engines.adapter import FULL_SIZE, Recipe, RunContext, StopRequested
from tal_repro.files import write_whole

VERSION = "stand-in-1"
PLAN_VARIABLE = "TAL_REPRO_STAND_IN_PLAN"


class StandIn:
    """Chain a hash through epochs: the last link is right only if every epoch ran once, in order."""

    engine = "native"

    def __init__(self, model: str) -> None:
        self.model = model

    def version(self) -> str:
        return VERSION

    def train(self, run: RunContext) -> None:
        end = time.monotonic()
        plan: dict[str, Any] = json.loads(os.environ.get(PLAN_VARIABLE, "{}"))
        end += float(plan.get("train_seconds", 0.0))
        epochs, pause = int(plan.get("epochs", 3)), float(plan.get("epoch_seconds", 0.01))
        pause = float(plan.get("slow", {}).get(str(run.spec.seed), pause))
        misbehave(plan.get("misbehave", {}).get(str(run.spec.seed), ""), run)
        first, link = load(run.record.paths.checkpoint, run.spec.run_id)
        for epoch in range(first, epochs):
            began = time.monotonic()
            while (left := pause - (time.monotonic() - began)) > 0:
                if run.should_stop() == "now":
                    raise StopRequested
                time.sleep(min(0.01, left))
            link = hashlib.sha256(f"{link}:{epoch}".encode()).hexdigest()
            write_whole(run.record.paths.checkpoint, json.dumps([epoch + 1, link]).encode())
            print(f"epoch {epoch} done", flush=True)
            run.heartbeat()
            if run.should_stop() and epoch + 1 < epochs:
                raise StopRequested
        write_results(run, epochs, link)
        time.sleep(max(0.0, end - time.monotonic()))

    def read_detections(self, run: RunContext) -> Any:
        raise NotImplementedError

    def build_for_timing(self, length: int, recipe: Recipe = FULL_SIZE) -> Any:
        return self.build_for_macs(length)

    def build_for_macs(self, length: int) -> Any:
        raise NotImplementedError

    def example_input(self, length: int, recipe: Recipe = FULL_SIZE) -> tuple[Any, ...]:
        raise NotImplementedError


def adapter(model: str) -> StandIn:
    return StandIn(model)


def load(path: Path, run_id: str) -> tuple[int, str]:
    if not path.exists():
        return 0, run_id
    epoch, link = json.loads(path.read_text())
    return int(epoch), str(link)


def write_results(run: RunContext, epochs: int, link: str) -> None:
    value = int(link[:8], 16) / 0xFFFFFFFF
    rows = [
        {"epoch": epochs - 1, "selection": "last", "weights": "raw", "protocol": "af-212", "tiou": tiou, "ap": value}
        for tiou in (0.3, 0.4, 0.5, 0.6, 0.7)
    ]
    run.record.write_metrics(
        rows,
        optimizer_steps=epochs,
        seconds={"total": 0.0, "train": 0.0, "eval": 0.0, "checkpoint": 0.0},
        table2_seconds=0.0,
        table2_definition="stand-in: nothing was trained",
        link=link,
    )


def misbehave(how: str, run: RunContext) -> None:
    if how == "hang":
        time.sleep(3600)
    elif how == "memory":
        raise MemoryError("cannot allocate 2 GiB")
    elif how == "cuda-memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
    elif how == "nan":
        raise FloatingPointError("loss is nan at epoch 3, batch video_validation_0000051")
    elif how == "disk":
        raise OSError(28, "No space left on device", str(run.record.paths.folder))
    elif how == "folder":
        shutil.rmtree(run.record.paths.folder)
    elif how == "die":
        os.kill(os.getpid(), 9)
    elif how == "exit":
        os._exit(1)
