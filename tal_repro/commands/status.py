"""`tal-repro status`: how far a study is, who runs what, and what failed; also from another terminal or machine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.study_options import open_study, study_options
from tal_repro.console import echo, emit, tell_next
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.runs.store import RunStore
    from tal_repro.spec import RunSpec
    from tal_repro.study import Study

WATCH_SECONDS = 2.0


@click.command()
@study_options
@click.option("--watch", is_flag=True, help="Show it again every two seconds until all is done.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/status.json).")
def status(
    study_name: str, scope: str, only: str, results: str, settings: tuple[str, ...], watch: bool, as_json: bool
) -> None:
    """Show how many runs are done, under way, left and failed."""
    import sys

    from tal_repro.run.selection import select
    from tal_repro.runs.store import RunStore

    study, _ = open_study(study_name, settings, only)
    store = RunStore(results)
    specs = select(study.runs(scope), only)
    while True:
        now = read_status(study, store, specs)
        if as_json:
            emit(json.dumps(now, indent=None if watch else 1))
        else:
            if watch and sys.stdout.isatty():
                echo("\x1b[H\x1b[2J", nl=False)
            echo(format_status(now))
        if not watch and not as_json:
            left = now["counts"]["done"] < now["total"]
            tell_next(f"tal-repro {'run' if left else 'report'} --study {study_name} --results {results}")
        if not watch or now["counts"]["done"] + now["counts"]["failed"] == now["total"]:
            return
        time.sleep(WATCH_SECONDS)


def read_status(study: Study, store: RunStore, specs: list[RunSpec]) -> dict[str, Any]:
    """Return the counts of a study, the runs under way and those that failed."""
    from collections import Counter

    from tal_repro.planned import latest_digests
    from tal_repro.run.outcomes import read_outcome
    from tal_repro.run.progress import name_run
    from tal_repro.run.view import under_way

    specs = store.with_digests(specs, latest_digests(store.root, study))
    states = store.states(specs)
    running = under_way(store, specs, states)
    counts = Counter(states.values())
    counts["running"] = len(running)
    counts["partial"] -= len(running)
    groups: dict[tuple[str, str], Counter[str]] = {}
    for spec in specs:
        groups.setdefault((spec.experiment, spec.model), Counter())[states[spec.run_id]] += 1
    return {
        "schema": "tal-repro/status/1",
        "study": study.name,
        "synthetic": study.data.synthetic,
        "results": str(store.root),
        "total": len(specs),
        "counts": {state: counts[state] for state in ("done", "running", "partial", "todo", "failed")},
        "groups": [
            {"experiment": experiment, "model": model, "total": counter.total(), "done": counter["done"]}
            for (experiment, model), counter in groups.items()
        ],
        "running": [
            {
                "id": run.spec.run_id,
                "name": name_run(run.spec),
                "host": run.host,
                "pid": run.pid,
                "silent_seconds": round(run.silent_seconds, 1) if run.silent_seconds < 1e9 else None,
            }
            for run in running
        ],
        "failed": [
            {"id": spec.run_id, "name": name_run(spec), "reason": read_outcome(store, spec)}
            for spec in specs
            if states[spec.run_id] == "failed"
        ],
    }


def format_status(now: dict[str, Any]) -> str:
    counts = now["counts"]
    kind = " (synthetic data)" if now["synthetic"] else ""
    left = counts["todo"] + counts["partial"]
    head = f"{counts['done']}/{now['total']} done, {counts['running']} running, {left} to do, {counts['failed']} failed"
    lines = [f"study {now['study']}{kind} in {now['results']}: {head}"]
    groups = now["groups"]
    lines += table(
        {
            "experiment": [group["experiment"] for group in groups],
            "model": [group["model"] for group in groups],
            "done": [group["done"] for group in groups],
            "of": [group["total"] for group in groups],
        },
        indent="  ",
    )
    for run in now["running"]:
        silent = "" if run["silent_seconds"] is None else f", last sign of life {run['silent_seconds']:.0f} s ago"
        lines.append(f"  running {run['id']} {run['name']} on {run['host']} (process {run['pid']}{silent})")
    lines += [f"  failed {run['id']} {run['name']}: {run['reason'].splitlines()[0]}" for run in now["failed"]]
    return "\n".join(lines)
