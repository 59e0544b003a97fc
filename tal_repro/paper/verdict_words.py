"""The words and numbers of a verdict that every table of verdicts and `verify --json` share: values with units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tal_repro.models.registry import OF_STUDY
from tal_repro.paper import released_runs
from tal_repro.paper.changes import changes
from tal_repro.paper.claims.derivation import Reading
from tal_repro.paper.claims.judging import distance
from tal_repro.paper.claims.measured import SYNTHETIC
from tal_repro.paper.claims.statements import MEASURED_VERDICTS, Claim
from tal_repro.paper.table_text import upper_first
from tal_repro.paper.verdicts import Verdict
from tal_repro.runs.load import Runs

DECIDED = ("reproduced", "not reproduced")
NOT_RANDOM = ("setting", "macs")
NOT_JUDGED_SYNTHETIC = "not judged: synthetic"
NOT_JUDGED_OTHER = "not judged: other data"
MEASURED_WORDS = (*MEASURED_VERDICTS[:-1], NOT_JUDGED_SYNTHETIC, NOT_JUDGED_OTHER, MEASURED_VERDICTS[-1])  # as shown
SLIGHT_PERCENT = 0.001  # a smaller miss is told in words
WORDS_FORMATS = (".3g", ".4g", ".5g")  # of a number that a claim in words is held to: the first that tells it apart


def headline_counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return how many headline claims there are, follow from the published data, were reproduced, and are undecided."""
    chosen = [v for v in verdicts if v.claim.importance == "headline"]
    return {
        "claims": len(chosen),
        "consistent": sum(v.published.startswith("consistent") for v in chosen),
        "inconsistent": sum(v.published == "inconsistent" for v in chosen),
        "not_derivable": sum(v.published == "not derivable" for v in chosen),
        "reproduced": sum(v.measured.verdict == "reproduced" for v in chosen),
        "not_reproduced": sum(v.measured.verdict == "not reproduced" for v in chosen),
        "undecided": sum(v.measured.verdict not in DECIDED for v in chosen),
    }


def headline_text(verdicts: Iterable[Verdict]) -> str:
    """Lead a summary: what became of the claims that the paper stands on."""
    count = headline_counts(verdicts)
    return (
        f"{count['reproduced']} of {count['claims']} headline claims reproduced here, {count['not_reproduced']} not, "
        f"{count['undecided']} undecided."
    )


def multiplicity_text(verdicts: Iterable[Verdict]) -> str:
    """Say how many verdicts to expect wrong among those summed up: each is judged alone, at 5 % ("": too few)."""
    decided = [v for v in verdicts if v.measured.verdict in DECIDED and v.claim.kind not in NOT_RANDOM]
    if len(decided) < 2:
        return ""
    shared = len(decided) - len({frozenset(run.run_id for run in v.measured.runs) for v in decided})
    return (
        f"Multiple tests: each of these {len(decided)} verdicts is judged alone, at 5 %, uncorrected; were all claims "
        f'true, up to {0.05 * len(decided):.1f} would read "not reproduced" by chance, and {shared} rest on '
        "runs that another rests on, so they err together."
    )


def headline_published_text(verdicts: Iterable[Verdict]) -> str:
    """Say what the published data make of the claims that the paper stands on."""
    count = headline_counts(verdicts)
    return (
        f"Of {count['claims']} headline claims {count['consistent']} follow from the published data, "
        f"{count['inconsistent']} do not under the readings tried, {count['not_derivable']} cannot be derived."
    )


def follows_text(verdict: Verdict) -> str:
    """Say under which reading the printed number follows, and no more than was tried."""
    tried = len([reading for reading in verdict.readings if not reading.undetermined])
    if verdict.nearest is not None:
        if tried == 1:
            return "not under the one reading tried"
        value, missed = value_text(verdict.nearest, verdict.claim), 100 * distance(verdict.claim, verdict.nearest)
        how_far = f"{missed:.2g} %" if missed >= SLIGHT_PERCENT else "just"
        off = f", {how_far} outside the printed digits" if verdict.claim.rule == "digits" else ""
        return f"under none of the {tried} readings tried; nearest: {verdict.nearest.label}, {value}{off}"
    if verdict.recomputed is None:
        return "the published data leave it open"
    changed = verdict.recomputed.changed
    return f"with another label ({changed}): {verdict.recomputed.label}" if changed else "as worded"


