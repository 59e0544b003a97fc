"""`tal-repro show RUN_ID`: everything about one run, and the command that repeats it."""

from __future__ import annotations

import json
from typing import Any

import click

from tal_repro.commands.completion import run_ids
from tal_repro.commands.study_options import results_option
from tal_repro.console import echo, echo_command, emit, tell_next


@click.command()
@click.argument("run_id", shell_complete=run_ids)
@results_option
@click.option("--lines", type=click.IntRange(0), default=15, show_default=True, help="Lines of its log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(run_id: str, results: str, lines: int, as_json: bool) -> None:
    """Show a run: specification, system, metrics, the end of its log, and how to repeat it."""
    from tal_repro.run.view import describe_run, find_run
    from tal_repro.runs.store import RunStore

    store = RunStore(results)
    described = describe_run(store, find_run(store, run_id), lines)
    if as_json:
        emit(json.dumps(described, indent=1))
    else:
        echo(format_run(described))
        if described["repeat"]:
            echo_command("repeat it: ", described["repeat"])
        tell_next(f"look into {described['folder']}")


def format_run(described: dict[str, Any]) -> str:
    status, system = described["status"], described["system"]
    lines = [f"run {described['id']}: {described['state']}", f"folder: {described['folder']}"]
    if described["damaged"]:
        remedy = "; the next start sets it aside and runs it again" if described["state"] == "done" else ""
        lines.append(f"DAMAGED: {', '.join(described['damaged'])}{remedy}")
    lines += _spec(described["spec"])
    lines += [f"{key}: {status[key]}" for key in ("reason", "study", "attempts", "seconds", "started") if key in status]
    if system:
        alone = "alone on it" if system.get("alone") else "not alone on it"
        known = [str(system[key]) for key in ("machine", "host") if system.get(key)]
        lines.append(f"machine: {', '.join([*known, alone])}")
    lines += _metrics(described["metrics"])
    lines += ["files: " + ", ".join(f"{name} ({size} bytes)" for name, size in described["files"].items())]
    if described["log"]:
        lines += ["log:", *(f"  {line}" for line in described["log"])]
    return "\n".join(lines)


def _spec(spec: dict[str, Any] | None) -> list[str]:
    if spec is None:
        return []
    data = spec["data"]
    lines = [
        f"experiment: {spec['experiment']}, model {spec['model']}, engine {spec['engine']} {spec['engine_version']}",
        f"data: {data['name']} {data['version']}{' (synthetic)' if data['synthetic'] else ''}"
        f", digest {spec['data_digest'][:8] or 'not recorded'}"
        if data
        else "data: none",
    ]
    if spec.get("subset"):
        subset = spec["subset"]
        share = f"{subset['percent']:g} % of {subset['unit']}s"
        lines.append(f"subset: {share}, {subset['policy']}, seed {subset['seed']}")
    threads = f"{spec['threads']} thread{'' if spec['threads'] == 1 else 's'}"
    lines.append(f"seed {spec['seed']}, {spec['device_kind']}, {spec['precision']}, {threads}")
    return [*lines, "recipe: " + ", ".join(f"{key} {value}" for key, value in spec["recipe"].items())]


def _metrics(metrics: dict[str, Any]) -> list[str]:
    """Write the average mAP of every (selection, weights, protocol)."""
    from tal_repro.runs.run import averages

    lines = [
        f"average mAP, {selection}, {weights} weights, {protocol}: {average:.2f} %"
        for (selection, weights, protocol), average in averages(metrics.get("rows", [])).items()
    ]
    return lines + [f"INVALID: {flag}" for flag in metrics.get("flags", [])]
