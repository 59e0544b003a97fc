"""What no GPU has run yet, for docs/gpu-check.md: from the one list and the kept reports."""

from __future__ import annotations

from tal_repro.gpu_check.untried import never_run
from tal_repro.kit import require_checkout
from tal_repro.run.room import kept_reports


def untried_text() -> str:
    """Return what nothing kept shows to have run on a GPU, one item a line."""
    kept = kept_reports([require_checkout("the list of what no GPU has run") / "results" / "reference"])
    return "\n".join(f"- {name}" for name in never_run(report for _, report in kept))
