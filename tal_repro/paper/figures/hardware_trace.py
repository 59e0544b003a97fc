"""Figure 6: hardware use while TadTR trains: CPU and GPU over the first 140 s, phases shaded, one epoch marked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from tal_repro.measure.surroundings import QUIET_CPU_PERCENT
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material, NotRun
from tal_repro.runs.run import Run, finite, part
from tal_repro.runs.trace import Phase, Trace, trace_of

SHOWN_SECONDS = 140.0  # the paper's
TOP_PERCENT = 124  # room above 100 % for the mark of an epoch
HOW = "run: tal-repro run --only experiment=trace, then give --results DIR"
SERIES = (
    ("cpu_mean_percent", "CPU, mean of all cores", "#bb5566", "-", 1.3),
    ("cpu_busiest_percent", "CPU, busiest core", "#004488", "-", 0.8),
    ("gpu_percent", "GPU", "#000000", (0, (4, 1)), 1.0),
)
SHADE_WORDS = {"train": "hatched", "eval": "grey"}
SHADES = {"train": ("#ffffff", "///", "training"), "eval": ("#d4d4d4", "", "evaluation")}


def draw(material: Material) -> Drawing:
    """Draw the first trace of TadTR (else of any model); raise NotRun where there is none."""
    run = traced(material)
    trace = trace_of(run) if run else None
    if run is None or trace is None:
        raise NotRun("not run: no finished run of trace", material.runs.root, HOW)
    name = style.look(run.model).title
    title = f"{name}, {run.engine} engine, {run.device}" + (", SYNTHETIC data" if run.synthetic else "")
    title += f", {run.data_name}" if run.other_data else ""
    drawing = draw_trace(trace, f"training of {name}", title, run.synthetic)
    drawing.runs.append(run)
    drawing.notes.extend(_about(run))
    return drawing


def draw_trace(traced: Trace, what: str, title: str, synthetic: bool = False) -> Drawing:
    """Draw the samples and phases of `what` (a training, a command)."""
    trace, phases = traced
    shown = min(SHOWN_SECONDS, float(trace["time_s"][-1]))
    with style.applied():
        figure, axes = style.canvas(style.PAGE_INCHES, 2.3)
        ax = axes[0, 0]
        drawn = _lines(ax, trace, shown)
        _shade(ax, phases, shown)
        _mark_epoch(ax, phases, shown)
        ax.set(xlabel="time since the trace began (s)", ylabel="use (%)", xlim=(0, shown), ylim=(0, TOP_PERCENT))
        ax.set_yticks([0, 25, 50, 75, 100])
        _legend(ax, phases)
        style.panel(ax, "", title)
        if synthetic:
            style.mark_synthetic(ax)
    return Drawing(figure, _caption(what, trace, shown, phases), notes=_notes(trace, drawn))


def traced(material: Material) -> Run | None:
    """Return the run to draw: of TadTR where there is one, on real data before synthetic."""
    runs = [run for run in material.runs.of("trace") if run.record.has("trace")]
    return min(runs, key=lambda run: (run.model != "tadtr", run.synthetic, run.run_id), default=None)


def _lines(ax: Axes, trace: dict[str, np.ndarray], shown: float) -> list[str]:
    keep = trace["time_s"] <= shown
    drawn = []
    for column, label, colour, line, width in SERIES:
        if column in trace and np.isfinite(trace[column]).any():
            ax.plot(
                trace["time_s"][keep], trace[column][keep], color=colour, linestyle=line, linewidth=width, label=label
            )
            drawn.append(column)
    return drawn


def _shade(ax: Axes, phases: list[Phase], shown: float) -> None:
    for phase in phases:
        start, end = max(0.0, phase.start_s), min(phase.end_s, shown)
        if end <= start:
            continue
        colour, hatch, _ = SHADES[phase.kind]
        looks: dict[str, Any] = {
            "facecolor": colour,
            "hatch": hatch,
            "edgecolor": "#dddddd",
            "linewidth": 0,
            "alpha": 0.7,
        }
        ax.axvspan(start, end, ymax=100 / TOP_PERCENT, zorder=-1, **looks)


def _mark_epoch(ax: Axes, phases: list[Phase], shown: float) -> None:
    """Bracket one epoch: from a training phase to the end of its evaluation (or to the next training phase)."""
    starts = [phase.start_s for phase in phases if phase.kind == "train"]
    spans = [(a, b) for a, b in itertools.pairwise(starts) if b <= shown] or [
        (phase.start_s, phase.end_s) for phase in phases if phase.kind == "train" and phase.end_s <= shown
    ]
    if not spans:
        return
    start, end = spans[len(spans) // 2]
    ax.annotate(
        "", (start, 105), (end, 105), arrowprops={"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "linewidth": 0.8}
    )
    text = f"one epoch, {end - start:.3g} s"
    middle = float(np.clip((start + end) / 2, 0.06 * shown, 0.94 * shown))
    ax.text(middle, 109, text, ha="center", va="bottom", fontsize=6)


def _legend(ax: Axes, phases: list[Phase]) -> None:
    handles, labels = ax.get_legend_handles_labels()
    for kind, (colour, hatch, label) in SHADES.items():
        if any(phase.kind == kind for phase in phases):
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor="#bbbbbb", linewidth=0.4))
            labels.append(label)
    ax.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(labels))


def _caption(what: str, trace: dict[str, np.ndarray], shown: float, phases: list[Phase]) -> str:
    step = float(np.median(np.diff(trace["time_s"]))) if len(trace["time_s"]) > 1 else 0.0
    text = (
        f"Hardware use during {what}, first {shown:.0f} s of "
        f"{trace['time_s'][-1]:.0f} s, one sample every {step:.2g} s. "
    )
    shades = [f"{how}: {SHADES[kind][2]}" for kind, how in SHADE_WORDS.items() if any(p.kind == kind for p in phases)]
    text += f"{'; '.join(shades).capitalize()}. " if shades else ""
    return (text + _without_gpu(trace)).rstrip()


def _without_gpu(trace: dict[str, np.ndarray]) -> str:
    """Say why there is no line of a GPU, where there is none."""
    if np.isfinite(trace.get("gpu_percent", np.array(np.nan))).any():
        return ""
    if any(name.startswith("gpu_") for name in trace):
        return "The GPU told no utilisation (a MIG slice has none of its own)."
    return "No GPU was sampled."


def _about(run: Run) -> Iterator[str]:
    """Say how idle the machine was before, and what sampling it cost, where the run tells it."""
    details = run.details
    idle = finite(part(details, "baseline", "columns", "cpu_mean_percent").get("mean"))
    if idle is not None:
        quiet = "" if idle <= QUIET_CPU_PERCENT else ": the machine was not quiet, others are in these curves"
        yield f"Before the training the CPU was used to {idle:.1f} %{quiet}."
    cost, missed = (finite(part(details, "sampler").get(n)) for n in ("own_cpu_percent_of_one_core", "missed"))
    if cost is not None:
        yield f"Sampling used {cost:.3f} % of one core" + ("." if missed is None else f"; {missed:.0f} samples missed.")


def _notes(trace: dict[str, np.ndarray], drawn: list[str]) -> list[str]:
    return [
        f"{name}: mean {np.nanmean(trace[name]):.1f} %, 99th percentile {np.nanpercentile(trace[name], 99):.1f} %."
        for name in drawn
    ]
