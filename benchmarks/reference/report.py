"""The report of a parity or speed run: what was compared, on what, with which sources."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tal_repro.models import model_entry

COMMIT_VARIABLE = "TAL_REPRO_COMMIT"  # where the kit itself is a copy without its history


def describe_run(models: Sequence[str], upstream: Path, seed: int) -> dict[str, Any]:
    """Return versions, commits, threads and machine of this run."""
    return {
        "schema": "tal-repro/parity/1",
        "seed": seed,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "soft_nms": "upstream's extension" if importlib.util.find_spec("nms_1d_cpu") else "its algorithm in numpy",
        "upstream": {name: _source(upstream / model_entry(name).submodule) for name in models},
        "native_commit": _commit(Path.cwd()) or os.environ.get(COMMIT_VARIABLE, ""),
    }


def write_report(path: Path, head: dict[str, Any], rows: Iterable[Any]) -> None:
    """Write the run's description and its rows as JSON.

    Rows of an existing report that this run did not repeat are kept, each with the commit they were measured at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = [{**asdict(row), "native_commit": head["native_commit"]} for row in rows]
    done = {(row["model"], row["check"]) for row in fresh}
    old = json.loads(path.read_text()) if path.exists() else {"rows": []}
    kept = [
        {"native_commit": old["native_commit"], **row}
        for row in old["rows"]
        if (row["model"], row["check"]) not in done
    ]
    path.write_text(json.dumps({**head, "rows": kept + fresh}, indent=1) + "\n")


def print_table(rows: Iterable[Any]) -> None:
    """Print one line per row."""
    for row in rows:
        verdict = "ok  " if row.passed else "MISS"
        print(
            f"{verdict} {row.model:14s} {row.check:12s} {row.case:44s} {row.value:9.2e} <= {row.limit:.0e}", flush=True
        )


def _source(folder: Path) -> dict[str, str]:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return {"commit": _commit(folder), "python_sha256": digest.hexdigest()}


def _commit(folder: Path) -> str:
    """Return the commit of a checkout, "" of a copy without its history (not that of a repository around it)."""
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
