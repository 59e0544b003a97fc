"""`tal-repro forecast`: from a few (train %, mAP) points to a prediction, its interval and what to do next."""

from __future__ import annotations

import json
from typing import Any

import click

from tal_repro.console import echo

MAX_TARGET = 1e6  # percent; above it a number is a slip of the keyboard


@click.command()
@click.argument("points", metavar="POINTS")
@click.option("--target", default=100.0, show_default=True, help="Percentage of the data to predict at.")
@click.option("--horizon", default=300.0, show_default=True, help="A second, farther percentage.")
@click.option("--value", type=float, help="mAP to reach: how much data would it need? [default: last + delta]")
@click.option("--delta", default=1.0, show_default=True, help="Gain in mAP that would be worth having.")
@click.option("--level", default=0.8, show_default=True, help="Level of the interval.")
@click.option("--weights", type=click.Choice(["none", "se2"]), default="none", show_default=True, help="se2: 1/se^2.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/forecast.json) alone.")
def forecast(
    points: str,
    target: float,
    horizon: float,
    value: float | None,
    delta: float,
    level: float,
    weights: str,
    as_json: bool,
) -> None:
    """Predict mAP at more data from POINTS, a CSV file of train_percent,mAP[,run] ("-": standard input).

    Exit code 0 also when the points cannot answer ("answerable": false with the reason); 2 when they
    cannot be read.
    """
    _check_options(target, horizon, value, delta, level)
    from tal_repro.curves.forecast import forecast as make_forecast
    from tal_repro.curves.forecast import too_few
    from tal_repro.curves.points_csv import read_points
    from tal_repro.curves.report import build_report
    from tal_repro.curves.report_text import chart_lines, report_lines

    read = read_points(points)
    made = None if too_few(read) else make_forecast(read, level=level, weights=weights)
    report = build_report(read, made, target, horizon, value, delta)
    if as_json:
        echo(json.dumps(report, indent=2, allow_nan=False))
        return
    echo("\n".join([*(chart_lines(made, report) if made else []), *report_lines(report)]))


def _check_options(target: float, horizon: float, value: float | None, delta: float, level: float) -> None:
    from tal_repro.errors import InputError

    checks: list[tuple[str, Any, bool, str]] = [
        ("--target", target, 0 < target <= MAX_TARGET, "give a percentage above 0, for example 100"),
        ("--horizon", horizon, 0 < horizon <= MAX_TARGET, "give a percentage above 0, for example 300"),
        ("--value", value, value is None or 0 <= value <= 100, "give an mAP between 0 and 100"),
        ("--delta", delta, 0 <= delta <= 100, "give a gain in mAP, for example 1"),
        ("--level", level, 0.01 <= level <= 0.99, "give a share between 0.01 and 0.99, for example 0.8"),
    ]
    for option, given, good, remedy in checks:
        if not good:
            raise InputError(f"{given:g} is out of range", option, remedy)
