"""Figure 4: inference time against input length: the siblings' published times, and what was measured here."""

from __future__ import annotations

import string
import textwrap
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from tal_repro.measure.linearity import linearity
from tal_repro.models.registry import MODELS
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material, NotRun, used
from tal_repro.paper.figures.macs import LONGEST_LINEAR, measured_gmacs, set_axes
from tal_repro.published.table import Table
from tal_repro.runs.run import Measurement, Run, measurements
from tal_repro.thumos14 import FEATURE_DIM

LOW, HIGH = 10, 90  # percentiles of the band
HOW = "run: tal-repro run --only experiment=inference, then give --results DIR"
TITLE_LETTERS = 48  # of a panel's title a line


class Setting(NamedTuple):
    """What times are drawn together: of one machine and engine, at one number of threads and precision."""

    machine: str
    engine: str
    threads: int
    precision: str

    @property
    def words(self) -> str:
        """Name it as a panel does; threads are a processor's, and fp32 goes without saying."""
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if "cores" in self.machine else ""
        precision = f", {self.precision}" if self.precision != "fp32" else ""
        return f"{self.engine}{precision}: {self.machine}{threads}"


def draw(material: Material) -> Drawing:
    """Draw published times (left) and, on each machine measured, times and TadTR's MACs (right)."""
    machines = by_machine(material) if material.draws_measured else {}
    if not machines and not material.draws_published:
        raise NotRun("not run: no finished run of inference", material.runs.root, HOW)
    count = material.draws_published + len(machines)
    rows, columns = (count + 1) // 2, 2 if count > 1 else 1
    with style.applied():
        width = style.PAGE_INCHES if columns == 2 else style.COLUMN_INCHES
        figure, axes = style.canvas(width, 2.4 * rows, rows, columns)
        places = list(axes.flat)
        drawing = Drawing(figure, _caption(material, bool(machines)))
        letters = iter(string.ascii_lowercase if count > 1 else [""])
        if material.draws_published:
            ax = places.pop(0)
            _published(ax, material.published["inference_runs"], drawing)
            style.panel(ax, next(letters), "Published: V100S, shared machine")
            if not machines:
                ax.text(1, 0.03, "TadTR: none published, none measured here", transform=ax.transAxes, ha="right",
                        fontsize=6, color="#444444")  # fmt: skip
        for setting, times in machines.items():
            ax = places.pop(0)
            _measured(ax, times, setting, drawing)
            macs_lines(ax, material, drawing, max(row.feature_length for row in times))
            doubt = " (not quiet)" if _disturbances(times) else ""
            style.panel(ax, next(letters), _title(f"Measured here{doubt}, {setting.words}"))
        for ax in places:
            ax.remove()
    return drawing


def _title(text: str) -> str:
    """Break a title that is wider than its panel, before the machine first."""
    if len(text) <= TITLE_LETTERS:
        return text
    head, _, machine = text.partition(": ")
    return f"{head}:\n{textwrap.fill(machine, TITLE_LETTERS)}"


def by_machine(material: Material) -> dict[Setting, list[Measurement]]:
    """Return the measured inference times of each machine, engine, number of threads and precision."""
    groups: dict[Setting, list[Measurement]] = {}
    for run in material.runs.of("inference"):
        if rows := list(measurements([run], "latency_ms")):
            setting = Setting(run.device, run.engine, run.spec.threads, run.spec.precision)
            groups.setdefault(setting, []).extend(rows)
    return dict(sorted(groups.items()))


def _disturbances(rows: list[Measurement]) -> list[str]:
    """Return what the runs of these times say disturbed them."""
    return list(dict.fromkeys(reason for run in used([row.run for row in rows]) for reason in run.doubtful))


def _published(ax: Axes, table: Table, drawing: Drawing) -> None:
    for model in style.ordered(table["model"]):
        rows = table.where(model=model)
        _times(ax, model, rows["feature_length"], rows["milliseconds"], True)
        lengths, medians = medians_of(rows["feature_length"], rows["milliseconds"])
        drawing.notes.append(_line_text("published", model, lengths, medians))
    _finish(ax, 3000)
    drawing.rows.append(table)


def _measured(ax: Axes, rows: list[Measurement], setting: Setting, drawing: Drawing) -> None:
    if disturbed := _disturbances(rows):
        drawing.notes.append(f"Doubtful, {setting.words}: the machine was not quiet ({'; '.join(disturbed)}).")
    for model in style.ordered(row.run.model for row in rows):
        mine = [row for row in rows if row.run.model == model]
        lengths, values = np.array([row.feature_length for row in mine]), np.array([row.value for row in mine])
        _times(ax, model, lengths, values, False)
        if len(np.unique(lengths)) > 2:
            drawing.notes.append(_line_text(f"measured ({setting.words})", model, *medians_of(lengths, values)))
    _finish(ax, max(row.feature_length for row in rows))
    runs: list[Run] = [row.run for row in rows]
    drawing.runs = used([*drawing.runs, *runs])


