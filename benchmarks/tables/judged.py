"""The texts about the paper's claims: verdicts, bands, readings, sentences, and what had to be changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchmarks.tables.artifact import bounds_text, machine
from benchmarks.tables.sentences import load_sentences
from tal_repro.paper.changes import SEVERITIES, changes, count_text, models_text
from tal_repro.paper.claims.means import RUNS_WANTED
from tal_repro.paper.claims.readings import LABELS
from tal_repro.paper.claims.statements import PUBLISHED_VERDICTS, load_claims
from tal_repro.paper.tables import TextTable, render
from tal_repro.paper.verdict_text import markdown
from tal_repro.paper.verdict_words import headline_published_text, recomputed_with_unit
from tal_repro.paper.verdicts import Verdict, judge_all
from tal_repro.published.load import load_published
from tal_repro.runs.load import NO_RUNS


def verdicts_text() -> str:
    """Return the counts of verdicts on the published data, and the claims that do not follow from it."""
    verdicts = judge_all(load_published(), NO_RUNS)
    counts = Counter(verdict.published for verdict in verdicts)
    summary = ", ".join(f"{counts[name]} {name}" for name in PUBLISHED_VERDICTS)
    lead = (
        f"Of {len(verdicts)} statements, judged on the paper's own published measurements: **{summary}**. "
        f"{headline_published_text(verdicts)}"
    )
    header = ("Claim", "Statement", "Paper", "Recomputed")
    wrong = TextTable("Inconsistent under the readings tried", header, _rows(verdicts, "inconsistent"))
    ids = ", ".join(verdict.claim.id for verdict in verdicts if verdict.published == "consistent with correction")
    tail = (
        f"Consistent with one label changed (which runs, points, percentage, base, kind of std): {ids}. "
        "[docs/claims.md](docs/claims.md) says why, `tal-repro verify --claim T2.3` tells the story of one."
    )
    return "\n".join([lead, "", render(wrong, "markdown"), tail])


def _rows(verdicts: Iterable[Verdict], name: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (v.claim.id, v.claim.statement, v.claim.printed_with_unit, recomputed_with_unit(v))
        for v in verdicts
        if v.published == name
    )


def expected_text() -> str:
    """Return what runs are held to: the band of each claim about mAP or time that a run measures directly."""
    chosen = [c for c in load_claims() if c.measure and c.kind in ("map", "seconds") and c.experiment == "baseline"]
    rows = tuple((c.id, c.statement, c.printed_with_unit, bounds_text(c), machine(c)) for c in chosen)
    header = ("Claim", "Statement", "Paper", "Accepted here", "Judged on")
    caption = f"Where the mean of {RUNS_WANTED} or more full runs on the real features must lie"
    return render(TextTable(caption, header, rows), "markdown").rstrip()


def labels_text() -> str:
    """Return the labels that a reading may change, one at a time."""
    rows = tuple((label, meaning) for label, meaning in LABELS.items())
    return render(TextTable("What a reading may change", ("Label", "Choices"), rows), "markdown").rstrip()


def claims_text() -> str:
    """Return the table of `tal-repro verify --markdown`, without runs."""
    return markdown(judge_all(load_published(), NO_RUNS)).rstrip()


def sentences_text() -> str:
    """Return the map of the paper's sentences to claims."""
    sentences = load_sentences()
    checked = sum(bool(sentence.claims) for sentence in sentences)
    rows = tuple(
        (str(s.n), s.section, f"{s.begins} …", ", ".join(s.claims) or f"- {s.reason}") for s in sentences
    )  # fmt: skip
    caption = f"The {len(rows)} sentences of the paper: {checked} hold something to check"
    header = ("No.", "Section", "Begins", "Claims, or why there is none")
    return render(TextTable(caption, header, rows), "markdown").rstrip()


def changes_text() -> str:
    """Return everything that had to be changed to run the authors' code, the most severe first."""
    found = changes()
    rows = tuple((c.severity, c.kind, f"`{c.name}`", models_text(c), c.what) for c in found)
    meanings = "; ".join(f"*{name}*: {meaning}" for name, meaning in SEVERITIES.items())
    header = ("Severity", "Kind", "Name", "Models", "What and why")
    table = render(TextTable("What was changed to run the authors' code", header, rows), "markdown").rstrip()
    return f"{count_text(found)}. {meanings}.\n\n{table}"
