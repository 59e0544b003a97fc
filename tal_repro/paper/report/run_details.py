"""What a run's line opens to: loss and mAP by epoch, AP of each class, settings, and the end of its log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.paper.report.chart import Scale
from tal_repro.paper.report.markup import Html, join, number, plain, tag
from tal_repro.run.view import log_tail
from tal_repro.runs.folder import EPOCH_COLUMNS
from tal_repro.runs.portable import Clean
from tal_repro.runs.record import RunRecord
from tal_repro.runs.run import finite, part

TAIL_LINES, TAIL_COLUMNS = 12, 200
MOST_DOTS = 8  # epochs: of longer curves the last alone is marked
MOST_EPOCHS, MOST_CLASSES, MOST_SETTINGS = 600, 400, 60
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 170, 44, 10, 22, 34
MAPS = {"map_ema": "EMA weights", "map_raw": "raw weights"}  # columns of epochs.csv: shares, not percent
Epochs = list[dict[str, float | None]]


def tail(folder: Path) -> list[str]:
    """Return the last lines of a run's log as text, however long the log and its lines are."""
    lines = [line.rstrip().rpartition("\r")[2] for line in log_tail(folder, TAIL_LINES)]
    return [plain(line)[:TAIL_COLUMNS] for line in lines]


def details(record: RunRecord, per_class: Mapping[str, Any], clean: Clean = str) -> Iterator[Html]:
    """Yield the curves, classes and settings of a run as far as its folder holds them, a sentence where it is broken.

    `per_class`: {selection, weights, protocol, ap: {class: share}}. `clean` takes out what tells of the machine.
    """
    for make in (_curves, partial(_classes, known=per_class), partial(_settings, clean=clean)):
        try:
            yield from make(record)
        except (InputError, OSError, ValueError, TypeError, AttributeError, KeyError):
            yield tag("p", "A part of what this run kept cannot be read: tal-repro show says what is wrong with it.")


def _curves(record: RunRecord) -> Iterator[Html]:
    rows = _epochs(record)
    if not rows:
        return
    made_up = record.spec.data is not None and record.spec.data.synthetic
    suffix = " (SYNTHETIC data)" if made_up else ""
    charts = [_chart(f"Training loss by epoch{suffix}", [("", _points(rows, "loss", 1.0))], None)]
    maps = [(title, _points(rows, name, 100.0)) for name, title in MAPS.items()]
    if any(points for _, points in maps):
        charts.append(_chart(f"Average mAP (%) by epoch{suffix}", maps, 100.0))
    yield tag("div", *(chart for chart in charts if chart is not None), class_="pair")


def _epochs(record: RunRecord) -> Epochs:
    if not record.has("epochs"):
        return []
    rows = [row for _, row in record.rows("epochs", EPOCH_COLUMNS)]
    step = max(1, math.ceil(len(rows) / MOST_EPOCHS))
    return [{name: _value(row.get(name)) for name in ("epoch", "loss", *MAPS)} for row in rows[::step]]


def _value(text: str | None) -> float | None:
    try:
        return finite(float(text or ""))
    except ValueError:
        return None


def _points(rows: Epochs, name: str, factor: float) -> list[tuple[float, float]]:
    pairs = ((row["epoch"], row[name]) for row in rows)
    return [(epoch + 1, factor * value) for epoch, value in pairs if epoch is not None and value is not None]


