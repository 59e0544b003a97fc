"""The table of docs/data.md from `results/reference/data`: what a plain learner gains from more synthetic videos."""

from __future__ import annotations

import statistics

from benchmarks.tables.reports import read_report
from tal_repro.kit import reference_folder
from tal_repro.paper.tables import TextTable, render


def difficulty_text() -> str:
    """Return the table of mean AP by difficulty and share of the training videos."""
    report = read_report(reference_folder() / "data" / "difficulty.json")
    rows = report["rows"]
    shares = list(rows[0]["mean_ap_percent"])
    cells = tuple(
        (f"{row['difficulty']:g}", *(_cell(row["mean_ap_percent"][share]) for share in shares)) for row in rows
    )
    low, high = report["seconds"]
    data = f"{report['channels']} channels, {low} to {high} s, seed {report['seed']}; SYNTHETIC"
    caption = (
        f"Mean AP (%) of single steps over {report['test_videos']} test videos, after shares of "
        f"{report['train_videos']} training videos ({data})"
    )
    note = f"± is the standard deviation of {len(rows[0]['mean_ap_percent'][shares[0]])} draws of the videos."
    header = ("Difficulty", *(f"{share} %" for share in shares))
    return render(TextTable(caption, header, cells, (note,)), "markdown").rstrip()


def _cell(values: list[float]) -> str:
    return f"{statistics.fmean(values):.0f} ± {statistics.pstdev(values):.0f}"
