"""The report of `tal-repro evaluate`: as a dictionary for JSON, and as lines for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tal_repro.detection.ties import OFFICIAL
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.detection.protocols import Evaluation

SCHEMA = "tal-repro/evaluate/1"
OFFICIALLY = "; equals ordered as the official evaluators do"
ERRORS_AT = 0.5  # the tIoU of the error types: this one, or the nearest that the mAP is averaged over


def build_report(evaluation: Evaluation, per_class: bool, bootstrap: int | None, errors: bool) -> dict[str, Any]:
    """Return the report (`schemas/evaluate.json`) but for `synthetic`; shares are fractions."""
    from tal_repro.detection.mean_ap import recalls

    result = evaluation.result
    recall = recalls(evaluation.matched)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "protocol": evaluation.protocol,
        "tie": evaluation.matched.tie,
        "map": _by_tiou(result.tious, result.map_per_tiou),
        "average_map": result.average,
        "recall": {f"{k}x": _by_tiou(result.tious, recall[:, i]) for i, k in enumerate((1, 5))},
        "videos": evaluation.videos,
        "instances": result.instances,
        "detections": result.detections,
        "ignored": dict(evaluation.ignored),
        "missing_classes": list(result.missing_classes),
    }
    if per_class:
        rows = zip(result.classes, result.ap, result.instances_per_class, strict=True)
        report["per_class"] = {
            name: {"ap": _by_tiou(result.tious, ap), "average_ap": float(ap.mean()), "instances": int(count)}
            for name, ap, count in rows
        }
    if bootstrap:
        report["bootstrap"] = _interval(evaluation, bootstrap)
    if errors:
        report["errors"] = _error_types(evaluation)
    return report


def _interval(evaluation: Evaluation, resamples: int) -> dict[str, Any]:
    from dataclasses import asdict

    from tal_repro.detection.mean_ap import bootstrap_interval

    return asdict(bootstrap_interval(evaluation.matched, evaluation.videos, resamples))


def _error_types(evaluation: Evaluation) -> dict[str, Any]:
    from tal_repro.detection.errors_tide import error_types

    tious = evaluation.result.tious
    at = min(tious, key=lambda tiou: (round(abs(tiou - ERRORS_AT), 6), tiou))
    types = error_types(evaluation.detections, evaluation.ground_truth, at, evaluation.matched.tie)
    return {"tiou": types.tiou, "counts": dict(types.counts), "map_gain": dict(types.map_gain)}


def _by_tiou(tious: tuple[float, ...], values: Any) -> dict[str, float]:
    return {f"{tiou:g}": float(value) for tiou, value in zip(tious, values, strict=True)}


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the report for reading, mAP in percent."""
    tious = list(report["map"])
    lines = ["SYNTHETIC DATA"] if report["synthetic"] else []
    counts = ", ".join(f"{report[name]} {name}" for name in ("videos", "instances", "detections"))
    lines += [
        f"protocol {report['protocol']}: {counts}{OFFICIALLY if report['tie'] == OFFICIAL else ''}",
        *(f"  left out, {reason}: {rows}" for reason, rows in report["ignored"].items()),
        *_scores(report, tious),
    ]
    if interval := report.get("bootstrap"):
        lines.append(
            f"{100 * interval['confidence']:g} % interval of the average mAP over videos: "
            f"{100 * interval['low']:.2f} to {100 * interval['high']:.2f} ({interval['resamples']} resamples)"
        )
    if errors := report.get("errors"):
        gains = {"error": list(errors["counts"]), "count": list(errors["counts"].values())}
        gains["mAP gained if mended (points)"] = [f"{100 * errors['map_gain'][name]:.2f}" for name in errors["counts"]]
        lines += [f"errors at tIoU {errors['tiou']:g}:", *table(gains, indent="  ")]
    return lines


def _scores(report: dict[str, Any], tious: list[str]) -> list[str]:
    """Return a row for mAP, each recall and each class: a value in percent for every tIoU, and the average."""
    rows = {"mAP": (report["map"].values(), report["average_map"])}
    rows |= {f"recall@{k}": (values.values(), None) for k, values in report["recall"].items()}
    rows |= {
        f"{name} ({row['instances']})": (row["ap"].values(), row["average_ap"])
        for name, row in report.get("per_class", {}).items()
    }
    values = [[f"{100 * value:.2f}" for value in row] for row, _ in rows.values()]
    columns: dict[str, Any] = {"at tIoU (%)": list(rows)}
    columns |= {tiou: [row[place] for row in values] for place, tiou in enumerate(tious)}
    columns["average"] = ["-" if average is None else f"{100 * average:.2f}" for _, average in rows.values()]
    return table(columns)
