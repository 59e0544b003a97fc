"""What a training step waits for, of every traced run: shares, the verdict in words, and estimates of faster parts."""

from __future__ import annotations

from typing import Any

from tal_repro.models.registry import MODELS
from tal_repro.paper.report.markup import NOTHING, Html, join, number, table
from tal_repro.paper.report.run_rows import data_name
from tal_repro.runs.details import finite, part
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

SHARES = {
    ("host", "data_wait"): "Waits for data (%)",
    ("host", "operators"): "Operators (%)",
    ("host", "python"): "Python (%)",
    ("host", "synchronisation"): "Waits for the device (%)",
    ("device_account", "kernels"): "GPU kernels (%)",
    ("device_account", "copies"): "GPU copies (%)",
    ("what_if", "core_1.5x"): "Core x 1.5 (%)",
    ("what_if", "gpu_2x"): "GPU x 2 (%)",
}
HEADER = ("Model", "Engine", "Data", "Machine", "Step (ms)", *SHARES.values(), "In words", "Run")


def steps(runs: Runs) -> Html:
    """Return the table, nothing where no trace has an account of its steps."""
    rows = [row for run in runs.of("trace") if (row := _row(run, runs))]
    if not rows:
        return join([])
    note = "Shares of a mean step. A faster core and GPU: estimates by Amdahl's law, in percent of today's step."
    told = [index for index in range(len(HEADER)) if any(row[index] != NOTHING for row in rows)]  # no empty columns
    shown = [[row[index] for index in told] for row in rows]
    return table("What a training step waits for", [HEADER[index] for index in told], shown, note)


def _row(run: Run, runs: Runs) -> list[object] | None:
    found = part(run.details, "attribution")
    if not part(found, "host"):
        return None
    shares = [number(_percent(part(found, account).get(name)), 1) for account, name in SHARES]
    title = MODELS[run.model].title if run.model in MODELS else run.model
    words = str(found.get("verdict") or NOTHING)[:300]
    return [title, run.engine, data_name(run), run.device, number(finite(found.get("step_ms")), 1), *shares,
            words, run.run_id]  # fmt: skip


def _percent(value: Any) -> float | None:
    share = finite(value)
    return None if share is None else 100 * share
