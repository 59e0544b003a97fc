"""Made-up evidence of a card: what every task told, and samples of its memory; a test changes what it is about."""

from __future__ import annotations

from typing import Any

from tal_repro.gpu_check.evidence import Evidence
from tal_repro.models.registry import MODELS, OF_AUTHORS

SECONDS = 2.0  # of each task
IDLE_MIB = 400.0
STEP_MIB = {"tadtr": 3000.0, "actionformer": 4000.0, "tridet": 6000.0, "temporalmaxer": 2000.0}


def evidence(small: float = 1.0, without: tuple[str, ...] = (), **changes: dict[str, Any]) -> Evidence:
    """Return a sound card's evidence; `changes` replace the line of a task (spaces as underscores)."""
    native = [name for name, entry in MODELS.items() if "native" in entry.engines]
    names = ["product", *(f"native {model}" for model in native), *(f"authors {model}" for model in OF_AUTHORS)]
    lines: dict[str, dict[str, Any]] = {}
    times, used = [98.0, 99.0], [IDLE_MIB, IDLE_MIB]
    for number, name in enumerate(names):
        started = 100.0 + number * SECONDS
        line: dict[str, Any] = {"did": name, "started": started, "ended": started + SECONDS - 0.1}
        if name == "product":
            line["relative_error"] = 3e-7
        else:
            line["step_ms"] = 80.0
        if name.startswith("native"):
            line |= {"score_difference": 1e-6, "detections": 90, "detections_cpu": 90}
        line |= changes.get(name.replace(" ", "_"), {})
        lines[name] = line
        model = name.rpartition(" ")[2]
        times += [started + 0.5, started + 1.0]
        used += [IDLE_MIB, IDLE_MIB + small * STEP_MIB.get(model, 1000.0)]
    samples = {"unix_time": times, "gpu_memory_mib": used, "gpu_percent": [0.0, *([40.0] * (len(times) - 1))]}
    samples = {name: values for name, values in samples.items() if name not in without}
    sampler: dict[str, Any] = {"samples": len(times), "missed": 0, "seconds": 30.0, "own_cpu_percent_of_one_core": 1.0}
    if "energy" not in without:
        sampler["energy_joules"] = {"gpu": 4500.0}
    return Evidence(lines, samples, sampler)
