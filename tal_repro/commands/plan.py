"""`tal-repro plan`: the grid as a table, with what it will cost, before anything starts."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.study_options import open_study, study_options, study_words
from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.run.plan import Plan, PlannedRun

MAX_PRICE = 1_000_000


@click.command()
@study_options
@click.option("--experiment", default=None, help="Short for --only experiment=...")
@click.option("--model", default=None, help="Short for --only model=...")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at the same time.")
@click.option("--price", type=float, default=None, help="Dollars an hour; default: the study's.")
@click.option("--probe", is_flag=True, help="Scale the estimates by 60 seconds of training on this machine.")
@click.option("--data", type=click.Path(file_okay=False), default=None, help="Data set (for --probe).")
@click.option("--list", "list_runs", is_flag=True, help="Show every run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/plan.json).")
def plan(
    study_name: str,
    scope: str,
    only: str,
    results: str,
    settings: tuple[str, ...],
    experiment: str | None,
    model: str | None,
    jobs: int,
    price: float | None,
    probe: bool,
    data: str | None,
    list_runs: bool,
    as_json: bool,
) -> None:
    """Show the runs of a study, what is done, and what the rest will cost."""
    from tal_repro.paper.claims.settled import unsettled, unsettled_lines
    from tal_repro.run.machine import jobs_per_gpu
    from tal_repro.run.plan import make_plan
    from tal_repro.runs.store import RunStore

    if price is not None and not 0 <= price <= MAX_PRICE:  # nan too
        raise InputError(f"{price:g} dollars an hour", "--price", f"use a number from 0 to {MAX_PRICE}")
    study, machine = open_study(study_name, settings, only)
    shorts = [f"{key}={value}" for key, value in (("experiment", experiment), ("model", model)) if value]
    only = ",".join(filter(None, [only, *shorts]))
    factors = None
    if probe:
        from tal_repro.run.probe import probe_study

        factors = probe_study(study, scope, only, data, lambda line: echo(line, err=True))
    planned = make_plan(study, RunStore(results), scope, only, jobs, price, factors, jobs_per_gpu(machine))
    specs = [run.spec for run in planned.runs]
    if as_json:
        open_claims = [entry.to_json() for entry in unsettled(specs)]
        emit(json.dumps({**planned.to_json(), "unsettled": open_claims}, indent=1, allow_nan=False))
        return
    echo("\n".join([format_plan(planned), *unsettled_lines(specs)]))
    if list_runs:
        echo(format_runs(planned.runs))
    more = f"tal-repro run {study_words(study_name, settings, only)} --scope {scope} --results {results}"
    if planned.pending:
        tell_next(f"tal-repro doctor {study_words(study_name, settings)}", more)
    else:
        tell_next(f"tal-repro report --results {results}")


def format_plan(plan: Plan) -> str:
    """Write the grid as a table by experiment, model and engine, and the totals in words."""
    from tal_repro.run.progress import format_duration

    groups: dict[tuple[str, str, str], list[PlannedRun]] = defaultdict(list)
    for run in plan.runs:
        groups[run.spec.experiment, run.spec.model, run.spec.engine].append(run)
    kind = " (synthetic data)" if plan.study.data.synthetic else ""
    lines = [f"study {plan.study.name}, scope {plan.scope}{kind}", ""]
    left = {key: [run for run in runs if run.status in ("todo", "partial")] for key, runs in groups.items()}
    failed = [sum(run.status == "failed" for run in runs) for runs in groups.values()]
    lines += table(
        {
            "experiment": [key[0] for key in groups],
            "model": [key[1] for key in groups],
            "engine": [key[2] for key in groups],
            "runs": [len(runs) for runs in groups.values()],
            "done": [sum(run.status == "done" for run in runs) for runs in groups.values()],
            "to do": [len(runs) for runs in left.values()],
            **({"failed": failed} if any(failed) else {}),
            "time left": [
                format_duration(sum(run.estimate.seconds for run in runs)) if runs else "-" for runs in left.values()
            ],
        }
    )
    sources = dict.fromkeys(run.estimate.source for run in plan.pending)
    lines += [f"estimated from: {'; '.join(sources)}"] if sources else []
    return "\n".join([*lines, "", *format_totals(plan)])


def format_totals(plan: Plan) -> list[str]:
    """Say in words what is left and what it will cost."""
    from tal_repro.runs.other_data import other_data_line

    totals = plan.totals()
    left = totals["todo"] + totals["partial"]
    partial = f" ({totals['partial']} of them begun)" if totals["partial"] else ""
    device = "device" if any(run.spec.device_kind == "cuda" for run in plan.pending) else "CPU"
    lines = [f"{totals['runs']} runs: {totals['done']} done, {left} to do{partial}, {totals['failed']} failed"]
    if left:
        hours = f"{totals['device_hours']:.2f} {device}-hours, {totals['wall_hours']:.2f} h of wall time"
        lines += [f"{hours} with {totals['jobs']} at a time, up to {totals['disk_mib']} MiB of disk"]
        if totals["price_usd_per_hour"]:
            price = f"{totals['price_usd_per_hour']:g} USD an hour ({totals['price_source']})"
            lines += [f"about {totals['usd']:.2f} USD at {price}"]
        lines += _packed(totals)
    if digests := plan.data_digests:
        named = ", ".join(f"{digest} ({count} run{'s' * (count != 1)})" for digest, count in digests.most_common())
        lines += [f"made here from data of digest {named}"]
    if plan.of_other_data:
        lines += [other_data_line(plan.of_other_data)]
    if totals["failed"]:
        lines += ["failed runs are run again with --retry-failed"]
    return lines


def _packed(totals: dict[str, Any]) -> list[str]:
    """Say what sharing a GPU among the runs that are not timed would save, at best."""
    if not totals["packed"]:
        return []
    alone, *packed = totals["packed"]
    money = " ({usd:.2f} USD)" if totals["price_usd_per_hour"] else ""
    each = [("{wall_hours:.2f} h" + money).format(**way) + f" by {way['jobs_per_gpu']}" for way in packed]
    first = ("{wall_hours:.2f} h" + money).format(**alone)
    return [
        f"sweeps one at a time: {first} in all",
        f"sweeps packed on one GPU, at best (how they slow each other was never measured): {', '.join(each)}",
        "--set jobs_per_gpu=measured packs them where gpu-check found room",
    ]


def format_runs(runs: list[PlannedRun]) -> str:
    from tal_repro.run.progress import format_duration, name_run

    columns = {
        "run": [run.spec.run_id for run in runs],
        "state": [run.status for run in runs],
        "estimate": [format_duration(run.estimate.seconds) for run in runs],
        "what": [name_run(run.spec) for run in runs],
    }
    return "\n".join(["", *table(columns)])
