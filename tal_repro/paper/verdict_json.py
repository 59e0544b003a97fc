"""Verdicts as programs read them: what `verify --json` prints (schemas/verify.json)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tal_repro.paper import released_runs
from tal_repro.paper.changes import changes
from tal_repro.paper.verdict_words import follows_text, headline_counts, pair
from tal_repro.paper.verdicts import Verdict
from tal_repro.runs.load import Runs

SCHEMA = "tal-repro/verify/2"


def as_json(verdicts: Sequence[Verdict], runs: Runs) -> dict[str, Any]:
    """Return the object that `verify --json` prints (schemas/verify.json)."""
    return {
        "schema": SCHEMA,
        "results": None if runs.root is None else str(runs.root),
        "synthetic_runs": sum(run.synthetic for run in runs.runs),
        "as_expected": all(v.as_expected for v in verdicts),
        "summary": {
            "published": dict(Counter(v.published for v in verdicts)),
            "measured": dict(Counter(v.measured.verdict for v in verdicts)),
        },
        "headline": headline_counts(verdicts),
        "changes": [change.to_json() for change in changes()],
        "claims": [_claim_json(verdict) for verdict in verdicts],
        "released": [comparison._asdict() for comparison in released_runs.comparisons(runs)],
    }


def _claim_json(verdict: Verdict) -> dict[str, Any]:
    claim, measured, reading = verdict.claim, verdict.measured, verdict.recomputed
    return {
        "id": claim.id,
        "section": claim.section,
        "statement": claim.statement,
        "importance": claim.importance,
        "reference": _scalar(claim.numbers) if claim.reference else claim.criterion,
        "recomputed": None if reading is None else _scalar(pair(reading, claim)),
        "recomputed_of": None if reading is None else reading.label,
        "unit": claim.unit,
        "readings": [reading.to_json() for reading in verdict.readings],
        "verdict_published": verdict.published,
        "verdict_measured": measured.verdict,
        "reason": verdict.reason,
        "follows": follows_text(verdict),
        "expected": claim.expected,
        "measured": measured.value,
        "measured_n": measured.sample.n if measured.sample else None,
        "measured_reason": measured.reason,
        "further_runs": measured.further_runs,
        "runs": [run.run_id for run in measured.runs],
    }


def _scalar(values: Sequence[float]) -> float | list[float]:
    return values[0] if len(values) == 1 else list(values)
