"""`tal-repro compare`: the same measurement on two machines, as ratios with intervals."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.measure.compare import Key, Ratio
    from tal_repro.runs.load import Runs
    from tal_repro.runs.run import Run

COMPARED = ("latency_ms", "full_latency_ms", "post_latency_ms", "build_ms", "peak_memory_mib", "train_seconds")

SHOWN = 4  # settings of a system, where nothing fits


@dataclass(frozen=True)
class System:
    """The measurements of one machine."""

    name: str
    machine: str
    doubtful: bool  # a run says that others used the machine
    samples: dict[Key, list[float]]
    units: dict[Key, str]


@click.command()
@click.argument("system_a")
@click.argument("system_b")
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Only this model (repeatable).")
@click.option(
    "--quantity", type=click.Choice(COMPARED), metavar="QUANTITY", help=f"Only this one of {', '.join(COMPARED)}."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
def compare(system_a: str, system_b: str, models: tuple[str, ...], quantity: str | None, as_json: bool) -> None:
    """Compare SYSTEM_B with SYSTEM_A: names under results/reference, or results folders of your own.

    A ratio below 1 means that B needs less: time, or memory.
    """
    from tal_repro.measure.compare import compare as ratios_of
    from tal_repro.measure.compare import missing

    a, b = read_system(system_a), read_system(system_b)
    rows = [
        ratio
        for ratio in ratios_of(a.samples, b.samples, {**b.units, **a.units})
        if (not models or ratio.key.model in models) and quantity in (None, ratio.key.quantity)
    ]
    if not rows:
        raise InputError(
            f"no measurement in common: A has {_measured_with(a)}, B has {_measured_with(b)}",
            f"{system_a}, {system_b}",
            "run on both: tal-repro bench inference --results DIR, with the same lengths, recipe, threads and "
            "--include; or the same baselines",
        )  # fmt: skip
    only_a, only_b = missing(a.samples, b.samples)
    if as_json:
        emit(json.dumps(_as_json(a, b, rows, len(only_a), len(only_b)), indent=2))
        return
    echo("\n".join(_text(a, b, rows, len(only_a), len(only_b))))
    tell_next("the same with --json > FILE keeps it")


def _measured_with(system: System) -> str:
    """Say in short what a system was measured with, so that one sees what differs."""
    settings = sorted({f"{key.model} {key.engine} ({key.of})" for key in system.samples})
    more = f" and {len(settings) - SHOWN} more" if len(settings) > SHOWN else ""
    return "; ".join(settings[:SHOWN]) + more if settings else "none"


def read_system(name: str) -> System:
    """Read the runs of a results folder, or of a system shipped under results/reference."""
    from tal_repro.measure.compare import Key
    from tal_repro.runs.load import load_system
    from tal_repro.runs.run import measurements

    folder, runs = load_system(name)
    samples: dict[Key, list[float]] = {}
    units: dict[Key, str] = {}
    for run in runs.of("inference"):
        settings = _settings(run)
        for row in measurements([run]):
            if row.quantity in COMPARED:
                key = Key(run.model, run.engine, row.quantity, row.feature_length, settings)
                samples.setdefault(key, []).append(row.value)
                units[key] = row.unit
    timed = [*runs.of("inference"), *_trainings(runs, samples, units)]
    machines = sorted({run.device for run in timed})
    if len(machines) > 1:
        raise InputError(f"holds runs of {len(machines)} machines ({', '.join(machines)})", folder, "keep them apart")
    quiet = all(run.system.get("alone") for run in timed)
    return System(name, machines[0] if machines else "no runs", not quiet, samples, units)


def _settings(run: Run) -> str:
    """Name what must be the same beside model, engine and length: runs made otherwise never meet."""
    spec = run.spec
    recipe = hashlib.sha256(json.dumps(dict(spec.recipe), sort_keys=True).encode()).hexdigest()[:6]
    timed = f", {spec.options.get('include', 'model')}" if run.experiment == "inference" else ""
    return f"recipe {recipe}, {spec.threads} threads, {spec.precision}{timed}"


def _trainings(runs: Runs, samples: dict[Key, list[float]], units: dict[Key, str]) -> list[Run]:
    """Add the training times of the baselines, one sample a run; only the same data and settings are comparable."""
    from tal_repro.measure.compare import Key

    timed = [run for run in runs.of("baseline") if run.train_seconds is not None]
    for run in timed:
        key = Key(run.model, run.engine, "train_seconds", 0, f"{run.data_title}, {_settings(run)}")
        samples.setdefault(key, []).append(run.train_seconds or 0.0)
        units[key] = "s"
    return timed


def _as_json(a: System, b: System, rows: list[Ratio], only_a: int, only_b: int) -> dict[str, Any]:
    return {
        "schema": "tal-repro/compare/1",
        "a": {"name": a.name, "machine": a.machine, "doubtful": a.doubtful, "not_in_b": only_a},
        "b": {"name": b.name, "machine": b.machine, "doubtful": b.doubtful, "not_in_a": only_b},
        "ratios": [
            {
                **row.key._asdict(), "unit": row.unit, "a": row.a, "b": row.b, "ratio": row.ratio,
                "interval_95": None if row.low is None else [row.low, row.high], "samples": list(row.samples),
            }
            for row in rows
        ],
    }  # fmt: skip


def _text(a: System, b: System, rows: list[Ratio], only_a: int, only_b: int) -> list[str]:
    from tal_repro.measure.compare import MIN_SAMPLES

    lines = [f"A: {a.name}, {a.machine}", f"B: {b.name}, {b.machine}"]
    lines += [f"doubtful: others used {s.name} while it was measured" for s in (a, b) if s.doubtful]
    lines += table(
        {
            "model": [row.key.model for row in rows],
            "quantity": [row.key.quantity for row in rows],
            "length (steps)": [row.key.feature_length or "-" for row in rows],
            "A": [f"{row.a:.3f}" for row in rows],
            "B": [f"{row.b:.3f}" for row in rows],
            "unit": [row.unit for row in rows],
            "B / A": [f"{row.ratio:.3f}" for row in rows],
            "95 % interval": [
                f"n < {MIN_SAMPLES}" if row.low is None else f"{row.low:.3f} to {row.high:.3f}" for row in rows
            ],
            "settings": [row.key.of for row in rows],
        }
    )
    if only_a or only_b:
        lines.append(f"not compared: {only_a} that only A has, {only_b} that only B has")
    return lines
