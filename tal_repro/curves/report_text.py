"""The forecast's report as text a person reads: first the answer, then the decisions, then the trust."""

from __future__ import annotations

from typing import Any

from tal_repro.curves.chart import LABEL_WIDTH, draw
from tal_repro.curves.forecast import Forecast
from tal_repro.curves.units import PERCENT, Units
from tal_repro.text_table import table


def chart_lines(made: Forecast, report: dict[str, Any], columns: int) -> list[str]:
    """Return the chart of a forecast with its legend, as far as the report could answer; none if it could not."""
    answers = ((report["target"], report), (report["horizon"]["train_percent"], report["horizon"]))
    answered = [x for x, answer in answers if answer["answerable"]]
    if not answered:
        return []
    units = made.points.units
    end = units.percent(max([report["last_percent"], *answered]))
    indent = " " * LABEL_WIDTH
    legend = [
        f"{indent}o measured   - predicted   : {made.level:.0%} interval",
        f"{indent}{units.name} against the data, log scale",
    ]
    return [*draw(made, end, columns), *legend, ""]


def report_lines(report: dict[str, Any], units: Units = PERCENT) -> list[str]:
    """Return the report without the chart; `units` are those of the points."""
    return [
        *_points(report, units),
        "",
        *_answers(report, units),
        "",
        *_decisions(report, units),
        *_families(report, units),
        "",
        *_trust(report),
    ]


def _x(report_x: float, units: Units) -> str:
    return units.at(units.percent(report_x))


def _points(report: dict[str, Any], units: Units) -> list[str]:
    points = report["points"]
    runs = f" ({points['runs']} runs)" if points["runs"] > points["percentages"] else ""
    merged = "; neighbours merged" if points["merged"] else ""
    span = f"from {units.amount(units.percent(points['smallest_percent']))} to {_x(points['largest_percent'], units)}"
    last = f"{report['last_value']:.{units.decimals + 1}f}"
    if points["percentages"] == 1:
        return [f"one percentage, {_x(points['largest_percent'], units)}{runs}; it has {units.name} {last}"]
    return [f"{points['percentages']} percentages {span}{runs}{merged}; the last has {units.name} {last}"]


def _answers(report: dict[str, Any], units: Units) -> list[str]:
    """Return the table of what is predicted at both amounts, and why not where it cannot be."""
    last, digits = report["last_percent"], units.decimals
    asked = ((report["target"], report), (report["horizon"]["train_percent"], report["horizon"]))
    rows = [(_x(x, units), *_answer(x, answer, report["last_value"], last, digits)) for x, answer in asked]
    titles = ("at", f"predicted {units.name}", f"{report['level']:.0%} interval", "if more data changed nothing")
    lines = table(dict(zip(titles, zip(*rows, strict=True), strict=True)), indent="  ")
    if any(x < last and answer["answerable"] for x, answer in asked):
        lines.append(f"  -: below the last point, {_x(last, units)}")
    refusals = dict.fromkeys(answer["reason"] for _, answer in asked if not answer["answerable"])
    return lines + [f"  why: {reason}." for reason in refusals]


def _answer(x: float, answer: dict[str, Any], last_value: float, last: float, digits: int) -> tuple[str, str, str]:
    if not answer["answerable"]:
        return "-", "cannot be answered", "-"
    low, high = answer["interval"]
    unchanged = f"{last_value:.{digits}f}" if x >= last else "-"
    return f"{answer['prediction']:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}", unchanged


def _decisions(report: dict[str, Any], units: Units) -> list[str]:
    lines = _gain(report, units) + _needed(report, units)
    tested = report["saturation"]
    lines.append(f"  saturation   {'' if tested['tested'] else 'not tested: '}{tested['reason']}")
    if report["next_percentage"]:
        lines.append(f"  run next     {report['next_percentage']['reason']}")
    return lines


def _gain(report: dict[str, Any], units: Units) -> list[str]:
    gain = report["gain"]
    places = ((report["target"], gain["at_target"]), (report["horizon"]["train_percent"], gain["at_horizon"]))
    shown = [f"{probability:.0%} at {_x(x, units)}" for x, probability in places if probability is not None]
    what = f"a fall of {gain['delta']:g}" if units.falls else f"of {gain['delta']:g} mAP"
    return [f"  gain         {what} or more: probability {', '.join(shown)}"] if shown else []


def _needed(report: dict[str, Any], units: Units) -> list[str]:
    needed = report["data_needed"]
    limit = needed["searched_up_to"]
    if limit is None:
        return []
    goal, far = f"{units.name} {needed['value']:.{units.decimals + 1}f}", _rounded(limit, units)
    if needed["percent_50"] is None:
        return [f"  data needed  {goal} is not expected within {far} (the forecast answers no further)"]
    certain = _rounded(needed["percent_90"], units) if needed["percent_90"] else f"more than {far}"
    return [f"  data needed  for {goal}: {_rounded(needed['percent_50'], units)} (even odds), {certain} (90 % sure)"]


def _rounded(x: float, units: Units) -> str:
    return f"{x:.0f} %" if units.x == "percent" else _x(float(f"{x:.3g}"), units)


def _families(report: dict[str, Any], units: Units) -> list[str]:
    """List the families at the amounts that were answered, and how far they are apart at the target."""
    keys = (("prediction", report["target"]), ("prediction_at_horizon", report["horizon"]["train_percent"]))
    shown = [(key, x) for key, x in keys if any(row[key] is not None for row in report["families"])]
    if not shown:
        return []
    digits = units.decimals
    rows = [row for row in report["families"] if None not in [row[key] for key, _ in shown]]
    columns: dict[str, list[str]] = {
        "family": [row["family"] for row in rows],
        "weight": [f"{row['weight']:.2f}" for row in rows],
        **{f"at {_x(x, units)}": [f"{row[key]:.{digits}f}" for row in rows] for key, x in shown},
    }
    lines = ["", *table(columns, indent="  ")]
    if report["family_spread"]:
        low, high = report["family_spread"]
        apart = f"{high - low:.{digits}f} {units.name} at {_x(report['target'], units)}"
        lines.append(f"  families alone differ by {apart} ({low:.{digits}f} to {high:.{digits}f})")
    return lines


def _trust(report: dict[str, Any]) -> list[str]:
    coverage = report["coverage"]
    held_out, own = coverage["held_out"], coverage["these_points"]
    shares = ", ".join(
        f"{share:.0%} with at most {seen} % of the data seen" for seen, share in held_out["coverage_80"].items()
    )
    published = held_out["published"]
    lines = [
        f"The intervals are calibrated on {coverage['calibrated_on']}, not on these points.",
        f"How often such intervals, at {coverage['level']:.0%}, held the truth:",
        f"  on other data sets   {shares} ({held_out['curves']} curves of {held_out['data_sets']} data sets)",
        f"  on this study's four published curves   {_share(published)}",
    ]
    if own:
        return [*lines, f"  on these points, made from fewer of them   {_share(own)}; neighbours miss together"]
    return [*lines, "  on these points      too few points to back-test"]


def _share(counts: dict[str, Any]) -> str:
    return f"{counts['covered']} of {counts['forecasts']} ({counts['covered'] / counts['forecasts']:.0%})"
