"""Cost and time: what the runs took by kind and machine, and training times beside the paper's as ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tal_repro.models.registry import MODELS
from tal_repro.paper.energy import assumed, energy_table
from tal_repro.paper.report.content import Content
from tal_repro.paper.report.markup import NOTHING, Html, duration, join, number, shortened, table, tag
from tal_repro.paper.report.run_rows import JOULES_PER_WH, RunRow, groups
from tal_repro.paper.statistics import describe
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, finite, part

RATIO_TO = "tadtr"
IDS_SHOWN = 3
Key = tuple[str, str, str]  # engine, data, machine


def costs(content: Content) -> Html:
    """Return the tables of time and energy."""
    parts = [_times(content)]
    grouped = groups(row for row in content.rows if row.status == "done")
    if grouped:
        rows = [[*key[:5], len(group), *_spent(group)] for key, group in grouped.items()]
        header = ("Experiment", "Model", "Engine", "Data", "Machine", "Runs", "Each (mean)", "Together", "Energy (Wh)")
        parts.append(table("Time and energy of the finished runs, start to end of the process", header, rows))
    if content.runs.of("baseline"):
        energy = energy_table(content.runs, assumed())
        shown = [[*row[:-1], shortened(row[-1].split(), IDS_SHOWN)] for row in energy.rows]
        parts.append(table(energy.caption, energy.header, shown, " ".join(energy.notes)))
    return join([*parts, tag("p", "Energy of runs is what counters of the machine counted; of runs that had it alone.",
                             class_="note")])  # fmt: skip


def _spent(group: Sequence[RunRow]) -> tuple[str, str, str]:
    seconds = [row.seconds for row in group if row.seconds is not None]
    joules = [row.energy_joules for row in group if row.energy_joules is not None]
    mean = sum(seconds) / len(seconds) if seconds else None
    energy = number(sum(joules) / JOULES_PER_WH, 3) if joules else "not measured"
    return duration(mean), duration(sum(seconds) if seconds else None), energy


def _times(content: Content) -> Html:
    """Return training times: the paper's on its GPUs, those here, and both as ratios to one model."""
    printed = {row["model"]: row for row in content.published["table2"].rows()}
    base = printed[RATIO_TO]
    rows: list[list[object]] = []
    for model, row in printed.items():
        same = row["hardware"] == base["hardware"]
        ratio = f"{row['train_seconds_mean'] / base['train_seconds_mean']:.2f}" + ("" if same else " (other GPU)")
        seconds = f"{row['train_seconds_mean']:.0f} ± {row['train_seconds_std']:.0f}"
        rows.append([MODELS[model].title, "paper", "THUMOS14", row["hardware"], seconds, "see Table 2", ratio])
    rows += _measured(content)
    note = "Absolute times are comparable on one GPU only; elsewhere the ratio between models on one machine is."
    header = ("Model", "Source", "Data", "Machine", "Training (s)", "n", "Ratio to TadTR")
    return table("Training time of the baselines", header, rows, note)


def _measured(content: Content) -> list[list[object]]:
    means: dict[Key, dict[str, list[float]]] = {}
    for run in content.runs.of("baseline"):
        if run.train_seconds is not None:
            means.setdefault(_key(content, run), {}).setdefault(run.model, []).append(run.train_seconds)
    rows: list[list[object]] = []
    for (engine, data, machine), models in sorted(means.items()):
        base = models.get(RATIO_TO)
        for model, seconds in models.items():
            sample = describe(seconds)
            spread = f" ± {sample.std:.1f}" if sample.n > 1 else ""
            ratio = f"{sample.mean / describe(base).mean:.2f}" if base else "no TadTR here"
            title = MODELS[model].title if model in MODELS else model
            rows.append([title, f"measured, {engine}", data, machine, f"{sample.mean:.1f}{spread}", sample.n, ratio])
    return rows


def _key(content: Content, run: Run) -> Key:
    shared = "" if run.alone else " (shared)"
    return run.engine, run.data_title, run.device + shared


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
    filled = [index for index in range(len(HEADER)) if any(row[index] != NOTHING for row in rows)]  # no empty columns
    shown = [[row[index] for index in filled] for row in rows]
    return table("What a training step waits for", [HEADER[index] for index in filled], shown, note)


def _row(run: Run, runs: Runs) -> list[object] | None:
    attribution = part(run.details, "attribution")
    if not part(attribution, "host"):
        return None
    shares = [number(_percent(part(attribution, account).get(name)), 1) for account, name in SHARES]
    title = MODELS[run.model].title if run.model in MODELS else run.model
    words = str(attribution.get("verdict") or NOTHING)[:300]
    return [title, run.engine, run.data_title, run.device, number(finite(attribution.get("step_ms")), 1), *shares,
            words, run.run_id]  # fmt: skip


def _percent(value: Any) -> float | None:
    share = finite(value)
    return None if share is None else 100 * share
