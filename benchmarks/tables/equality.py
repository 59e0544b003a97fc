"""Tables of docs/measurements.md from `results/reference`: is the native engine equal to the authors' code?"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from benchmarks.comparing import compare
from benchmarks.tables.reports import Json, by_model, read_report, reports
from tal_repro.kit import reference_folder
from tal_repro.models.registry import MODELS
from tal_repro.paper.tables import TextTable, render

CHECKS = ("parameters", "outputs", "losses", "gradients", "steps", "detections")
EQUALITY_NOTE = (
    "Outputs, losses and detections: largest difference over the tensor's maximum, float32, limit 1e-5. Gradients and "
    "steps (weights and their average after 20 optimiser steps): float64, limit 1e-7, where the authors' code runs in "
    "it; elsewhere as a multiple of what one-ulp noise on the weights does to the authors' code itself, taken as at "
    "least 1e-6 of the tensor's maximum, limit 3. Detections: whole lists after NMS, order included."
)
SAME_MAP_NOTE = (
    "± after a mean: standard deviation over seeds; after a difference: 95 % interval. Equivalent: two one-sided "
    "t-tests against 1.5 mAP points at 5 %, ten runs a side or more. Starts: initial weights that each side draws for "
    "itself (own), or the authors' for both and compared in pairs (shared). But for unlike seeds, orders and crops are "
    "the same on both sides."
)
CHANCE = 0.05  # that a 95 % interval misses

BOTH = tuple(name for name, entry in MODELS.items() if len(entry.engines) == 2)  # there is nothing else to compare


def equality_text() -> str:
    """Return the table of full-size parity: the worst row of every check, beside its limit."""
    header = ("Model", *(name.capitalize() for name in CHECKS), "Authors' commit")
    reports = {name: read_report(reference_folder() / "parity" / f"{name}.json") for name in BOTH}
    rows = tuple(
        (MODELS[name].title, *(_worst(report["rows"], check) for check in CHECKS), _commit(report, name))
        for name, report in reports.items()
    )
    caption = "Native models against the authors' code, full size, random weights"
    return render(TextTable(caption, header, rows, (EQUALITY_NOTE,)), "markdown").rstrip()


def same_map_text() -> str:
    """Return the table of the mAPs that both engines reach when each trains by itself."""
    header = ("Model", "Starts", "Runs", "Native", "Authors'", "Difference", "Verdict")
    trained = by_model(reports("parity", "map"))
    each = ((name, _starts(one, report), one) for name, one, report in trained)
    rows = tuple(
        (
            MODELS[name].title,
            starts,
            f"{one['n'][0]} + {one['n'][1]}",
            *(
                f"{statistics.fmean(one[side]):.2f} ± {statistics.stdev(one[side]):.2f}"
                for side in ("native", "upstream")
            ),
            f"{one['difference']:+.2f} ± {one['half_width_95']:.2f}",
            one["verdict"],
        )
        for name, starts, one in (*each, *_pooled(trained))
    )
    chance = (
        f"Where nothing differs, {CHANCE * len(trained):.1f} of {len(trained)} such comparisons lie apart on average: "
        f"each interval misses with {100 * CHANCE:g} %."
    )
    caption = "mAP (%) after independent trainings of small models on SYNTHETIC data"
    return render(TextTable(caption, header, rows, (SAME_MAP_NOTE, chance)), "markdown").rstrip()


def _pooled(trained: Iterable[tuple[str, Json, Json]]) -> list[tuple[str, str, Json]]:
    """Return (model, starts, comparison) of all pairs from shared starts, where several reports hold some."""
    shared: dict[str, list[Json]] = {}
    for name, one, report in trained:
        if report.get("starts") == "shared":
            shared.setdefault(name, []).append(one)
    pooled: list[tuple[str, str, Json]] = []
    for name, parts in shared.items():
        if len(parts) > 1:
            sides = {side: [value for part in parts for value in part[side]] for side in ("native", "upstream")}
            seeds = [seed for part in parts for seed in part["seeds"]]
            starts = f"shared, seeds {min(seeds)} to {max(seeds)} together"
            pooled.append((name, starts, {**sides, **compare(sides["native"], sides["upstream"], paired=True)}))
    return pooled


def _starts(one: Json, report: Json) -> str:
    if "seeds" not in one:
        return "own, unlike seeds"
    return f"{report.get('starts', 'own')}, seeds {min(one['seeds'])} to {max(one['seeds'])}"


def _worst(rows: Iterable[Json], check: str) -> str:
    found = [row for row in rows if row["check"] == check]
    if not found:
        return "not run"
    worst = max(found, key=lambda row: row["value"])
    if check == "parameters":
        return f"{worst['detail']['native']:,}"
    if check == "detections":
        return f"{worst['value']:.1e} of {sum(row['detail']['detections'] for row in found):,}"
    return f"{worst['value']:.2f} x own noise" if "own noise" in worst["case"] else f"{worst['value']:.1e}"


def _commit(report: Json, name: str) -> str:
    return f"`{report['upstream'][name]['commit'][:8]}`"
