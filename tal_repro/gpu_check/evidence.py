"""What is seen on a card: the processes that work on it, one after the other, and the samples taken meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tal_repro import kit
from tal_repro.engines.upstream.checkout import status
from tal_repro.errors import InputError
from tal_repro.measure.trace import Sampler, read_trace
from tal_repro.models.registry import OF_AUTHORS
from tal_repro.run.trial import setting_words
from tal_repro.run.trial import small as small_sizes

INTERVAL_S = 0.1
TASK_SECONDS = 300.0  # torch from a cold network disk, and a first use of the card
LAST_LINES = 3
NATIVE = "native"  # the task of the kit's own models, which tells of each of them
COLUMNS = ("gpu_percent", "gpu_memory_mib", "power_w")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One process to start on the card."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What became of every task, by name (a line each, with `started` and `ended`), and what was sampled."""

    lines: dict[str, dict[str, Any]]
    samples: dict[str, list[float]] = field(default_factory=dict)  # by column, and `unix_time`
    sampler: dict[str, Any] = field(default_factory=dict)  # its own summary

    def during(self, name: str, column: str) -> list[float]:
        """Return the samples of a column taken while a task was at work."""
        line = self.lines.get(name, {})
        started, ended = line.get("started", 0.0), line.get("ended", 0.0)
        times = self.samples.get("unix_time", [])
        pairs = zip(times, self.samples.get(column, []), strict=False)
        return [value for at, value in pairs if started <= at <= ended and value == value]


def own_task(device: str, small: bool) -> Task:
    """Return the task of the kit's own models."""
    words = ("-m", "tal_repro.gpu_check.exercise", device, *(["small"] if small else []))
    return Task(NATIVE, (sys.executable, "-P", *words))


def authors_task(model: str, device: str, data: Path, small: bool = False) -> Task:
    """Return the task that takes training steps of a model's authors' code."""
    words = ["bench", "attribution", "--model", model, "--engine", "upstream", "--data", str(data)]
    if small:
        words += setting_words(small_sizes(model, "upstream"))
    command = (sys.executable, "-P", "-m", "tal_repro", *words, "--device", device, "--steps", "1", "--json")
    return Task(f"authors {model}", command)


def models_of_authors() -> list[str]:
    """Return the models whose authors' code is there, as a patched copy or as a sound checkout."""
    if kit.checkout() is None:
        return []
    looked = [status(model) for model in OF_AUTHORS]
    return [state.model for state in looked if state.prepared or (state.present and not state.problem)]


def make_data(folder: Path) -> Path:
    """Make a synthetic set on which the authors' code takes ten steps before its first evaluation: 0.4 GiB, seconds."""
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_config import SyntheticConfig

    return write_synthetic(folder / "data", SyntheticConfig(60, 20, 2048, 20, (40.0, 60.0), difficulty=0.5, seed=5))


def collect(
    device: str,
    gpu_index: int | None,
    models: Sequence[str],
    say: Say,
    *,
    small: bool = False,
    run: Callable[[Task], list[dict[str, Any]]] | None = None,
) -> Evidence:
    """Run every task under the sampler; what fails is told in its line. `models`: whose authors' code is there."""
    run = run or run_task
    lines: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="tal-repro-gpu-check-") as scratch:
        trace = Path(scratch, "samples.csv")
        data = make_data(Path(scratch)) if models else Path(scratch)
        try:
            with Sampler(trace, INTERVAL_S, gpu_index=gpu_index) as sampler:
                time.sleep(3 * INTERVAL_S)  # the card before anything of ours
                say("the kit's own models on random features")
                lines |= {str(line["did"]): line for line in run(own_task(device, small))}
                for model in models:
                    say(f"the authors' {model} on synthetic data")
                    lines |= {str(line["did"]): line for line in run(authors_task(model, device, data, small))}
            summary = sampler.summary
            table = read_trace(trace)
        except InputError as error:  # of the sampler: what the tasks said stands
            return Evidence(lines, {}, {"error": str(error.what)})
    samples = {name: table[name].tolist() for name in ("unix_time", *COLUMNS) if name in table}
    return Evidence(lines, samples, summary)


def run_task(task: Task) -> list[dict[str, Any]]:
    """Run a process to its end; return its lines, and one with its last words where it failed."""
    started = time.time()
    try:
        done = subprocess.run(
            task.command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=TASK_SECONDS, env=kit.child_environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [_line(task, started, {"problem": f"it did not end in {TASK_SECONDS:.0f} s"})]
    except OSError as error:
        return [_line(task, started, {"problem": f"cannot be started ({error.strerror})"})]
    lines = _lines(done.stdout)
    if task.name == NATIVE:  # it tells of each thing it did
        failed = [] if done.returncode == 0 else [_line(task, started, {"problem": _last_words(done)})]
        return lines + failed
    if done.returncode != 0 or not lines:
        return [_line(task, started, {"problem": _last_words(done)})]
    return [_line(task, started, {"step_ms": lines[0].get("step_ms")})]


def _line(task: Task, started: float, values: dict[str, Any]) -> dict[str, Any]:
    return {"did": task.name, "started": started, "ended": time.time(), **values}


def _lines(text: str) -> list[dict[str, Any]]:
    """Read the JSON objects of an output: one a line, or one over all."""
    try:
        whole = json.loads(text)
        return [whole] if isinstance(whole, dict) else []
    except ValueError:
        pass
    lines = []
    for line in text.splitlines():
        try:
            line_values = json.loads(line)
        except ValueError:
            continue
        if isinstance(line_values, dict) and "did" in line_values:
            lines.append(line_values)
    return lines


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return " | ".join(said[-LAST_LINES:])[:400] or f"it ended with status {done.returncode} and no message"
