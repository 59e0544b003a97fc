"""`tal-repro evaluate`: the mAP of anybody's detections, under a named protocol and any tIoU thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.thumos14 import PROTOCOL

if TYPE_CHECKING:
    from tal_repro.detection.protocols import GroundTruth

PROTOCOL_NAMES = ["af-212", "opentad-211", "tadtr-210", "activitynet"]
NEXT = "the same with --per-class, --errors, --bootstrap 1000 says where the mAP comes from; --json > FILE keeps it"


@click.command()
@click.argument("detections", type=click.Path(path_type=Path))
@click.argument("annotations", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOL_NAMES),
    default=PROTOCOL,
    show_default=True,
    help="Which test videos and instances count; activitynet: all of any data set.",
)
@click.option("--tiou", metavar="RANGE|LIST", help="tIoU thresholds: 0.5:0.95:0.05, or 0.3,0.5. [default: protocol's]")
@click.option(
    "--tie",
    type=click.Choice(["first", "official"]),
    default="first",
    show_default=True,
    help="Order of equal scores and tIoUs: of the file, or as the official evaluators sort.",
)
@click.option("--subset", help="Subset of the annotations to score on.  [default: test; of a definition: its own]")
@click.option("--per-class", is_flag=True, help="Also the AP of every class.")
@click.option("--bootstrap", metavar="N", type=click.IntRange(min=2), help="95 % interval from N resamples of videos.")
@click.option("--errors", is_flag=True, help="Also the error types at tIoU 0.5 and what each costs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    detections: Path,
    annotations: Path,
    protocol: str,
    tiou: str | None,
    tie: str,
    subset: str | None,
    per_class: bool,
    bootstrap: int | None,
    errors: bool,
    as_json: bool,
) -> None:
    """Compute the mAP of DETECTIONS (.csv, .json, also .gz) against ANNOTATIONS (docs/your-data.md lists the dialects).

    A detection is a row video_id,start_s,end_s,label,score, or an entry of ActivityNet's "results". ANNOTATIONS may be
    the definition of a data set (.toml).
    """
    from tal_repro.commands.evaluate_report import build_report, report_lines
    from tal_repro.commands.evaluate_warnings import check_any_scored, warnings_of
    from tal_repro.detection.detections_io import read_detections
    from tal_repro.detection.protocols import evaluate as score
    from tal_repro.detection.protocols import find_protocol
    from tal_repro.detection.tious import read_tious

    tious = read_tious(tiou or find_protocol(protocol).tious, tie)
    truth = _truth(annotations, subset)
    table = read_detections(detections, truth, other_classes=True, backwards=0.5)
    evaluation = score(table, truth, protocol, tious, tie)
    if not evaluation.result.instances:
        raise InputError(f"no instance counts under protocol {protocol}", annotations, "choose another protocol")
    check_any_scored(table, evaluation, truth, detections)
    report = build_report(evaluation, per_class, bootstrap, errors) | {"synthetic": truth.synthetic}
    if as_json:
        emit(json.dumps(report, indent=2, allow_nan=False))
    else:
        echo("\n".join(report_lines(report)).rstrip())
    for warning in warnings_of(table, evaluation, truth):
        echo(f"warning: {warning}", err=True)
    if not as_json:
        tell_next("the same with --json > FILE keeps it" if per_class and errors and bootstrap else NEXT)


def _truth(annotations: Path, subset: str | None) -> GroundTruth:
    """Read annotations, or those that a definition names: their test subsets, classes and unit of time are its own."""
    from tal_repro.data.definition import read_definition
    from tal_repro.data.layouts import is_definition
    from tal_repro.detection.detections_io import read_ground_truth

    if not is_definition(annotations):
        return read_ground_truth(annotations, subset or "test")
    definition = read_definition(annotations)
    return read_ground_truth(definition.annotations, *([subset] if subset else definition.test))
