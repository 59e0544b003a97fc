"""Settings of the machine given by --set: how many runs share a GPU, when one counts as hung, what Slurm is asked for.

They are no part of a run's identity; `plan` and `run --dry-run` check them as `run` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tal_repro.errors import InputError

JobsPerGpu = Literal["auto", "measured"]
WATCHED: dict[str, JobsPerGpu] = {"auto": "auto", "measured": "measured"}
HANG_SECONDS = 1800.0
SLURM = "slurm."
_WHOLE = ("timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task", "signal_delay_s")
_TEXT = ("partition", "account", "qos", "constraint", "gres", "exclude", "container", "python")


def is_machine_setting(key: str) -> bool:
    """Tell a setting of the machine from one of the study; a wrong name under `slurm.` is the machine's."""
    return key in ("jobs_per_gpu", "hang_seconds") or key.startswith(SLURM)


def check_machine(machine: Mapping[str, str]) -> None:
    """Raise InputError for a value that `run` could not use."""
    jobs_per_gpu(machine)
    hang_seconds(machine)
    slurm_options(machine)


def jobs_per_gpu(machine: Mapping[str, str]) -> int | JobsPerGpu:
    """Return how many runs share a GPU, or by what that is decided where the GPU is seen.

    `auto`: as many as the first run shows to fit; `measured`: as many as gpu-check found room for.
    """
    text = machine.get("jobs_per_gpu", "1")
    if text in WATCHED:
        return WATCHED[text]
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"jobs_per_gpu = {text!r}", "--set", "use a whole number of 1 or more, auto, or measured")
    return int(text)


def hang_seconds(machine: Mapping[str, str]) -> float:
    """Return after how many seconds without a sign of life a run is ended."""
    text = machine.get("hang_seconds", str(HANG_SECONDS))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"hang_seconds = {text!r}", "--set", "use a number of seconds above 0")
    return value


def slurm_options(machine: Mapping[str, str]) -> dict[str, Any]:
    """Return the `slurm.*` settings; raise InputError for one that is not known."""
    options: dict[str, Any] = {}
    for key, value in machine.items():
        name = key.removeprefix(SLURM)
        if not key.startswith(SLURM):
            continue
        if name not in (*_WHOLE, *_TEXT):
            raise InputError(f"unknown setting {key!r}", "--set", f"use slurm. and: {', '.join((*_WHOLE, *_TEXT))}")
        if name in _WHOLE and not value.isdecimal():
            raise InputError(f"{key} = {value!r}", "--set", "use a whole number")
        options[name] = int(value) if name in _WHOLE else value
    return options
