"""The generated parts of docs/claims.md and docs/artifact.md: labels, verdicts, sentences, and what was changed."""

from __future__ import annotations

from tal_repro.paper.changes import SEVERITIES, changes, count_text, models_text
from tal_repro.paper.claims.readings import LABELS
from tal_repro.paper.claims.sentences import load_sentences
from tal_repro.paper.tables import TextTable, render
from tal_repro.paper.verdict_text import markdown
from tal_repro.paper.verdicts import judge_all
from tal_repro.published.load import load_published
from tal_repro.runs.load import NO_RUNS


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