def why(verdict: Verdict) -> str:
    """Return the reason, led by how the number follows where that is not as worded."""
    follows = follows_text(verdict)
    if verdict.recomputed is None or follows == "as worded":
        return verdict.reason
    return f"{upper_first(follows)}. {upper_first(verdict.reason)}"


def measured_word(verdict: Verdict) -> str:
    """Return the measured verdict; of a claim whose runs there are but cannot judge it, that it was not judged."""
    unlike = verdict.measured.unlike
    if not unlike:
        return verdict.measured.verdict
    return NOT_JUDGED_SYNTHETIC if unlike == (SYNTHETIC,) else NOT_JUDGED_OTHER


def not_judged_reasons(verdicts: Iterable[Verdict]) -> dict[str, list[str]]:
    """Group the claims without a measured verdict by why: reason -> ids, the reason with most claims first."""
    groups: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.measured.verdict == "not run":
            groups.setdefault(_not_judged(verdict), []).append(verdict.claim.id)
    return dict(sorted(groups.items(), key=lambda pair: -len(pair[1])))


def _not_judged(verdict: Verdict) -> str:
    claim, measured = verdict.claim, verdict.measured
    if measured.unlike:
        return f"was run, and cannot judge a claim about THUMOS14: {', '.join(measured.unlike)}"
    if claim.nothing_to_run:
        return "is about published data or words alone: no run could judge it (each row says why)"
    if measured.reason.startswith("needs "):
        return f"no run of experiment {claim.experiment}"
    return f"runs of {claim.experiment} hold no usable value"


def recomputed_text(verdict: Verdict) -> str:
    """Return the recomputed number with a digit more than the paper prints."""
    return "-" if verdict.recomputed is None else _numbers_text(verdict.recomputed, verdict.claim)


def recomputed_with_unit(verdict: Verdict) -> str:
    """Return the recomputed number with its unit, for tables without a column of units."""
    return "-" if verdict.recomputed is None else value_text(verdict.recomputed, verdict.claim)


def measured_text(verdict: Verdict) -> str:
    """Return the measured number, with its spread and n where runs repeat it."""
    measured = verdict.measured
    if measured.value is None:
        return "-"
    if measured.sample is not None and measured.sample.n > 1:
        return f"{measured.value:.4g} ± {measured.sample.std:.2g} (n = {measured.sample.n})"
    return f"{measured.value:.4g}"


def measured_with_unit(verdict: Verdict) -> str:
    """Return the measured number with its unit, for tables without a column of units."""
    return "-" if verdict.measured.value is None else f"{measured_text(verdict)} {verdict.claim.unit}"


def value_text(reading: Reading, claim: Claim) -> str:
    texts, is_range = _number_texts(reading, claim)
    return f"{' to '.join(texts)} {claim.unit}" if is_range else claim.with_units(texts)


def _numbers_text(reading: Reading, claim: Claim) -> str:
    texts, is_range = _number_texts(reading, claim)
    return (" to " if is_range else f" {claim.joint} ").join(texts)


def _number_texts(reading: Reading, claim: Claim) -> tuple[list[str], bool]:
    """Write a reading with a digit more than the paper prints; its bounds, where rounding leaves it that wide."""
    formats = [f".{_decimals(text) + 1}f" for text in claim.reference] or [_format_in_words(reading.value, claim)]
    values, is_range = pair(reading, claim), False
    if reading.low is not None and reading.high is not None and len(values) == 1:
        values, formats, is_range = (reading.low, reading.high), formats[:1], True
    texts = [_trim(format(value, how)) for value, how in zip(values, [*formats, formats[-1]], strict=False)]
    return (list(dict.fromkeys(texts)) if is_range else texts), is_range


def _format_in_words(value: float, claim: Claim) -> str:
    """Return a format in which a number does not print like the limit that it is held to."""
    return next((how for how in WORDS_FORMATS if float(format(value, how)) != claim.limit), WORDS_FORMATS[0])


def pair(reading: Reading, claim: Claim) -> tuple[float, ...]:
    second = reading.spread if reading.spread is not None and len(claim.reference) > 1 else None
    return (float(reading.value),) if second is None else (float(reading.value), float(second))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _trim(text: str) -> str:
    return text.removesuffix(".0")


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
        "changes": [change.to_json() for change in changes(OF_STUDY)],
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
        "unit": claim.units,
        "rule": claim.rule,
        "margin": claim.margin or None,
        "alternative": claim.alternative or None,
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
