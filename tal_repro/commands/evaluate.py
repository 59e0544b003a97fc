"""`tal-repro evaluate`: the mAP of anybody's detections, under a named protocol."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.console import echo
from tal_repro.errors import InputError
from tal_repro.text_table import table
from tal_repro.thumos14 import PROTOCOL
from tal_repro.untrusted import short

if TYPE_CHECKING:
    from tal_repro.detection.matching import Table
    from tal_repro.detection.protocols import Evaluation, GroundTruth

SCHEMA = "tal-repro/evaluate/1"
FRAMES_FACTOR = 2.0  # of the times to the lengths of their videos: no model is that far off
PROTOCOL_NAMES = ["af-212", "opentad-211", "tadtr-210"]


@click.command()
@click.argument("detections", type=click.Path(path_type=Path))
@click.argument("annotations", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOL_NAMES),
    default=PROTOCOL,
    show_default=True,
    help="Which test videos and instances count.",
)
@click.option("--subset", default="test", show_default=True, help="Subset of the annotations to score on.")
@click.option("--per-class", is_flag=True, help="Also the AP of every class.")
@click.option("--bootstrap", metavar="N", type=click.IntRange(min=2), help="95 % interval from N resamples of videos.")
@click.option("--errors", is_flag=True, help="Also the error types at tIoU 0.5 and what each costs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    detections: Path,
    annotations: Path,
    protocol: str,
    subset: str,
    per_class: bool,
    bootstrap: int | None,
    errors: bool,
    as_json: bool,
) -> None:
    """Compute the mAP of DETECTIONS (.csv, .json, also .gz) against ANNOTATIONS (ActivityNet-like JSON).

    A detection is a row video_id,start_s,end_s,label,score, or an entry of ActivityNet's "results".
    """
    from tal_repro.detection.detections_io import read_detections, read_ground_truth
    from tal_repro.detection.protocols import evaluate as score

    truth = read_ground_truth(annotations, subset)
    found = read_detections(detections, truth, other_classes=True)
    evaluation = score(found, truth, protocol)
    if not evaluation.result.instances:
        raise InputError(f"no instance counts under protocol {protocol}", annotations, "choose another protocol")
    _check_any_scored(found, evaluation, truth, detections)
    report = _report(evaluation, per_class, bootstrap, errors) | {"synthetic": truth.synthetic}
    echo(json.dumps(report, indent=2, allow_nan=False) if as_json else "\n".join(_lines(report)))
    missing = ", ".join(name for name in report["missing_classes"] if name in set(truth.classes))
    warnings = [
        *truth.notes,
        f"not scored, no ground truth: {missing}" if missing else "",
        _other_classes(found, truth),
        _without_detections(evaluation, truth),
        _beyond_end(evaluation, truth),
        _detected_beyond_end(evaluation, truth),
    ]
    for warning in filter(None, warnings):
        echo(f"warning: {warning}", err=True)


def _check_any_scored(found: Table, evaluation: Evaluation, truth: GroundTruth, path: Path) -> None:
    """Raise InputError where no detection lies in a video that counts: a mAP of 0 would only say that ids differ."""
    from tal_repro.detection.protocols import PROTOCOLS, counted_videos

    if len(evaluation.detections["video_id"]):
        return
    ids, scored = (
        sorted(set(videos)) for videos in (found["video_id"], counted_videos(truth, PROTOCOLS[evaluation.protocol]))
    )
    if not ids:
        raise InputError("no detection at all", path, "a mAP needs detections: see to the program that wrote the file")
    raise InputError(
        f"no detection is of a scored video: they are of {_examples(ids)}, the scored videos are {_examples(scored)}",
        path,
        "give the ids and the --subset of the annotations",
    )


def _without_detections(evaluation: Evaluation, truth: GroundTruth) -> str:
    """Say in how many counted videos nothing is detected ("" for none): of half a file, too, there is a mAP."""
    from tal_repro.detection.protocols import PROTOCOLS, counted_videos

    scored = counted_videos(truth, PROTOCOLS[evaluation.protocol])
    without = sorted(scored - set(evaluation.detections["video_id"].tolist()))
    if not without:
        return ""
    return f"no detection in {len(without)} of {len(scored)} scored videos, their instances count as missed: " + (
        _examples(without)
    )


def _examples(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:3])) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")


def _beyond_end(evaluation: Evaluation, truth: GroundTruth) -> str:
    """Say how many counted instances end beyond their video's end ("" for none)."""
    from tal_repro.detection.protocols import beyond_end

    table = evaluation.ground_truth
    late = beyond_end(table, truth).nonzero()[0]
    if not len(late):
        return ""
    worst = max(late, key=lambda row: table["end_s"][row] - truth.durations_s[table["video_id"][row]])
    video, end = table["video_id"][worst], table["end_s"][worst]
    return (
        f"counted instances that end beyond their video's end: {len(late)}, the farthest at {end:g} s in {video!r} "
        f"of {truth.durations_s[video]:g} s (THUMOS14 has some; opentad-211 leaves them out)"
    )


