"""From what upstream left behind (detections of each evaluation, events) to the rows of metrics.json and epochs.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.detection.detections_io import read_detections
from tal_repro.detection.protocols import PROTOCOLS, Evaluation, GroundTruth, evaluate
from tal_repro.detection.ties import OFFICIAL
from tal_repro.engines.native.limits import invalid_flags

if TYPE_CHECKING:
    import pandas as pd

    from tal_repro.engines.upstream.process import Event

Row = dict[str, Any]
AGREEMENT = 1e-4  # of the kit's mAP and upstream's own print, as shares: 0.01 mAP points


@dataclass(frozen=True)
class Evaluated:
    """One evaluation by upstream's code: which epoch and weights, its detections, and the mAP it printed itself."""

    epoch: int
    weights: str
    detections: Path
    printed_map: float


def evaluations(events: Sequence[Event], folder: Path, weights: str) -> list[Evaluated]:
    """Pair the detections in `folder` with the mAPs of the events, in their order.

    `weights` is what was evaluated where an event does not say so itself. Raises ValueError where there are more of
    one than of the other.
    """
    printed = [event for event in events if event["phase"] == "metrics" and "average_map" in event["values"]]
    # TemporalMaxer's evaluation does not know its epoch (-1); its training loop says it again right after.
    named = [event for event in printed if event["index"] >= 0] or printed
    pairs: list[Evaluated] = []
    for kind in dict.fromkeys(event["values"].get("weights", "") for event in named):
        events_of = [event for event in named if event["values"].get("weights", "") == kind]
        files = [path for path in sorted(folder.glob("*.csv")) if path.stem.partition("-")[2] == kind]
        pairs += [
            Evaluated(event["index"], kind or weights, path, float(event["values"]["average_map"]))
            for event, path in zip(events_of, files, strict=True)
        ]
    return sorted(pairs, key=lambda pair: pair.epoch)


def metric_rows(
    chosen: Mapping[tuple[str, str], Evaluated], truth: GroundTruth, own_protocol: str
) -> tuple[list[Row], list[str], list[Row]]:
    """Score each (selection, weights) under every protocol: (rows, flags, comparisons with upstream's own print).

    Beside the print stands the mAP with equal scores in the order that the authors' evaluators give: a network that
    says the same everywhere (DyFADet behind a closed gate) has thousands of equal scores, and their order is its mAP.
    """
    rows: list[Row] = []
    flags: list[str] = []
    compared: list[Row] = []
    for (selection, weights), evaluated in chosen.items():
        detections = reported(evaluated.detections, truth)
        for protocol in PROTOCOLS:
            evaluation = evaluate(detections, truth, protocol)
            result = evaluation.result
            if not scorable(evaluation, detections, own_protocol):
                continue
            rows += [
                {"epoch": evaluated.epoch, "selection": selection, "weights": weights, "protocol": protocol,
                 "tiou": tiou, "ap": ap}
                for tiou, ap in zip(result.tious, result.map_per_tiou.tolist(), strict=True)
            ]  # fmt: skip
            if protocol == own_protocol:
                flags += [f for f in invalid_flags(result.missing_classes, len(detections)) if f not in flags]
                as_printed = evaluate(detections, truth, protocol, tie=OFFICIAL).result.average
                compared.append(_comparison(selection, evaluated, as_printed))
    flags += [f"differs-from-upstream-print: {row}" for row in compared if not row["agrees"]]
    return rows, flags, compared


def scorable(evaluation: Evaluation, detections: pd.DataFrame, own_protocol: str) -> bool:
    """Tell whether detections that upstream recorded can be scored under a protocol.

    Not where it leaves nothing of the data set; nor where it counts a video whose detections upstream's own evaluation
    has dropped (TadTR's drops three): every action in it would pass for one that was missed.
    """
    dropped = set(PROTOCOLS[own_protocol].ignored_videos) - set(detections["video_id"])
    counted = set(evaluation.ground_truth["video_id"])
    return evaluation.result.instances > 0 and not dropped & counted


def epoch_rows(events: Sequence[Event]) -> list[Row]:
    """Return one row an epoch: steps so far, mean losses, seconds of training and evaluation."""
    rows: dict[int, Row] = {}
    epoch, steps = 0, 0
    opened: dict[str, float] = {}
    for event in events:
        kind, phase = event["kind"], event["phase"]
        if (kind, phase) == ("epoch", "start"):
            epoch = event["index"]
        row = rows.setdefault(epoch, {"epoch": epoch, "train_seconds": 0.0, "eval_seconds": 0.0})
        if (kind, phase) == ("iteration", "end"):
            steps += 1
            row["optimizer_steps"] = steps
        elif kind in ("train", "eval") and phase == "start":
            opened[kind] = event["time"]
        elif kind in ("train", "eval") and phase == "end" and kind in opened:
            row[f"{kind}_seconds"] += event["time"] - opened.pop(kind)
        elif phase == "metrics" and event["index"] == epoch and "average_map" not in event["values"]:
            row |= _losses(event["values"])
    return list(rows.values())


def reported(detections: Path, truth: GroundTruth) -> pd.DataFrame:
    """Return the detections of an evaluation with class names; a model that regresses both bounds may cross them."""
    return read_detections(detections, truth, backwards=1.0)


def _losses(values: Mapping[str, float]) -> Row:
    """Name upstream's losses apart, and their total `loss`."""
    total = values.get("final_loss", sum(values.values()))
    return {"loss": total, **{f"loss_{name}": value for name, value in values.items() if name != "final_loss"}}


def _comparison(selection: str, evaluated: Evaluated, average: float) -> Row:
    difference = average - evaluated.printed_map
    return {
        "selection": selection,
        "weights": evaluated.weights,
        "epoch": evaluated.epoch,
        "kit_map": average,
        "upstream_printed_map": evaluated.printed_map,
        "agrees": abs(difference) <= AGREEMENT,
    }
