"""The table of docs/measurements.md from `results/reference` of what bfloat16 gains and what it costs."""

from __future__ import annotations

import statistics

from benchmarks.tables.reports import Json, by_model, reports
from benchmarks.tables.speed import ratio_text
from tal_repro.models.registry import MODELS
from tal_repro.paper.tables import TextTable, render

PRECISION_NOTE = (
    "Paired by seed; ± is the 95 % interval of the mean difference. A processor without bfloat16 arithmetic emulates "
    "it: its mAPs count, its times are no gain and no loss of bfloat16. float32 is always the default."
)
PRECISION_MARK = {True: "", False: " emulated", None: " perhaps emulated"}  # by whether the processor has bfloat16
PROCESSOR = {True: "computes in", False: "emulates", None: "computes in or emulates"}


def precision_text() -> str:
    """Return the table of what bfloat16 gains and costs."""
    made = reports("speed", "precision")
    found = {name: (one, report) for name, one, report in by_model(made)}
    header = ("Model", "Times as fast: inference", "Training step", "Seeds", "mAP, float32", "bfloat16 minus float32")
    rows = tuple((MODELS[n].title, *_gains(*found[n]), *_costs(found[n][0]["cost"])) for n in MODELS if n in found)
    caption = "bfloat16 against float32, native engine on a CPU (mAP in % of small models on SYNTHETIC data)"
    processors = {f"The {one['cpu']} of these runs {PROCESSOR[one.get('native_bfloat16')]} bfloat16." for one in made}
    return render(TextTable(caption, header, rows, (PRECISION_NOTE, *sorted(processors))), "markdown").rstrip()


def _gains(found: Json, report: Json) -> tuple[str, str]:
    if found["gain"] is None:
        return "not timed", "not timed"
    mark = PRECISION_MARK[report.get("native_bfloat16")]
    return ratio_text(found["gain"]["inference"]) + mark, ratio_text(found["gain"]["training_step"]) + mark


def _costs(cost: Json | None) -> tuple[str, str, str]:
    if cost is None:
        return "0", "not run", "not run"
    maps = cost["map"]["fp32"]
    return f"{len(maps)}", f"{statistics.fmean(maps):.2f}", f"{cost['difference']:+.2f} ± {cost['half_width_95']:.2f}"