def _other_classes(found: Table, truth: GroundTruth) -> str:
    """Say how many detections are of classes that the annotations do not have, and of which ("" for none)."""
    known = set(truth.classes)
    counts = Counter(label for label in found["label"] if label not in known)
    if not counts:
        return ""
    listed = ", ".join(f"{short(label)} ({rows})" for label, rows in counts.most_common(5))
    more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
    return (
        f"{counts.total()} of {len(found['label'])} detections are of {len(counts)} classes that the annotations do "
        f"not have; no AP depends on them: {listed}{more}"
    )


def _detected_beyond_end(evaluation: Evaluation, truth: GroundTruth) -> str:
    """Say how many detections start beyond their video's end, and by what factor all times are too large ("": none)."""
    import numpy as np

    from tal_repro.detection.protocols import OUT_OF_RANGE_TOLERANCE_S

    table = evaluation.detections
    seconds = np.array([truth.durations_s.get(video, np.nan) for video in table["video_id"]], float)
    starts, ends = (np.asarray(table[name], float) for name in ("start_s", "end_s"))
    late = starts > seconds + OUT_OF_RANGE_TOLERANCE_S
    if not late.any():
        return ""
    last: dict[str, float] = {}
    for video, share in zip(table["video_id"], ends / seconds, strict=True):
        last[video] = max(share, last.get(video, 0.0))
    factor = float(np.nanmedian(list(last.values())))
    text = f"{int(late.sum())} of {len(late)} detections start beyond their video's end"
    if factor < FRAMES_FACTOR:
        return text
    return f"{text}: times reach to about {factor:.3g} times the videos' lengths; are they frames, or milliseconds?"


def _report(evaluation: Evaluation, per_class: bool, bootstrap: int | None, errors: bool) -> dict[str, Any]:
    from tal_repro.detection.mean_ap import recalls

    result = evaluation.result
    recall = recalls(evaluation.matched)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "protocol": evaluation.protocol,
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

    found = error_types(evaluation.detections, evaluation.ground_truth)
    return {"tiou": found.tiou, "counts": dict(found.counts), "map_gain": dict(found.map_gain)}


def _by_tiou(tious: tuple[float, ...], values: Any) -> dict[str, float]:
    return {f"{tiou:g}": float(value) for tiou, value in zip(tious, values, strict=True)}


def _lines(report: dict[str, Any]) -> list[str]:
    """Return the report for reading, mAP in percent."""
    tious = list(report["map"])
    lines = ["SYNTHETIC DATA"] if report["synthetic"] else []
    counts = ", ".join(f"{report[name]} {name}" for name in ("videos", "instances", "detections"))
    lines += [
        f"protocol {report['protocol']}: {counts}",
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
