"""`tal-repro forecast`: from a few (train %, mAP) points to a prediction, its interval and what to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.curves.units import Units

NEXT = (
    "the same with --plot FILE.svg draws it, with --json > FILE keeps it",
    "tal-repro advise  # the same of a study's runs",
)
MAX_TARGET = 1e6  # percent; above it a number is a slip of the keyboard


@click.command()
@click.argument("points", metavar="POINTS", required=False)
@click.option("-t", "--target", type=float, help="How much data to predict at.  [default: 100 %]")
@click.option("-z", "--horizon", type=float, help="A second, larger amount.  [default: 300 %]")
@click.option("-v", "--value", type=float, help="Value to reach: how much data would it need? [default: last + delta]")
@click.option("-d", "--delta", type=float, help="Gain that would be worth having.  [default: 1 mAP]")
@click.option("--level", default=0.8, show_default=True, help="Level of the interval.")
@click.option(
    "--weights", type=click.Choice(["none", "se2"]), default="none", show_default=True,
    help="none: all percentages count alike; se2: each by 1 / squared standard error of its runs.",
)  # fmt: skip
@click.option("--x-unit", type=click.Choice(["percent", "fraction", "count"]), default="percent", show_default=True,
              help="Unit of train_percent, --target and --horizon; the largest count is 100 %.")  # fmt: skip
@click.option("--metric-unit", type=click.Choice(["percent", "fraction"]), default="percent", show_default=True,
              help="Unit of mAP, --value and --delta.")  # fmt: skip
@click.option("--direction", type=click.Choice(["up", "down"]), default="up", show_default=True,
              help="down: a rate of errors, lower is better.")  # fmt: skip
@click.option("--plot", metavar="FILE", help="Draw it, too: .svg, .png or .pdf, for print, told apart in grey.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/forecast.json) alone.")
def forecast(
    points: str | None,
    target: float | None,
    horizon: float | None,
    value: float | None,
    delta: float | None,
    level: float,
    weights: str,
    x_unit: str,
    metric_unit: str,
    direction: str,
    plot: str | None,
    as_json: bool,
) -> None:
    """Predict mAP at more data from POINTS, a CSV file of train_percent,mAP[,run] ("-": standard input).

    \b
    train_percent,mAP,run
    10,18.1,1
    10,18.5,2
    20,38.3,1

    Exit code 0 also when the points cannot answer ("answerable": false with the reason); 2 when they
    cannot be read.
    """
    from tal_repro.curves.forecast import forecast as make_forecast
    from tal_repro.curves.forecast import too_few
    from tal_repro.curves.points_csv import SHOWN_FORMAT, read_points
    from tal_repro.curves.report import build_report
    from tal_repro.curves.report_text import chart_lines, report_lines
    from tal_repro.curves.units import Units
    from tal_repro.text_lines import terminal_width

    if points is None:
        raise InputError("no file of points is named", "POINTS", SHOWN_FORMAT)
    units = Units(x_unit, metric_unit, direction)
    _check_options({"--value": value, "--delta": delta, "--level": level}, units)
    _check_amounts({"--target": target, "--horizon": horizon}, units)
    read = read_points(points, units)
    made = None if too_few(read) else make_forecast(read, level=level, weights=weights)
    report = build_report(
        read,
        made,
        100.0 if target is None else read.units.percent(target),
        300.0 if horizon is None else read.units.percent(horizon),
        None if value is None else units.inner(value),
        1.0 if delta is None else units.inner_gain(delta),
    )
    if plot is not None:
        from tal_repro.commands.table import writable
        from tal_repro.paper.figures.forecast_plot import save_plot

        save_plot(read, made, report, writable(Path(plot)))
    if as_json:
        emit(json.dumps(report, indent=2, allow_nan=False))
    else:
        chart = chart_lines(made, report, terminal_width()) if made else []
        echo("\n".join([*chart, *report_lines(report, read.units), ""]))
        if plot:
            echo(f"drawn into {plot}")
        tell_next(*NEXT[1 if plot else 0 :])


def _check_amounts(given: dict[str, float | None], units: Units) -> None:
    largest = {"percent": MAX_TARGET, "fraction": MAX_TARGET / 100}.get(units.x, 1e15)
    for option, amount in given.items():
        if amount is not None and not 0 < amount <= largest:
            raise InputError(f"{amount:g} is out of range", option, "give an amount of data above 0, for example 100")


def _check_options(given: dict[str, float | None], units: Units) -> None:
    top = 1.0 if units.metric == "fraction" else 100.0
    checks: dict[str, tuple[float, float, str]] = {
        "--value": (0.0, top, f"give a value between 0 and {top:g}"),
        "--delta": (0.0, top, f"give a gain between 0 and {top:g}"),
        "--level": (0.01, 0.99, "give a share between 0.01 and 0.99, for example 0.8"),
    }
    for option, number in given.items():
        low, high, remedy = checks[option]
        if number is not None and not low <= number <= high:
            raise InputError(f"{number:g} is out of range", option, remedy)
