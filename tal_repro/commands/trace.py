"""`tal-repro trace`: run any command under the sampler; CSV, summary and figure of what it did to the machine."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.measure.trace import Traced

SHOWN = (
    "cpu_mean_percent",
    "cpu_busiest_percent",
    "thread_busiest_percent",
    "process_cpu_percent",
    "process_memory_mib",
    "memory_free_percent",
    "disk_read_mib_s",
    "disk_write_mib_s",
    "gpu_percent",
    "gpu_memory_mib",
    "gpu_memory_bandwidth_percent",
    "pcie_received_mib_s",
    "pcie_sent_mib_s",
    "power_w",
)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--out", type=click.Path(path_type=Path), help="Write here.  [default: results/traces/TIME]")
@click.option("--interval", "interval_s", type=float, default=0.5, show_default=True, help="Seconds between samples.")
@click.option(
    "--baseline", "baseline_s", type=float, default=2.0, show_default=True, help="Idle seconds before; 0: none."
)
@click.option("--gpu", "gpu_index", type=click.IntRange(0), help="GPU to sample.  [default: 0, if there is one]")
@click.option("--figure/--no-figure", "draws", default=True, show_default=True, help="Draw Figure 6 of the trace.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON (after what the command prints).")
def trace(
    command: tuple[str, ...],
    out: Path | None,
    interval_s: float,
    baseline_s: float,
    gpu_index: int | None,
    draws: bool,
    as_json: bool,
) -> None:
    """Sample CPU, memory, disk, network, GPU and power while COMMAND runs.

    Write "--" before it: tal-repro trace -- COMMAND.

    Ends with the command's own exit code.
    """
    from tal_repro.files import write_whole
    from tal_repro.measure.trace import trace_command
    from tal_repro.runs.folder import RunPaths

    gpu = _gpu(gpu_index)
    folder = _folder(out)
    paths = RunPaths(folder)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        traced = trace_command(command, paths.trace, paths.events, interval_s, baseline_s=baseline_s, gpu_index=gpu)
    except InputError:
        with contextlib.suppress(OSError):  # nothing was traced: leave no empty folder
            folder.rmdir()
        raise
    summary = _summary(command, traced, started, folder, gpu)
    write_whole(folder / "trace.json", json.dumps(summary, indent=1).encode() + b"\n")
    echo("\n".join(_text(summary, folder)), err=True)
    if draws:
        _draw(command, folder)
    if as_json:
        emit(json.dumps(summary, indent=2))
    else:
        tell_next(f"{paths.trace} holds a line a sample; docs/measuring.md says what each column is")
    sys.exit(traced.exit_code)


def _folder(out: Path | None) -> Path:
    folder = out or Path("results", "traces", datetime.now(UTC).strftime("%Y%m%dT%H%M%S"))
    if (folder / "trace.csv").exists():
        raise InputError("holds a trace already", folder, "choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make this folder ({error.strerror})", folder, "choose another with --out") from None
    return folder


def _gpu(index: int | None) -> int | None:
    """Return the GPU to sample; InputError when one was asked for and is not there."""
    from tal_repro.measure.nvml import open_gpu

    if open_gpu(index or 0) is not None:
        return index or 0
    if index is not None:
        raise InputError(f"NVML finds no GPU {index}", "--gpu", "check nvidia-smi, or leave the option out")
    return None


def _summary(command: tuple[str, ...], traced: Traced, started: str, folder: Path, gpu: int | None) -> dict[str, Any]:
    from tal_repro.measure.trace import summarise
    from tal_repro.run.system import machine_name
    from tal_repro.runs.folder import RunPaths
    from tal_repro.runs.trace import read_trace

    paths = RunPaths(folder)
    try:
        columns = summarise(paths.trace)
        phases = [vars(phase) for phase in read_trace(folder).phases]
    except InputError:  # the command ended before the first sample
        columns, phases = {}, []
    return {
        "schema": "tal-repro/trace/1",
        "command": list(command),
        "exit_code": traced.exit_code,
        "started": started,
        "seconds": round(traced.seconds, 4),
        "machine": machine_name("cpu" if gpu is None else f"cuda:{gpu}"),
        "baseline": traced.baseline,
        "sampler": traced.sampler,
        "columns": columns,
        "phases": phases,
    }


def _text(summary: dict[str, Any], folder: Path) -> list[str]:
    from tal_repro.measure.energy import JOULES_PER_KWH

    sampler, baseline = summary["sampler"], summary["baseline"]
    lines = [f"trace of {summary['seconds']:.2f} s, exit code {summary['exit_code']}: {folder}"]
    if baseline and "cpu_mean_percent" in baseline["columns"]:
        idle = baseline["columns"]["cpu_mean_percent"]["mean"]
        busy = " (this machine is not quiet)" if idle > 5 else ""
        lines.append(f"before it, idle for {baseline['seconds']:g} s: CPU {idle:.2f} %{busy}")
    shown = {name: summary["columns"][name] for name in SHOWN if name in summary["columns"]}
    if shown:
        columns = {"counter": list(shown), "mean": [f"{counter['mean']:.2f}" for counter in shown.values()]}
        columns["99th percentile"] = [f"{counter['p99']:.2f}" for counter in shown.values()]
        lines += table(columns, indent="  ")
    if "samples" in sampler:
        cost = f"; sampling used {sampler['own_cpu_percent_of_one_core']:.3f} % of one core"
        lines.append(
            f"{sampler['samples']} samples every {sampler['interval_s']:g} s, {sampler['missed']} missed"
            + (cost if sampler["samples"] else "")
        )
    for part, joules in sampler.get("energy_joules", {}).items():
        lines.append(f"energy, {part}: {joules:.1f} J, {joules / JOULES_PER_KWH:.3g} kWh")
    if sampler.get("error"):
        lines.append(f"the trace is not whole: {sampler['error']}")
    return lines


def _draw(command: tuple[str, ...], folder: Path) -> None:
    """Draw the trace as Figure 6 is drawn; a trace too short for it is said, not drawn."""
    from tal_repro.paper.figures.drawing import save
    from tal_repro.paper.figures.hardware_trace import draw_trace
    from tal_repro.run.system import machine_name
    from tal_repro.runs.trace import read_trace

    name = Path(command[0]).name[:24]
    try:
        drawing = draw_trace(read_trace(folder), f"the command {name}", f"{name}, {machine_name('cpu')}")
    except InputError as error:
        echo(f"no figure: {error.what}", err=True)
        return
    for path in save(drawing, 6, folder):
        emit(str(path), err=True)
