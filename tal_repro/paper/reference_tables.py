"""Tables of REPRODUCE.md from `results/reference`: the native engine against the authors' code, equality and speed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.paper.published import published_folder
from tal_repro.paper.tables import TextTable, render

Json = Mapping[str, Any]
CHECKS = ("parameters", "outputs", "losses", "gradients", "steps", "detections")
TIMED = {
    "inference_full": "inference, full length",
    "inference_real": "inference, real lengths",
    "training_full": "training step, full length",
    "training_real": "training step, real lengths",
}
EQUALITY_NOTE = (
    "Outputs, losses and detections: largest difference over the tensor's maximum, float32, limit 1e-5. Gradients and "
    "steps (weights and their average after 20 optimiser steps): float64, limit 1e-7, where the authors' code runs in "
    "it; elsewhere as a multiple of what one-ulp noise on the weights does to the authors' code itself, limit 3. "
    "Detections: whole lists after NMS, order included."
)
SPEED_NOTE = (
    "Median of neighbouring pairs and their range; absolute CPU times are not claimed. GEMM peak: full-length "
    "inference, native (authors'), as a share of the best rate of a 2048-square float32 product in the same process. "
    "Products: share of a native training step inside matrix products and convolutions, by torch.profiler."
)


def equality_text() -> str:
    """Return the table of full-size parity: the worst row of every check, beside its limit."""
    header = ("Model", *(name.capitalize() for name in CHECKS), "Authors' commit")
    reports = {name: _read(_reference() / "parity" / f"{name}.json") for name in MODELS}
    rows = tuple(
        (MODELS[name].title, *(_worst(report["rows"], check) for check in CHECKS), _commit(report, name))
        for name, report in reports.items()
    )
    caption = "Native models against the authors' code, full size, random weights"
    return render(TextTable(caption, header, rows, (EQUALITY_NOTE,)), "markdown").rstrip()


def speed_text() -> str:
    """Return the table of native speed over the authors' code, measured in turn in one process."""
    reports = [_read(path) for path in sorted((_reference() / "speed").glob("models*.json"))]
    timed = {name: (found, report) for report in reports for name, found in report["models"].items()}
    header = ("Model", *(label.capitalize() for label in TIMED.values()), "GEMM peak reached", "Step spent on products")
    rows = tuple(
        (MODELS[name].title, *(_ratio(timed[name][0].get(kind)) for kind in TIMED), *_bound(*timed[name]))
        for name in MODELS
        if name in timed
    )
    threads = "/".join(str(number) for number in sorted({report["threads"] for report in reports}))
    caption = f"Times as fast as the authors' code (CPU, {threads} threads, synthetic features)"
    return render(TextTable(caption, header, rows, (SPEED_NOTE,)), "markdown").rstrip()


def _ratio(timing: Json | None) -> str:
    if timing is None:
        return "not timed"
    low, high = timing["speedup_range"]
    return f"{timing['speedup']:.2f} ({low:.2f} to {high:.2f})"


def _bound(found: Json, report: Json) -> tuple[str, str]:
    peak, done = report["gemm_peak_gflops"], found["arithmetic"]
    native, upstream = (done[f"{side}_gflops"] / peak for side in ("native", "upstream"))
    return f"{native:.0%} ({upstream:.0%})", f"{found['training_profile']['matrix products and convolutions']:.0%}"


def _worst(rows: Iterable[Json], check: str) -> str:
    found = [row for row in rows if row["check"] == check]
    if not found:
        return "not run"
    worst = max(found, key=lambda row: row["value"])
    if check == "parameters":
        return f"{worst['detail']['native']:,}"
    if check == "detections":
        return f"{worst['value']:.1e} of {sum(row['detail']['detections'] for row in found):,}"
    return f"{worst['value']:.2f} x own noise" if "own noise" in worst["case"] else f"{worst['value']:.1e}"


def _commit(report: Json, name: str) -> str:
    return f"`{report['upstream'][name]['commit'][:8]}`"


def _reference() -> Path:
    return published_folder().parent / "reference"


def _read(path: Path) -> Json:
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", path, "restore the file from the repository") from None
    return found
