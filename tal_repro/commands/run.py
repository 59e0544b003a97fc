"""`tal-repro run`: execute what a plan has left, on this machine or on a Slurm cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.commands.study_options import default_data, open_study, study_options
from tal_repro.console import echo, tell_next
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.run.plan import Plan
    from tal_repro.run.runner import Summary


USUAL_DATA = Path("data", "thumos14")


@click.command()
@study_options
@click.option(
    "--data", envvar="TAL_REPRO_DATA", type=click.Path(), default=None,
    help="Data set.  [default: TAL_REPRO_DATA, data/thumos14 if there; a synthetic study makes its own]",
)  # fmt: skip
@click.option("--executor", type=click.Choice(("local", "slurm")), default="local", show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=None, help="Runs at the same time (cores, GPUs, Slurm tasks).")
@click.option("--retry-failed", is_flag=True, help="Run failed runs again.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--confirm", is_flag=True, help="Show the plan and ask once.")
def run(
    study_name: str,
    scope: str,
    only: str,
    results: str,
    settings: tuple[str, ...],
    data: str | None,
    executor: str,
    jobs: int | None,
    retry_failed: bool,
    dry_run: bool,
    confirm: bool,
) -> None:
    """Run what a study has left to do. Interrupted, it goes on where it was."""
    from tal_repro.commands.plan import format_plan, format_runs
    from tal_repro.run.machine import jobs_per_gpu
    from tal_repro.run.plan import make_plan
    from tal_repro.run.start import run_plan
    from tal_repro.runs.store import RunStore

    study, machine = open_study(study_name, settings, only)
    store = RunStore(results)
    plan = make_plan(study, store, scope, only, jobs or 1, jobs_per_gpu=jobs_per_gpu(machine))
    if dry_run or confirm:
        echo(format_plan(plan), err=not dry_run)
    if dry_run:
        echo(format_runs(plan.pending))
        tell_next("the same without --dry-run starts them")
        return
    if confirm:
        _ask(plan)
    data_dir = Path(data) if data else study.definition or _usual_data()
    if study.synthesis and not data:
        data_dir = default_data(results)
    summary = run_plan(
        plan,
        store,
        data_dir=data_dir,
        executor=executor,
        jobs=jobs,
        retry_failed=retry_failed,
        machine=machine,
        say=lambda line: echo(line, err=True),
    )
    tell(plan, summary, results)
    sys.exit(summary.exit_status)


def _usual_data() -> Path | None:
    return USUAL_DATA if USUAL_DATA.is_dir() else None


def tell(plan: Plan, summary: Summary, results: str) -> None:
    """Say how it went: counts, then every run that is not done with its reason, then what to do."""
    from tal_repro.run.progress import name_run
    from tal_repro.run.space import REMEDY

    names = {run.spec.run_id: run.spec for run in plan.runs}
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.counts.items())) or "nothing to do"
    synthetic = " (synthetic data)" if plan.study.data.synthetic else ""
    echo(f"study {plan.study.name}{synthetic}: {counts}", err=True)
    for run_id, reason in summary.reasons.items():
        echo(f"  {summary.outcomes[run_id]} {run_id} {name_run(names[run_id])}: {reason}", err=True)
    if any(outcome == "failed" for outcome in summary.outcomes.values()):
        tell_next(
            f"tal-repro show RUN_ID --results {results}  # why one failed",
            "the same with --retry-failed runs them again",
        )
    if any(outcome == "disk full" for outcome in summary.outcomes.values()):
        echo(f"{REMEDY}; the same command goes on from here", err=True)
    if summary.interrupted:
        echo("interrupted; the same command goes on from here", err=True)
    elif set(summary.outcomes.values()) <= {"done", "reused"}:
        tell_next(f"tal-repro verify --results {results}", f"tal-repro report --results {results}")


def _ask(plan: Plan) -> None:
    if not plan.pending:
        return
    if not sys.stdin.isatty():
        raise InputError("asked to confirm, and nobody to answer", "--confirm", "start it without --confirm (YES=1)")
    if not click.confirm("start?", err=True):
        sys.exit(1)
