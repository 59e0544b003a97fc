"""The forecast's report as text a person reads: first the answer, then the decisions, then the trust."""

from __future__ import annotations

from typing import Any

from tal_repro.curves.chart import draw
from tal_repro.curves.forecast import Forecast


def chart_lines(made: Forecast, report: dict[str, Any]) -> list[str]:
    """Return the chart of a forecast with its legend, as far as the report could answer."""
    answers = ((report["target"], report), (report["horizon"]["train_percent"], report["horizon"]))
    end = max([report["last_percent"], *(x for x, answer in answers if answer["answerable"])])
    legend = f"        o measured   - predicted   : {made.level:.0%} interval   (mAP against % of the data)"
    return [*draw(made, end), legend, ""]


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the report without the chart."""
    return [
        *_points(report),
        "",
        *_answers(report),
        "",
        *_decisions(report),
        *_families(report),
        "",
        *_trust(report),
    ]


def _points(report: dict[str, Any]) -> list[str]:
    points = report["points"]
    runs = f" ({points['runs']} runs)" if points["runs"] > points["percentages"] else ""
    merged = "; neighbours merged" if points["merged"] else ""
    span = f"from {points['smallest_percent']:g} to {points['largest_percent']:g} %"
    return [f"{points['percentages']} percentages {span}{runs}{merged}; the last has mAP {report['last_value']:.2f}"]


def _answers(report: dict[str, Any]) -> list[str]:
    lines = [f"                predicted mAP   {report['level']:.0%} interval    if more data changed nothing"]
    last = report["last_percent"]
    refusals: list[str] = []
    for x, answer in ((report["target"], report), (report["horizon"]["train_percent"], report["horizon"])):
        if answer["answerable"]:
            low, high = answer["interval"]
            interval = f"{low:.1f} to {high:.1f}"
            unchanged = f"{report['last_value']:>8.1f}" if x >= last else f"       - (below the last point, {last:g} %)"
            lines.append(f"  at {x:>6g} %{answer['prediction']:>17.1f}   {interval:<16}{unchanged}")
            continue
        lines.append(f"  at {x:>6g} %    cannot be answered")
        if answer["reason"] not in refusals:
            refusals.append(answer["reason"])
    return lines + [line for reason in refusals for line in _wrap(f"{reason}.", "  why: ")]


def _wrap(text: str, lead: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 96, initial_indent=lead, subsequent_indent=" " * len(lead))


def _decisions(report: dict[str, Any]) -> list[str]:
    lines = _gain(report) + _needed(report)
    tested = report["saturation"]
    lines += _wrap(("" if tested["tested"] else "not tested: ") + tested["reason"], "  saturation   ")
    if report["next_percentage"]:
        lines += _wrap(report["next_percentage"]["reason"], "  run next     ")
    return lines


def _gain(report: dict[str, Any]) -> list[str]:
    gain = report["gain"]
    places = ((report["target"], gain["at_target"]), (report["horizon"]["train_percent"], gain["at_horizon"]))
    shown = [f"{probability:.0%} at {x:g} %" for x, probability in places if probability is not None]
    return [f"  gain         of {gain['delta']:g} mAP or more: probability {', '.join(shown)}"] if shown else []


def _needed(report: dict[str, Any]) -> list[str]:
    needed = report["data_needed"]
    limit = needed["searched_up_to"]
    if limit is None:
        return []
    if needed["percent_50"] is None:
        return [f"  data needed  mAP {needed['value']:.2f} is not expected within {limit:.0f} % of the data"]
    certain = f"{needed['percent_90']:.0f} %" if needed["percent_90"] else f"more than {limit:.0f} %"
    return [
        f"  data needed  for mAP {needed['value']:.2f}: {needed['percent_50']:.0f} % (even odds), {certain} (90 % sure)"
    ]


def _families(report: dict[str, Any]) -> list[str]:
    if not report["families"]:
        return []
    target, horizon = report["target"], report["horizon"]["train_percent"]
    shown = [row for row in report["families"] if row["prediction"] is not None]
    lines = ["", f"  family                weight   at {target:g} %   at {horizon:g} %"]
    for row in shown:
        lines.append(
            f"  {row['family']:<20}{row['weight']:>8.2f}{row['prediction']:>11.1f}{row['prediction_at_horizon']:>11.1f}"
        )
    if report["family_spread"]:
        low, high = report["family_spread"]
        lines.append(f"  families alone differ by {high - low:.1f} mAP at {target:g} % ({low:.1f} to {high:.1f})")
    return lines


def _trust(report: dict[str, Any]) -> list[str]:
    coverage = report["coverage"]
    lines = [f"How often such intervals, at {coverage['level']:.0%}, held the truth when back-tested:"]
    own = coverage["these_points"]
    if own:
        lines.append(f"  on these points      {own['covered']:>4} of {own['forecasts']} ({_share(own)})")
    else:
        lines.append("  on these points      too few points to back-test")
    everywhere = coverage["references"]
    lines.append(
        f"  on published curves  {everywhere['covered']:>4} of {everywhere['forecasts']} ({_share(everywhere)}), "
        "each curve left out of its own calibration"
    )
    curves = ", ".join(f"{name} {c['covered']}/{c['forecasts']}" for name, c in everywhere["curves"].items())
    lines.append(f"    {curves}")
    used = coverage["calibrated_on"]
    if used and len(used) < len(everywhere["curves"]):
        lines.append(f"  these points are a published curve: their interval is calibrated on {', '.join(used)} alone")
    return lines


def _share(counts: dict[str, Any]) -> str:
    return f"{counts['covered'] / counts['forecasts']:.0%}"
