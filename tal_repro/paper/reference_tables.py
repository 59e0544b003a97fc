"""Tables of REPRODUCE.md from `results/reference`: the native engine against the authors' code, equality and speed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.paper.published import published_folder
from tal_repro.paper.tables import TextTable, render

Json = Mapping[str, Any]
CHECKS = ("parameters", "outputs", "losses", "gradients", "steps", "detections")
TIMED = {
    "inference_full": "inference, full length",
    "inference_real": "inference, real lengths",
    "training_full": "training step, full length",
    "training_real": "training step, real lengths",
}
EQUALITY_NOTE = (
    "Outputs, losses and detections: largest difference over the tensor's maximum, float32, limit 1e-5. Gradients and "
    "steps (weights and their average after 20 optimiser steps): float64, limit 1e-7, where the authors' code runs in "
    "it; elsewhere as a multiple of what one-ulp noise on the weights does to the authors' code itself, taken as at "
    "least 1e-6 of the tensor's maximum, limit 3. Detections: whole lists after NMS, order included."
)
SPEED_NOTE = (
    "Median of neighbouring pairs and their range; absolute CPU times are not claimed. GEMM peak: full-length "
    "inference, native (authors'), as a share of the best rate of a 2048-square float32 product in the same process. "
    "Products: share of a native training step inside matrix products and convolutions, by torch.profiler."
)
EPOCH_NOTE = (
    "Everything from the feature file to the updated average, and from the feature file to the mAP; an epoch is scaled "
    "from ten iterations and the evaluation of four videos. Peak memory: resident, a process of its own per side."
)
SAME_MAP_NOTE = (
    "± after a mean: standard deviation over seeds; after a difference: 95 % interval. Equivalent: two one-sided "
    "t-tests against 1.5 mAP points at 5 %, ten runs a side or more."
)
METRICS_NOTE = (
    "CPU seconds of one evaluation in one process, in turn, single-threaded; distinct scores. Equal: mAP at every tIoU "
    "and recall at 1x and 5x within 1e-9."
)
PRECISION_NOTE = (
    "Paired by seed; ± is the 95 % interval of the mean difference. A processor without bfloat16 arithmetic emulates "
    "it: its mAPs count, its times are no gain and no loss of bfloat16. float32 is always the default."
)
PRECISION_MARK = {True: "", False: " emulated", None: " perhaps emulated"}  # by whether the processor has bfloat16
PROCESSOR = {True: "computes in", False: "emulates", None: "computes in or emulates"}


def equality_text() -> str:
    """Return the table of full-size parity: the worst row of every check, beside its limit."""
    header = ("Model", *(name.capitalize() for name in CHECKS), "Authors' commit")
    reports = {name: read_report(reference_folder() / "parity" / f"{name}.json") for name in MODELS}
    rows = tuple(
        (MODELS[name].title, *(_worst(report["rows"], check) for check in CHECKS), _commit(report, name))
        for name, report in reports.items()
    )
    caption = "Native models against the authors' code, full size, random weights"
    return render(TextTable(caption, header, rows, (EQUALITY_NOTE,)), "markdown").rstrip()


def speed_text() -> str:
    """Return the table of native speed over the authors' code, measured in turn in one process."""
    reports = [read_report(path) for path in sorted((reference_folder() / "speed").glob("models*.json"))]
    timed = {name: (found, report) for report in reports for name, found in report["models"].items()}
    header = ("Model", *(label.capitalize() for label in TIMED.values()), "GEMM peak reached", "Step spent on products")
    rows = tuple(
        (MODELS[name].title, *(_ratio(timed[name][0].get(kind)) for kind in TIMED), *_bound(*timed[name]))
        for name in MODELS
        if name in timed
    )
    threads = "/".join(str(number) for number in sorted({report["threads"] for report in reports}))
    caption = f"Times as fast as the authors' code (CPU, {threads} threads, synthetic features)"
    processors = tuple(_processor(report) for report in reports)
    return render(TextTable(caption, header, rows, (SPEED_NOTE, *processors)), "markdown").rstrip()


def epoch_text() -> str:
    """Return the table of a whole epoch, evaluation included, native over the authors' code."""
    timed = _models("speed", "train")
    header = ("Model", "Iteration", "Evaluation", "Epoch", "Waiting for data", "Peak memory, native (authors')")
    rows = tuple(
        (
            MODELS[name].title,
            _span(found["iteration"]),
            _span(found["evaluation"]),
            f"{found['epoch_speedup']:.2f}",
            f"{found['data_wait_share']:.1%}",
            "{native:,.0f} ({upstream:,.0f}) MiB".format(**found["peak_mib"]),
        )
        for name, found in timed.items()
    )
    caption = "Times as fast as the authors' code (CPU, 1 thread, synthetic videos of THUMOS14's lengths)"
    return render(TextTable(caption, header, rows, (EPOCH_NOTE,)), "markdown").rstrip()


def same_map_text() -> str:
    """Return the table of the mAPs that both engines reach when each trains by itself."""
    found = _models("parity", "map")
    header = ("Model", "Runs", "Native", "Authors'", "Difference", "Verdict")
    rows = tuple(
        (
            MODELS[name].title,
            f"{one['n'][0]} + {one['n'][1]}",
            *(
                f"{statistics.fmean(one[side]):.2f} ± {statistics.stdev(one[side]):.2f}"
                for side in ("native", "upstream")
            ),
            f"{one['difference']:+.2f} ± {one['half_width_95']:.2f}",
            one["verdict"],
        )
        for name, one in found.items()
    )
    caption = "mAP (%) after independent trainings of small models on one SYNTHETIC data set"
    return render(TextTable(caption, header, rows, (SAME_MAP_NOTE,)), "markdown").rstrip()


