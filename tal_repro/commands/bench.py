"""`tal-repro bench`: times of inference against length, and what a training step waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.study_options import RESULTS
from tal_repro.console import echo, emit, tell_next
from tal_repro.models.registry import MODELS
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.runs.record import RunRecord


@click.group()
def bench() -> None:
    """Measure this machine: inference times, and the bottleneck of a training."""


@bench.command()
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Repeatable; timed in turn.  [default: all]")
@click.option("--lengths", default="100:30000", show_default=True, help="100,200 or 100:3000:100 or LOW:HIGH.")
@click.option("--engine", type=click.Choice(["native", "upstream"]), default="native", show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:0.")
@click.option(
    "--include", type=click.Choice(["model", "post", "all"]), default="model", show_default=True,
    help="Time the bare model, decoding and NMS, or both.",
)  # fmt: skip
@click.option("--samples", type=click.IntRange(1, 10_000), help="Samples a length.  [default: 5 to 50, for a second]")
@click.option(
    "--results", "--out", type=click.Path(path_type=Path), default=Path(RESULTS), show_default=True,
    help="Store the runs here.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
def inference(
    models: tuple[str, ...],
    lengths: str,
    engine: str,
    device: str,
    include: str,
    samples: int | None,
    results: Path,
    as_json: bool,
) -> None:
    """Time inference on [1, 2048, LENGTH] for every length, models and lengths in turn (upstream: model by model).

    Stored as runs of the experiment `inference`, which Figures 4 and 5, claims and tables read.
    """
    from tal_repro.commands.bench_inference import Request, measure, measure_apart, parse_lengths
    from tal_repro.measure.latency import Effort
    from tal_repro.models.registry import model_entry
    from tal_repro.runs.store import RunStore

    run_by_it = [name for name, entry in MODELS.items() if engine in entry.engines]
    chosen = tuple(dict.fromkeys(model_entry(model).name for model in models or run_by_it))
    effort = None
    if samples is not None:
        effort = Effort(min_samples=samples, min_seconds=0.0, max_samples=samples, max_warmup=min(samples, 10))
    request = Request(chosen, engine, device, parse_lengths(lengths), include, effort)

    def say(line: str) -> None:
        echo(line, err=True)

    if engine == "upstream":
        records = measure_apart(request, results, say)
    else:
        records = measure(request, RunStore(results), say)
    timed = [_result(record, request.include) for record in records]
    if as_json:
        emit(json.dumps({"schema": "tal-repro/bench-inference/1", "results": timed}, indent=2))
        return
    for result in timed:
        echo("\n".join(_text(result)))
    tell_next(f"tal-repro figure 4 --results {results}")


@bench.command()
@click.option("--model", metavar="MODEL", required=True)
@click.option("--engine", type=click.Choice(["native", "upstream"]), default="native", show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:0.")
@click.option("--from", "known", type=click.IntRange(1), default=100, show_default=True, help="A length that fits.")
@click.option("--to", "cap", type=click.IntRange(1), default=1_000_000, show_default=True, help="Look no further.")
def limit(model: str, engine: str, device: str, known: int, cap: int) -> None:
    """Print the largest input length that fits in memory, found by doubling and bisection to 1 %."""
    from tal_repro.commands.bench_inference import find_limit
    from tal_repro.models.registry import model_entry

    limit_steps, capped = find_limit(model_entry(model).name, engine, device, known, cap)
    emit(limit_steps)
    if capped:
        echo(f"it fits, and nothing longer was tried (--to {cap})", err=True)
    tell_next(f"tal-repro bench inference --model {model} --lengths LOW:{limit_steps}  # times it up to there")


@bench.command()
@click.option(
    "--model", type=click.Choice(list(MODELS)), metavar="MODEL",
    help=f"Take training steps of one of {', '.join(MODELS)}.",
)  # fmt: skip
@click.option("--engine", type=click.Choice(["native", "upstream"]), default="native", show_default=True)
@click.option("--data", "data_dir", type=click.Path(path_type=Path), help="Folder of THUMOS14 or synthetic data.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda:0.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a hyper-parameter (repeatable).")
@click.option("--steps", type=click.IntRange(1, 1000), default=5, show_default=True, help="Steps to time.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Instead: a finished run of any engine.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
def attribution(
    model: str | None,
    engine: str,
    data_dir: Path | None,
    device: str,
    settings: tuple[str, ...],
    steps: int,
    run_folder: Path | None,
    as_json: bool,
) -> None:
    """Say what a training step is spent on: waiting for data, CPU work, kernels, copies, synchronisation.

    Give --model and --data, or --run FOLDER for what a finished run recorded.
    """
    from tal_repro.commands.bench_attribution import attribute_run, attribute_training, attribute_upstream
    from tal_repro.commands.bench_inference import check_device, take_device
    from tal_repro.commands.train import read_settings
    from tal_repro.engines.registry import engine_for
    from tal_repro.errors import InputError
    from tal_repro.machine.gpus import neighbours
    from tal_repro.measure.surroundings import Meanwhile, look_around, surroundings
    from tal_repro.runs.record import RunRecord

    if (run_folder is None) == (model is None or data_dir is None):
        raise InputError("nothing to look at", remedy="give --model and --data, or --run alone")
    if run_folder is not None:
        shares = attribute_run(RunRecord(run_folder))
    else:
        assert model is not None and data_dir is not None
        check_device(device)
        before = look_around(device, neighbours)
        take_device(device)
        engine, meanwhile = engine_for(model, engine), Meanwhile()
        if engine == "native":
            attributed = attribute_training(model, data_dir, read_settings(settings), device, steps).to_json()
        else:
            attributed = attribute_upstream(model, data_dir, read_settings(settings), device, steps)
        around = surroundings(before, meanwhile.over(), look_around(device, neighbours))
        shares = {"model": model, "engine": engine, "device": device, **attributed, "doubtful": around["doubtful"]}
        shares["verdict"] = f"{model} {engine} on {device}: {shares['verdict']}"
    if as_json:
        emit(json.dumps({"schema": "tal-repro/attribution/1", **shares}, indent=2))
        return
    echo("\n".join(_attribution_text(shares)))
    tell_next("the same with --json > FILE keeps it; docs/measuring.md says what each share is of")


def _attribution_text(attributed: dict[str, Any]) -> list[str]:
    lines = [attributed["verdict"]]
    if "step_ms" in attributed:
        taken = [sum(sample) for sample in attributed.get("samples_ms", ())]
        between = f" ({min(taken):.1f} to {max(taken):.1f} ms)" if taken else ""
        lines.append(f"mean of {attributed['steps']} steps: {attributed['step_ms']:.1f} ms{between}")
    shares = [
        (account.partition("_")[0], part, share)
        for account in ("host", "device_account")
        for part, share in attributed.get(account, {}).items()
    ]
    shares += [
        (title.replace("_", " "), name, share)
        for title in ("operators", "functions", "loader_functions")
        for name, share in attributed.get(title, ())
    ]
    if shares:
        of, part, values = zip(*shares, strict=True)
        lines += table({"of": of, "share (%)": [f"{100 * share:.1f}" for share in values], "part": part}, indent="  ")
    for name, share in attributed.get("what_if", {}).items():
        lines.append(f"  estimate, {name}: a step takes {100 * share:.0f} % of today's time")
    lines += [f"  trace, mean {name}: {value:.1f}" for name, value in attributed.get("trace", {}).items()]
    return lines + [f"doubtful: {reason}" for reason in attributed.get("doubtful", ())]


def _result(record: RunRecord, include: str) -> dict[str, Any]:
    from tal_repro.commands.bench_inference import summarise
    from tal_repro.runs.record import read_json

    details = read_json(record.paths.details)
    return {
        "model": record.spec.model,
        "engine": record.spec.engine,
        "include": include,
        "machine": record.status["machine"],
        "device": record.status["device"],
        "threads": record.spec.threads,
        "run": str(record.folder),
        "doubtful": details.get("surroundings", {}).get("doubtful", []),
        **summarise(record.measurements.to_dict("records")),  # type: ignore[arg-type]
    }


def _text(result: dict[str, Any]) -> list[str]:
    what = f"{result['model']} ({result['engine']}, {result['include']})"
    lines = [
        f"{what} on {result['machine']}, {result['threads']} threads: {result['run']}",
        *_lengths(result["lengths"]),
    ]
    if unsettled := [str(row["feature_length"]) for row in result["lengths"] if "warmup_unsettled" in row]:
        lines.append(f"not warm: the calls before the samples never agreed at {', '.join(unsettled)} steps")
    line = result["linearity"]
    if line["slope_ms_per_step"] is not None:
        lines.append(f"{line['intercept_ms']:.3f} ms + {line['slope_ms_per_step']:.6f} ms a step; {line['words']}")
    lines.append(f"apart: model creation {result['build_ms']:.0f} ms, collection {result['collection_ms']:.1f} ms")
    lines += [f"doubtful: {reason}" for reason in result["doubtful"]]
    return lines


def _lengths(rows: list[dict[str, Any]]) -> list[str]:
    timed = [row for row in rows if "median_ms" in row]

    def column(name: str, digits: int) -> list[str]:
        return [f"{row[name]:.{digits}f}" for row in timed]

    lines = table(
        {
            "length (steps)": [row["feature_length"] for row in timed],
            "median (ms)": column("median_ms", 3),
            "p10 (ms)": column("p10_ms", 3),
            "p90 (ms)": column("p90_ms", 3),
            "samples": [row["samples"] for row in timed],
            "first (ms)": column("first_call_ms", 1),
            "peak (MiB)": column("peak_memory_mib", 1),
        }
    )
    lacking = [str(row["feature_length"]) for row in rows if "median_ms" not in row]
    return lines + ([f"does not fit in memory: {', '.join(lacking)} steps"] if lacking else [])
