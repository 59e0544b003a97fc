"""How often measured verdicts are right: the table of docs/claims.md, from `results/reference/verdicts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.tables.reports import read_report
from tal_repro.kit import reference_folder
from tal_repro.paper.claims.bands import SETTLED
from tal_repro.paper.tables import TextTable, render

MOST = 0.075  # of 500 replications: the 99 % limit of a share whose expectation is 5 %
Row = Mapping[str, Any]


def calibration_text() -> str:
    """Return what misses the target in words, and the shares of each verdict under each truth."""
    report = read_report(reference_folder() / "verdicts" / "calibration.json")
    rows = report["claims"]
    wrong = [f"{row['id']} ({100 * share:.1f} %)" for row in rows for share in _wrong(row) if share > MOST]
    weak = [row for row in rows if _power(row) < SETTLED]
    headline = ", ".join(row["id"] for row in weak if row["importance"] == "headline") or "none"
    others = ", ".join(row["id"] for row in weak if row["importance"] != "headline") or "none"
    fewer = [row for row in rows if row["replications"] < report["replications"]]
    some = f" ({fewer[0]['replications']} of {', '.join(row['id'] for row in fewer)}: slow fits)" if fewer else ""
    lead = (
        f"{report['replications']} replications a claim and truth{some}, n = {rows[0]['n']}, fresh seeds. Wrong "
        f"in more than {100 * MOST:g} %: {', '.join(wrong) or 'none'}. Settled in under {100 * SETTLED:.0f} %, so "
        f"`plan` names them before the start: headline claims {headline}; others {others}."
    )
    header = ("Claim", "Importance", "Margin", "As claimed: reproduced", "not reproduced", "Off: reproduced",
              "not reproduced", "Settled by n")  # fmt: skip
    caption = "How often each verdict comes out (%), the truth as claimed and off by twice the margin (the worse side)"
    return f"{lead}\n\n{render(TextTable(caption, header, tuple(map(_cells, rows))), 'markdown').rstrip()}"


def _off(row: Row) -> list[Mapping[str, float]]:
    return [share for side, share in row["truths"].items() if side != "claimed"]


def _wrong(row: Row) -> list[float]:
    """Return how often a claimed truth is "not reproduced", and one that is off "reproduced"."""
    return [row["truths"]["claimed"]["not reproduced"], max(share["reproduced"] for share in _off(row))]


def _power(row: Row) -> float:
    return float(min(row["truths"]["claimed"]["reproduced"], *(share["not reproduced"] for share in _off(row))))


def _cells(row: Row) -> tuple[str, ...]:
    claimed, off = row["truths"]["claimed"], _off(row)
    shares = (claimed["reproduced"], claimed["not reproduced"], max(share["reproduced"] for share in off),
              min(share["not reproduced"] for share in off))  # fmt: skip
    settled = "yes" if _power(row) >= SETTLED else "no"
    return (row["id"], row["importance"], f"{row['margin']:g}", *(f"{100 * share:.1f}" for share in shares), settled)
