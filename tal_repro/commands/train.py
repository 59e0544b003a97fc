"""`tal-repro train`: one run of one model, planned here and executed by the same worker as a study's runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.study_options import RESULTS
from tal_repro.console import echo, tell_next
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS

if TYPE_CHECKING:
    from tal_repro.runs.record import RunRecord
    from tal_repro.runs.store import RunStore
    from tal_repro.spec import Precision, RunSpec


@click.command()
@click.option(
    "--model", type=click.Choice(list(MODELS)), metavar="MODEL", required=True, help=f"One of {', '.join(MODELS)}."
)
@click.option(
    "--data", "data_dir", type=click.Path(path_type=Path), required=True, help="Folder of THUMOS14 or synthetic data."
)
@click.option("--engine", type=click.Choice(["native", "upstream"]), default="native", show_default=True)
@click.option("--percent", type=float, help="Share of the training units, drawn uniformly.  [default: 100]")
@click.option("--subset", type=click.Path(path_type=Path), help="Instead: the units in the FILE of subset --out FILE.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the training, and of the draw of --percent.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a hyper-parameter (repeatable).")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(RESULTS), show_default=True, help="Results folder."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the native engine's arithmetic; bf16 is quicker where the CPU or GPU has it, else slower.",
)
@click.option("--trace", is_flag=True, help="Sample CPU, GPU, memory and power meanwhile.")
def train(
    model: str,
    data_dir: Path,
    engine: str,
    percent: float | None,
    subset: Path | None,
    seed: int,
    settings: tuple[str, ...],
    out: Path,
    precision: Precision,
    trace: bool,
) -> None:
    """Train one model and print its mAP; a killed run goes on where it was."""
    from tal_repro.run.failures import set_damaged_aside
    from tal_repro.run.inputs import Inputs
    from tal_repro.run.training import plan_training
    from tal_repro.runs.other_data import count_of_other_data, other_data_line
    from tal_repro.runs.record import RunRecord
    from tal_repro.runs.store import RunStore

    if subset is not None and percent is not None:
        raise InputError("a subset file states its own percentage", "--percent", "give --percent or --subset")
    share = subset if subset is not None else 100.0 if percent is None else percent
    planned = plan_training(model, data_dir, engine, share, seed, read_settings(settings), trace, precision)
    inputs = Inputs(data_dir, out, lambda line: echo(line, err=True))
    (spec,) = inputs.with_digests([planned])
    store = RunStore(out)
    if store.state(spec) == "done":
        for _, what in set_damaged_aside(store, [spec]):
            echo(f"damaged, set aside and run again: {spec.name} ({what})", err=True)
    state = store.state(spec)
    if state == "done":
        echo(f"reused: {store.folder(spec)}", err=True)
    else:
        for digest in store.digests(spec):
            if not spec.data_digest.startswith(digest):
                changes = inputs.changes(spec, store.folder(replace(spec, data_digest=digest)))
                echo(f"the data has changed since run {spec.run_id}-{digest}: {changes}; made anew", err=True)
        if others := count_of_other_data(store.root, [spec]):
            echo(other_data_line(others), err=True)
        echo(f"run {spec.name} ({'resumed' if state == 'partial' else 'new'})", err=True)
        _execute(spec, store, data_dir)
    _print(RunRecord(store.folder(spec), checked=True))


def _execute(spec: RunSpec, store: RunStore, data_dir: Path) -> None:
    """Execute a run as a study's are, in this process; leave with its status unless it is done."""
    from tal_repro.interrupt import PATIENCE_S
    from tal_repro.run import locks
    from tal_repro.run.failures import NO_TRACE
    from tal_repro.run.job import Job
    from tal_repro.run.outcomes import BUSY, DISK_FULL, DONE, FAILED, OUTCOMES, STOPPED, read_outcome
    from tal_repro.run.signals import StopFlag
    from tal_repro.run.space import REMEDY, describe_lack
    from tal_repro.run.worker import run_job

    stop = StopFlag(PATIENCE_S)
    job = Job(spec.to_json(), str(store.root), str(data_dir), _device(spec))
    outcome = run_job(job, log=False, stop=stop)
    if outcome == DONE:
        return
    reason = read_outcome(store, spec) or (NO_TRACE if outcome == FAILED else OUTCOMES.get(outcome, "killed"))
    if outcome == STOPPED:
        echo(f"stopped at a checkpoint; the same command goes on from here: {store.partial(spec)}", err=True)
        sys.exit(stop.exit_status)
    if outcome == BUSY:
        who = locks.owner(locks.lock_path(store.root, spec.name)) or {}
        reason = f"process {who.get('pid', '?')} on {who.get('host', '?')} is at this run: {store.partial(spec)}"
    if outcome == DISK_FULL:
        reason += f": {describe_lack(store.root)}\n  remedy: {REMEDY.replace('--results', '--out')}"
    echo(f"error: {reason}", err=True)
    sys.exit(outcome)


def read_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """Parse `key=value` pairs, values written as in TOML (numbers, true, [0.9, 1.0]) or as bare words."""
    import tomllib

    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"--set {setting!r} is not KEY=VALUE", remedy="for example --set epochs=20")
        if key.strip() in overrides:
            raise InputError(f"{key.strip()} is given twice", "--set", "give it once")
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key.strip()] = value.strip()
    return overrides


def _device(spec: RunSpec) -> str:
    return "cuda:0" if spec.device_kind == "cuda" else "cpu"


def _print(record: RunRecord) -> None:
    """Print where the run lies, its mAP under both selections, its steps and times."""
    from tal_repro.runs.run import Run

    metrics = record.metrics
    made_up = " (synthetic data)" if record.spec.data is not None and record.spec.data.synthetic else ""
    echo(f"run folder: {record.folder}")
    echo(f"optimizer steps: {metrics['optimizer_steps']}")
    for (selection, weights, protocol), average in Run(record).scores.items():
        echo(f"average mAP{made_up}, {selection}, {weights} weights, {protocol}: {average:.2f} %")
    for flag in metrics["flags"]:
        echo(f"invalid: {flag}", err=True)
    echo(f"seconds: {metrics['seconds']['total']:.1f}, of them training {metrics['seconds']['train']:.1f}")
    tell_next(f"tal-repro show {record.folder.name} --results {quote(str(record.folder.parents[2]))}")