def metrics_text() -> str:
    """Return the table of what scoring detections takes, ours beside ActionFormer's evaluator."""
    rows = [row for row in read_report(reference_folder() / "speed" / "detection.json")["rows"] if "per_video" in row]
    header = ("Detections a video", "Authors' evaluator", "Native", "Times as fast", "Rounds", "Equal")
    cells = tuple(
        (
            f"{row['per_video']}",
            f"{row['their_cpu_seconds'] / row['rounds']:.1f} s",
            f"{row['our_cpu_seconds'] / row['rounds']:.3f} s",
            f"{row['ratio']:.0f}",
            f"{row['rounds']}",
            "yes" if row["same_output"] else f"NO ({row['largest_difference']:.1e})",
        )
        for row in rows
    )
    caption = "mAP and recall of 212 videos and 3358 instances at 5 tIoUs (SYNTHETIC detections)"
    return render(TextTable(caption, header, cells, (METRICS_NOTE,)), "markdown").rstrip()


def precision_text() -> str:
    """Return the table of what bfloat16 gains and costs."""
    reports = [read_report(path) for path in sorted((reference_folder() / "speed").glob("precision*.json"))]
    found = {name: (one, report) for report in reports for name, one in report["models"].items()}
    header = ("Model", "Times as fast: inference", "Training step", "Seeds", "mAP, float32", "bfloat16 minus float32")
    rows = tuple((MODELS[n].title, *_gains(*found[n]), *_costs(found[n][0]["cost"])) for n in MODELS if n in found)
    caption = "bfloat16 against float32, native engine on a CPU (mAP in % of small models on SYNTHETIC data)"
    processors = {
        f"The {one['cpu']} of these runs {PROCESSOR[one.get('native_bfloat16')]} bfloat16." for one in reports
    }
    return render(TextTable(caption, header, rows, (PRECISION_NOTE, *sorted(processors))), "markdown").rstrip()


def _gains(found: Json, report: Json) -> tuple[str, str]:
    if found["gain"] is None:
        return "not timed", "not timed"
    mark = PRECISION_MARK[report.get("native_bfloat16")]
    return _ratio(found["gain"]["inference"]) + mark, _ratio(found["gain"]["training_step"]) + mark


def _costs(cost: Json | None) -> tuple[str, str, str]:
    if cost is None:
        return "0", "not run", "not run"
    maps = cost["map"]["fp32"]
    return f"{len(maps)}", f"{statistics.fmean(maps):.2f}", f"{cost['difference']:+.2f} ± {cost['half_width_95']:.2f}"


def _processor(report: Json) -> str:
    """Say where a report was made: reports of one kind may come from unlike machines."""
    names = ", ".join(MODELS[name].title for name in MODELS if name in report["models"])
    vectors = f" ({report['cpu_capability']})" if "cpu_capability" in report else ""
    return f"{names}: {report['cpu']}{vectors}, which multiplies at {report['gemm_peak_gflops']:.0f} GFLOP/s."


def _models(folder: str, kind: str) -> dict[str, Json]:
    """Return what the reports of one kind hold, by model, in the study's order."""
    reports = [read_report(path) for path in sorted((reference_folder() / folder).glob(f"{kind}*.json"))]
    found = {name: one for report in reports for name, one in report["models"].items()}
    return {name: found[name] for name in MODELS if name in found}


def _span(timing: Json) -> str:
    return f"{timing['speedup']:.2f} ({timing['speedup_low']:.2f} to {timing['speedup_high']:.2f})"


def _ratio(timing: Json | None) -> str:
    if timing is None:
        return "not timed"
    low, high = timing["speedup_range"]
    return f"{timing['speedup']:.2f} ({low:.2f} to {high:.2f})"


def _bound(found: Json, report: Json) -> tuple[str, str]:
    peak, done = report["gemm_peak_gflops"], found["arithmetic"]
    native, upstream = (done[f"{side}_gflops"] / peak for side in ("native", "upstream"))
    return f"{native:.0%} ({upstream:.0%})", f"{found['training_profile']['matrix products and convolutions']:.0%}"


def _worst(rows: Iterable[Json], check: str) -> str:
    found = [row for row in rows if row["check"] == check]
    if not found:
        return "not run"
    worst = max(found, key=lambda row: row["value"])
    if check == "parameters":
        return f"{worst['detail']['native']:,}"
    if check == "detections":
        return f"{worst['value']:.1e} of {sum(row['detail']['detections'] for row in found):,}"
    return f"{worst['value']:.2f} x own noise" if "own noise" in worst["case"] else f"{worst['value']:.1e}"


def _commit(report: Json, name: str) -> str:
    return f"`{report['upstream'][name]['commit'][:8]}`"


def reference_folder() -> Path:
    """Return the folder of what was measured for the kit."""
    return published_folder().parent / "reference"


def read_report(path: Path) -> Json:
    """Return a report of `results/reference`; raise InputError for one that is missing or no JSON."""
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", path, "restore the file from the repository") from None
    return found