def _times(ax: Axes, model: str, lengths: np.ndarray, values: np.ndarray, published: bool) -> None:
    look = style.look(model)
    at, medians = medians_of(lengths, values)
    low, high = (np.array([np.percentile(values[lengths == n], q) for n in at]) for q in (LOW, HIGH))
    ax.fill_between(at, low, high, color=look.colour, alpha=0.2, linewidth=0)
    face = look.colour if published else "white"
    ax.plot(at, medians, color=look.colour, marker=look.marker, linestyle=look.line, markerfacecolor=face,
            markeredgecolor="black", markeredgewidth=0.5, label=look.title)  # fmt: skip


def medians_of(lengths: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct lengths and the median value at each."""
    distinct = np.unique(lengths)
    return distinct, np.array([np.median(values[lengths == length]) for length in distinct])


def _line_text(source: str, model: str, lengths: np.ndarray, medians: np.ndarray) -> str:
    linear = linearity(dict(zip(lengths.astype(int).tolist(), medians.tolist(), strict=True)))
    line = f"{linear.intercept_ms:.4g} ms + {linear.slope_ms_per_step:.4g} ms a step"
    return (
        f"Line through the {source} medians of {model}: {line}, "
        f"R2 = {linear.r2:.4f} ({linear.degrees_of_freedom} degrees of freedom), "
        f"relative residuals by length {linear.residual_signs}; {linear.words}."
    )


def macs_lines(ax: Axes, material: Material, drawing: Drawing, longest: int) -> None:
    """Add TadTR's MACs on a second axis, as the paper's figure does, where they were counted."""
    counts = measured_gmacs(material)
    rows = [count for count in counts if count.model == "tadtr" and count.feature_length <= longest]
    if not rows:
        return
    rows.sort(key=lambda row: row.feature_length)
    twin = ax.twinx()
    twin.spines["right"].set_visible(True)
    twin.plot([r.feature_length for r in rows], [r.gmacs for r in rows], color="#777777", linewidth=0.8, linestyle=":",
              marker="x", markersize=3)  # fmt: skip
    twin.set_ylabel("TadTR GMACs (×, dotted)")
    twin.set_yscale(ax.get_yscale())
    if ax.get_yscale() == "linear":
        twin.set_ylim(0, None)
    else:
        _as_many_decades(ax, twin)
    drawing.runs = used([*drawing.runs, *(row.run for row in rows if row.run is not None)])


def _as_many_decades(*axes: Axes) -> None:
    """Let logarithmic axes span the same ratio, so that lines in proportion are parallel."""
    spans = [(low, high) for low, high in (ax.get_ylim() for ax in axes)]
    ratio = max(high / low for low, high in spans)
    for ax, (_, high) in zip(axes, spans, strict=True):
        ax.set_ylim(high / ratio, high)


def _finish(ax: Axes, longest: int) -> None:
    set_axes(ax, longest, "inference time (ms)")
    ax.legend(loc="best" if longest > LONGEST_LINEAR else "upper left")


def _caption(material: Material, measured: bool) -> str:
    runs = material.runs.of("inference") if measured else []
    widths = {FEATURE_DIM} if material.draws_published else set()
    widths |= {int(run.spec.recipe.get("feature_dim", FEATURE_DIM)) for run in runs}
    channels = " or ".join(map(str, sorted(widths)))
    text = f"Inference time against input length [1, {channels}, length], random input. Lines are medians, bands the "
    text += f"{LOW}th to {HIGH}th percentile of all samples. "
    if material.draws_published:
        text += (
            "Published: the sibling studies' scripts on a Tesla V100S (ActionFormer, TriDet, TemporalMaxer; "
            "5 processes of 5 repetitions), decoding and NMS included; no time of TadTR was published. "
        )
    if measured:
        text += (
            "Measured here: open markers, the bare model of the engine named (without decoding and NMS) in one process "
            "on the machine named"
        )
        counted = any(count.model == "tadtr" for count in measured_gmacs(material))
        text += "; MACs dotted. " if counted else ". "
        models = {run.model for run in material.runs.of("inference")}
        if added := sorted(model for model in models if model in MODELS and MODELS[model].adapter):
            text += f"Of {', '.join(added)} it is the module that its description builds, with whatever is in it. "
    return text.rstrip()
