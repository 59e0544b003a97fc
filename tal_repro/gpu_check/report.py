"""What gpu-check keeps: one file a system, below results/reference. It names no host, user or folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tal_repro import __version__
from tal_repro.doctor.finding import Finding, exit_code
from tal_repro.errors import InputError, system_remedy
from tal_repro.files import write_json
from tal_repro.gpu_check.untried import never_run
from tal_repro.machine.gpus import Gpu, Gpus
from tal_repro.run.room import FILE_NAME, SCHEMA, kept_reports

_MAKER = re.compile(r"^(nvidia|tesla|quadro|geforce)\s+", re.IGNORECASE)


def make_report(
    state: Gpus,
    gpu: Gpu | None,
    torch_version: str,
    findings: Sequence[Finding],
    steps: Mapping[str, Any],
    rehearsal: bool,
) -> dict[str, Any]:
    """Return the report; `gpu` is None on a CPU, where it is a rehearsal and is never taken for a card's."""
    card = _card(gpu) if gpu else {"product": "none", "total_mib": 0, "capability": [0, 0]}
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "kit": __version__,
        "rehearsal": rehearsal,
        "card": card,
        "driver": state.driver,
        "torch": torch_version,
        "verdict": verdict(findings, rehearsal),
        "fit": not exit_code(findings),
        "checks": [finding.to_json() for finding in findings],
        "step_mib": dict(steps),
    }
    return {**report, "never_on_a_gpu": never_run([report, *(kept for _, kept in kept_reports())])}


def verdict(findings: Sequence[Finding], rehearsal: bool) -> str:
    """Say in a line what the checks come to."""
    failed = [finding.check for finding in findings if finding.status == "fail"]
    what = "a rehearsal on the CPU" if rehearsal else "this card"
    if failed:
        return f"{what}: NOT fit, {', '.join(failed)}"
    warned = sum(finding.status == "warn" for finding in findings)
    return f"{what}: fit" + (f", with {warned} to mind" if warned else "")


def system_name(gpu: Gpu | None) -> str:
    """Return the folder's name under results/reference: gpu-a10 of an "NVIDIA A10"."""
    if gpu is None:
        return "rehearsal"
    name = gpu.name
    while (shorter := _MAKER.sub("", name)) != name:
        name = shorter
    return "gpu-" + (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown")


def kept_of(gpu: Gpu, driver: str, torch_version: str) -> Path | None:
    """Return the kept report that found this card fit, under this driver, torch and kit (None: there is none)."""
    required = {"kit": __version__, "driver": driver, "torch": torch_version, "fit": True}
    for path, report in kept_reports():
        if all(report.get(key) == value for key, value in required.items()) and report["card"] == _card(gpu):
            return path
    return None


def _card(gpu: Gpu) -> dict[str, Any]:
    total = round(gpu.total_mib)
    return {"product": gpu.name, "total_mib": total, "capability": list(gpu.capability)}


def keep(report: Mapping[str, Any], out: Path, gpu: Gpu | None) -> Path:
    """Write the report below `out`; return its file. A former one of the same system is replaced."""
    path = out / system_name(gpu) / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = system_remedy(error) or "choose another folder"
        raise InputError(f"cannot be made ({error.strerror})", path.parent, remedy) from None
    write_json(path, report)
    return path