def _chart(title: str, lines: Sequence[tuple[str, list[tuple[float, float]]]], most: float | None) -> Html | None:
    """Draw values by epoch (from 1); each line's last value stands beside its name."""
    shown = [(name, points) for name, points in lines if points]
    if not shown:
        return None
    every = [place for _, points in shown for place in points]
    high = max(value for _, value in every)
    top = high * 1.08 if most is None else min(most, max(high * 1.15, 1.0))
    low = min(0.0, min(value for _, value in every))
    x = Scale(1.0, max(epoch for epoch, _ in every), LEFT, WIDTH - RIGHT)
    y = Scale(low, top or 1.0, HEIGHT - BOTTOM, TOP)
    parts = [tag("text", title, x=LEFT, y=13), *_frame(x, y, low, top or 1.0, max(epoch for epoch, _ in every))]
    for place, (_, points) in enumerate(shown):
        path = " ".join(f"{x(epoch):g},{y(value):g}" for epoch, value in points)
        parts.append(tag("polyline", points=path, class_=f"curve line{place}"))
        dots = points if len(points) <= MOST_DOTS else points[-1:]
        parts += [tag("circle", cx=x(at), cy=y(value), r=2.4, class_=f"end line{place}") for at, value in dots]
    ends = [f"{name + ': ' if name else ''}{points[-1][1]:.4g} after epoch {points[-1][0]:g}" for name, points in shown]
    picture = tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"{title}. {'; '.join(ends)}")
    dashes = ", first solid, second dashed" if len(shown) > 1 else ""
    return tag("figure", tag("div", picture, class_="chart"), tag("figcaption", f"{'; '.join(ends)}{dashes}."))


def _frame(x: Scale, y: Scale, low: float, top: float, last: float) -> Iterator[Html]:
    base = HEIGHT - BOTTOM
    for value in (low, (low + top) / 2, top):
        yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid")
        yield tag("text", f"{value:.3g}", x=LEFT - 5, y=y(value) + 4, text_anchor="end")
    for epoch in dict.fromkeys((1.0, last)):
        yield tag("text", f"{epoch:g}", x=x(epoch), y=base + 14, text_anchor="middle" if epoch == 1 else "end")
    yield tag("text", "epoch", x=(LEFT + WIDTH - RIGHT) / 2, y=base + 26, text_anchor="middle")


def _classes(record: RunRecord, known: Mapping[str, Any]) -> Iterator[Html]:
    """Yield the AP of each class, highest first; runs of an older kit have not recorded it."""
    scores = {str(name): share for name, value in part(known, "ap").items() if (share := finite(value)) is not None}
    if not scores:
        if record.has("metrics"):
            yield tag(
                "p", "AP of each class: not recorded; tal-repro evaluate --per-class computes it from detections."
            )
        return
    names = sorted(scores, key=lambda name: (-scores[name], name))[:MOST_CLASSES]
    bars = [
        tag("li", tag("span", name), tag("b", number(100 * scores[name], 1)),
            style=f"--share: {min(max(100 * scores[name], 0.0), 100.0):.1f}%")
        for name in names
    ]  # fmt: skip
    how = ", ".join(str(known.get(key, "")) for key in ("selection", "weights", "protocol"))
    yield tag("p", f"AP of each class (%), mean over tIoU 0.3 to 0.7; {how}:")
    yield tag("ul", *bars, class_="bars")


def _settings(record: RunRecord, clean: Clean) -> Iterator[Html]:
    spec = record.spec
    subset, data = spec.subset, spec.data
    pairs: dict[str, Any] = {
        "engine": f"{spec.engine} {spec.engine_version}",
        "data": f"{data.name}{' (SYNTHETIC)' if data.synthetic else ''}" if data else "none",
        "part of the data": f"{subset.percent:g} % of the {subset.unit}s, {subset.policy}" if subset else "",
        "seed": spec.seed,
        "precision": spec.precision,
        "device": spec.device_kind,
        "threads": spec.threads or "",
        **spec.recipe,
        **{f"option {name}": value for name, value in spec.options.items()},
    }
    settings = [(name, clean(_setting(value))) for name, value in pairs.items() if value not in ("", None)]
    items = [tag("li", f"{name} ", tag("b", value)) for name, value in settings[:MOST_SETTINGS]]
    yield tag("p", "Settings:")
    yield tag("ul", *items, class_="settings")


def _setting(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(_setting, value))[:200] if isinstance(value, list | tuple) else str(value)[:200]


def log(folder: Path, run_id: str, clean: Clean = str) -> Html:
    """Return the end of a run's log."""
    lines = [clean(line) for line in tail(folder)]
    if not lines:
        return tag("p", "It left no log.")
    return join([tag("p", "End of its log:"), tag("pre", "\n".join(lines), tabindex="0", role="region",
                                                  aria_label=f"End of the log of {run_id}")])  # fmt: skip
