"""The report as plain tables, for a paper's appendix: Markdown or LaTeX, through the one renderer of tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from tal_repro.paper import tables
from tal_repro.paper.claims.statements import MEASURED_VERDICTS, PUBLISHED_VERDICTS
from tal_repro.paper.report.markup import duration, number
from tal_repro.paper.report.provenance import what_ran
from tal_repro.paper.report.run_rows import groups, run_rows
from tal_repro.paper.statistics import describe
from tal_repro.paper.table_text import TextTable
from tal_repro.paper.verdict_words import measured_with_unit, recomputed_with_unit, why
from tal_repro.paper.verdicts import Verdict, judge_all
from tal_repro.published.load import Published
from tal_repro.runs.load import Runs


def appendix(published: Published, runs: Runs, kind: Literal["markdown", "latex"]) -> str:
    """Return Tables 1 and 2, the verdicts, their counts, the runs and their energy, one table after the other."""
    verdicts = judge_all(published, runs)
    texts = [tables.table(1, published, runs), tables.table(2, published, runs)]
    texts += [count_table(verdicts, runs), verdict_table(verdicts)]
    texts += [run_table(runs)] if runs.runs else []
    texts += [tables.table("energy", published, runs)] if runs.of("baseline") else []
    return "\n".join(tables.render(text, kind) for text in texts)


def count_table(verdicts: Sequence[Verdict], runs: Runs) -> TextTable:
    """Return how many claims have each verdict, with what was run where below."""
    published = Counter(verdict.published for verdict in verdicts)
    measured = Counter(verdict.measured.verdict for verdict in verdicts)
    rows = [("published data", name, str(published[name])) for name in PUBLISHED_VERDICTS]
    rows += [("measured here", name, str(measured[name])) for name in MEASURED_VERDICTS]
    caption = f"Verdicts on {len(verdicts)} claims"
    return TextTable(caption, ("Judged on", "Verdict", "Claims"), tuple(rows), tuple(what_ran(runs)))


def verdict_table(verdicts: Sequence[Verdict]) -> TextTable:
    """Return every claim with its numbers and verdicts."""
    header = ("Claim", "Statement", "Paper", "Recomputed", "Published data", "Measured", "Verdict here", "Reason")
    return TextTable("Every claim of the paper and its verdicts", header, tuple(map(_claim, verdicts)))


def _claim(verdict: Verdict) -> tuple[str, ...]:
    claim = verdict.claim
    return (
        claim.id, claim.statement, claim.printed_with_unit, recomputed_with_unit(verdict), verdict.published,
        measured_with_unit(verdict), verdict.measured.verdict, why(verdict),
    )  # fmt: skip


def run_table(runs: Runs) -> TextTable:
    """Return the finished runs in groups of what is comparable."""
    header = ("Experiment", "Model", "Engine", "Data", "Machine", "Train %", "n", "mAP (%)", "Duration (mean)")
    return TextTable("The finished runs", header, tuple(_grouped(runs)))


def _grouped(runs: Runs) -> Iterator[tuple[str, ...]]:
    done = [row for row in run_rows(runs) if row.status == "done"]
    for key, group in groups(done).items():
        for percent in sorted({row.percent for row in group}, key=lambda value: value or 0.0):
            some = [row for row in group if row.percent == percent]
            maps = [row.average_map for row in some if row.average_map is not None]
            seconds = [row.seconds for row in some if row.seconds is not None]
            sample = describe(maps) if maps else None
            spread = f" ± {sample.std:.2f}" if sample and sample.n > 1 else ""
            yield (
                *key, "-" if percent is None else f"{percent:g}", str(len(some)),
                f"{number(sample.mean if sample else None)}{spread}",
                duration(sum(seconds) / len(seconds) if seconds else None),
            )  # fmt: skip
