"""What no GPU has run yet: the one list. `gpu-check` prints what is left of it, `make docs` writes it into a document.

A part is off the list when a report that is kept names all of its checks as ok, or when something else that is kept
shows it (`seen`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tal_repro.models.registry import MODELS, OF_AUTHORS, OF_STUDY

H200 = "results/reference/gpu-h200"


@dataclass(frozen=True)
class Part:
    """Something that the kit can do on a GPU."""

    name: str
    checks: tuple[str, ...] = ()  # of gpu-check, which show that it works
    seen: str = ""  # what else shows it: a file or folder of the repository


NATIVE = tuple(name for name, entry in MODELS.items() if "native" in entry.engines)


def _seen(model: str) -> str:
    """Return the timings of a model's training steps by both engines on an H200 ("": none was made)."""
    return f"{H200}/models.json" if model in OF_STUDY else ""


PARTS = (
    Part("gpu-check itself", ("product",)),
    Part("the locked builds of torch (env/cuda.lock, env/cuda12.lock)", ("torch",)),
    *(Part(f"a training step of the native {model}", (f"native {model}",), _seen(model)) for model in NATIVE),
    *(Part(f"a training step of the authors' {model}", (f"authors {model}",), _seen(model)) for model in OF_AUTHORS),
    Part("a whole training at full size, native: tridet, temporalmaxer"),
    Part("a whole training by the authors' code: all but tadtr"),
    Part("detections from a card beside those from a CPU", ("detections",)),
    Part("the sampler and NVML's counters", ("sampler", "utilisation"), seen=f"{H200}/trace"),
    Part("the energy counter", ("energy",), seen=f"{H200}/trace"),
    Part("inference against length (Figures 4 and 5) of either engine"),
    Part("baselines of five seeds, alone on the card"),
    Part("a data sweep"),
    Part("several runs at a time on one card (jobs_per_gpu)"),
    Part("several cards, a MIG slice"),
    Part("bfloat16 on a card"),
    Part("an image with CUDA: built, and run under docker --gpus or podman with CDI"),
    Part("GPUs under Slurm"),
    Part("real THUMOS14 features"),
)


def never_run(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the parts that neither a kept report nor anything else that is kept has seen on a GPU."""
    fine: list[set[str]] = [_fine(report) for report in reports if not report.get("rehearsal")]
    return [
        part.name
        for part in PARTS
        if not part.seen and not (part.checks and any(set(part.checks) <= names for names in fine))
    ]


def _fine(report: Mapping[str, Any]) -> set[str]:
    """Return the checks that were ok in a report (none of a damaged one)."""
    checks = report.get("checks")
    rows = [row for row in checks if isinstance(row, dict)] if isinstance(checks, list) else []
    return {str(row.get("check")) for row in rows if row.get("status") == "ok"}
