"""Tables of docs/measurements.md from `results/reference`: how fast the native engine is beside the authors' code."""

from __future__ import annotations

from benchmarks.tables.reports import Json, by_model, read_report, reports
from tal_repro.kit import reference_folder
from tal_repro.models.registry import MODELS
from tal_repro.paper.tables import TextTable, render

TIMED = {
    "inference_full": "inference, full length",
    "inference_real": "inference, real lengths",
    "training_full": "training step, full length",
    "training_real": "training step, real lengths",
}
SPEED_NOTE = (
    "Each cell: the median over neighbouring pairs, and their range; nothing is claimed of absolute CPU times. Peak of "
    "matrix products: the rate of full-length inference, native (authors'), as a share of the best rate of a float32 "
    "product of 2048 x 2048 matrices in the same process. Spent on products: the share of a native training step "
    "inside matrix products and convolutions, by torch.profiler."
)
EPOCH_NOTE = (
    "An iteration is everything from the feature file to the updated average, an evaluation everything from the "
    "feature file to the mAP. An epoch is scaled from ten iterations and the evaluation of four videos. Waiting for "
    "data: in these iterations, most of which read a video for the first time; the table of real trainings has it over "
    "whole epochs. Peak memory: resident memory; each side has a process of its own."
)
REAL_EPOCHS_NOTE = (
    "`tal-repro train` of both engines in turn, as in a study: the authors' scripts have their loader's processes. The "
    "first epoch's iterations do not count. Evaluation: test loop and mAP, without the start of a script. An epoch is "
    "scaled to THUMOS14's training units and test videos. The range is over neighbouring trainings."
)
GPU_NOTE = (
    "The inputs lie on the device. Each cell: median and range of two rounds; where a range is wide, take the lower "
    "end. The README beside each report says what else is known of it."
)
METRICS_NOTE = (
    "CPU seconds of one evaluation; both run in turn in one process with one thread, and no two scores are equal. "
    "Equal: mAP at every tIoU and recall at 1x and 5x agree within 1e-9."
)


def speed_text() -> str:
    """Return the table of native speed over the authors' code, measured in turn in one process."""
    made = reports("speed", "models")
    timed = {name: (found, report) for name, found, report in by_model(made)}
    header = (
        "Model",
        *(label.capitalize() for label in TIMED.values()),
        "Peak of matrix products",
        "Step spent on products",
    )
    rows = tuple(
        (MODELS[name].title, *(ratio_text(timed[name][0].get(kind)) for kind in TIMED), *_bound(*timed[name]))
        for name in MODELS
        if name in timed
    )
    threads = "/".join(str(number) for number in sorted({report["threads"] for report in made}))
    caption = f"Times as fast as the authors' code (CPU, {threads} threads, synthetic features)"
    processors = tuple(_processor(report) for report in made)
    return render(TextTable(caption, header, rows, (SPEED_NOTE, *processors)), "markdown").rstrip()


def gpu_speed_text() -> str:
    """Return the table of native speed over the authors' code on each GPU that was to be had."""
    made = [read_report(path) for path in sorted(reference_folder().glob("gpu-*/models.json"))]
    header = ("Model", "GPU", *(label.capitalize() for label in TIMED.values()))
    rows = tuple(
        (MODELS[name].title, report["device"], *(ratio_text(found.get(kind)) for kind in TIMED))
        for name, found, report in by_model(made)
    )
    caption = "Models alone on a GPU: times as fast as the authors' code (synthetic features)"
    return render(TextTable(caption, header, rows, (GPU_NOTE,)), "markdown").rstrip()


def epoch_text() -> str:
    """Return the table of a whole epoch, evaluation included, native over the authors' code."""
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
        for name, found, _ in by_model(reports("speed", "train"))
    )
    caption = "Times as fast as the authors' code (CPU, 1 thread, synthetic videos of THUMOS14's lengths)"
    return render(TextTable(caption, header, rows, (EPOCH_NOTE,)), "markdown").rstrip()


def real_epochs_text() -> str:
    """Return the table of whole epochs of real trainings, native over the authors' scripts."""
    made = reports("speed", "epochs")
    header = ("Model", "Iteration", "Evaluation", "Epoch", "Waiting for data, native (authors')", "Trainings")
    rows = tuple(
        (
            MODELS[name].title,
            *(_of_three(found[f"{what}_speedup"]) for what in ("iteration", "evaluation", "epoch")),
            "{native:.1%} ({upstream:.1%})".format(**found["data_wait_share"]),
            "{} + {}".format(*(len(found["runs"][engine]) for engine in ("native", "upstream"))),
        )
        for name, found, _ in by_model(made)
    )
    where = " and ".join(sorted({_machine(report) for report in made}))
    caption = f"Real trainings: times as fast as the authors' scripts ({where}; SYNTHETIC videos)"
    return render(TextTable(caption, header, rows, (REAL_EPOCHS_NOTE,)), "markdown").rstrip()


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


def _machine(report: Json) -> str:
    return f"CPU: {report['cpu']}, {report['threads']} threads" if report["device"] == "cpu" else str(report["device"])


def _processor(report: Json) -> str:
    """Say where a report was made: reports of one kind may come from unlike machines."""
    names = ", ".join(MODELS[name].title for name in MODELS if name in report["models"])
    vectors = f" ({report['cpu_capability']})" if "cpu_capability" in report else ""
    return f"{names}: {report['cpu']}{vectors}, which multiplies at {report['gemm_peak_gflops']:.0f} GFLOP/s."


def _span(timing: Json) -> str:
    return f"{timing['speedup']:.2f} ({timing['speedup_low']:.2f} to {timing['speedup_high']:.2f})"


def _of_three(values: list[float]) -> str:
    middle, low, high = values
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def ratio_text(timing: Json | None) -> str:
    """Return a median ratio and its range."""
    if timing is None:
        return "not timed"
    low, high = timing["speedup_range"]
    return f"{timing['speedup']:.2f} ({low:.2f} to {high:.2f})"


def _bound(found: Json, report: Json) -> tuple[str, str]:
    peak, done = report["gemm_peak_gflops"], found["arithmetic"]
    native, upstream = (done[f"{side}_gflops"] / peak for side in ("native", "upstream"))
    return f"{native:.0%} ({upstream:.0%})", f"{found['training_profile']['matrix products and convolutions']:.0%}"
