"""How often measured verdicts are right: two tables of docs/claims.md, from `results/reference/verdicts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.tables.reports import read_report
from tal_repro.kit import reference_folder
from tal_repro.paper.claims.bands import SETTLED
from tal_repro.paper.claims.statements import load_claims
from tal_repro.paper.tables import TextTable, render

MOST = 0.075  # of 500 replications: the 99 % limit of a share whose expectation is 5 %
ENOUGH = 10  # verdicts left open, below which a share says nothing
Row = Mapping[str, Any]


def calibration_text() -> str:
    """Return what misses the target in words, and the shares of each verdict under each truth."""
    report = read_report(reference_folder() / "verdicts" / "calibration.json")
    rows = report["claims"]
    wrong = [f"{row['id']} ({100 * share:.1f} %)" for row in rows for share in _wrong(row) if share > MOST]
    weak = [row for row in rows if not row["settled_by_n"]]
    headline = ", ".join(row["id"] for row in weak if row["importance"] == "headline") or "none"
    others = ", ".join(row["id"] for row in weak if row["importance"] != "headline") or "none"
    fewer = [row for row in rows if row["replications"] < report["replications"]]
    some = f" ({fewer[0]['replications']} of {', '.join(row['id'] for row in fewer)})" if fewer else ""
    lead = (
        f"{report['replications']} replications a claim and truth{some}, fresh seeds. Wrong in more than "
        f"{100 * MOST:g} %: {', '.join(wrong) or 'none'}. Settled in under {100 * SETTLED:.0f} %, so `plan` names "
        f"them before the start: headline claims {headline}; others {others}."
    )
    header = ("Claim", "Importance", "n", "Margin", "As claimed: reproduced", "not reproduced", "Off: reproduced",
              "not reproduced", "Settled by n")  # fmt: skip
    caption = "How often each verdict comes out (%), the truth as claimed and off by twice the margin (the worse side)"
    return f"{lead}\n\n{render(TextTable(caption, header, tuple(map(_cells, rows))), 'markdown').rstrip()}"


def _off(row: Row) -> list[Mapping[str, float]]:
    return [share for side, share in row["truths"].items() if side != "claimed"]


def _wrong(row: Row) -> list[float]:
    """Return how often a claimed truth is "not reproduced", and one that is off "reproduced"."""
    return [row["truths"]["claimed"]["not reproduced"], max(share["reproduced"] for share in _off(row))]


def _cells(row: Row) -> tuple[str, ...]:
    claimed, off = row["truths"]["claimed"], _off(row)
    shares = (claimed["reproduced"], claimed["not reproduced"], max(share["reproduced"] for share in off),
              min(share["not reproduced"] for share in off))  # fmt: skip
    unit = next(claim.unit for claim in load_claims() if claim.id == row["id"])
    settled = "yes" if row["settled_by_n"] else "no"
    if "spread" in row:
        settled = f"where processes differ by at most {row['spread']:.2g} {unit} (std)"
    margin = f"{row['margin']:g} {unit}"
    return (row["id"], row["importance"], str(row["n"]), margin, *(f"{100 * share:.1f}" for share in shares), settled)


def further_text() -> str:
    """Return what became of open verdicts after exactly as many more runs as were named."""
    report = read_report(reference_folder() / "verdicts" / "further.json")
    rows = [(f"means, {name} more runs", *_pooled(claim["settled"][name] for claim in report["means"]))
            for name in report["means"][0]["settled"]]  # fmt: skip
    rows.append(("means, no affordable number named: by 20 runs", *_pooled(c["no_number"] for c in report["means"])))
    for claim in report["sweeps"]:
        for step in claim["steps"]:
            said = f"{step['named']} named" if step["named"] else f"no affordable number named: by {step['tried']}"
            shares = step["truths"].values()
            rows.append((f"{claim['id']}, {step['n']} runs a point, {said}", *_pooled(shares)))
    header = ("What was said", "Verdicts left open", "Settled by it (%)", "For the worst claim or truth (%)")
    caption = "What exactly the number of runs that was named makes of open verdicts"
    return render(TextTable(caption, header, tuple(rows)), "markdown").rstrip()


def _pooled(parts: Iterable[Row]) -> tuple[str, str, str]:
    """Return the count, the share settled, and the least share of a part with enough verdicts."""
    known = [part for part in parts if part["count"]]
    count = sum(part["count"] for part in known)
    if not count:
        return "0", "-", "-"
    settled = sum(part["count"] * part["settled"] for part in known) / count
    least = min((part["settled"] for part in known if part["count"] >= ENOUGH), default=None)
    return str(count), f"{100 * settled:.0f}", "-" if least is None else f"{100 * least:.0f}"
