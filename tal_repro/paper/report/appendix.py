"""The verdicts and the runs as plain tables, for a paper's appendix: `tal-repro table claims` and `table runs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tal_repro.paper.report.markup import duration, number
from tal_repro.paper.report.run_rows import groups, run_rows
from tal_repro.paper.statistics import describe
from tal_repro.paper.table_text import TextTable
from tal_repro.paper.verdict_words import measured_with_unit, measured_word, recomputed_with_unit, why
from tal_repro.paper.verdicts import Verdict
from tal_repro.runs.load import Runs


def verdict_table(verdicts: Sequence[Verdict]) -> TextTable:
    """Return every claim with its numbers and verdicts."""
    header = ("Claim", "Statement", "Paper", "Recomputed", "Published data", "Measured", "Verdict here", "Reason")
    return TextTable("Every claim of the paper and its verdicts", header, tuple(map(_claim, verdicts)))


def _claim(verdict: Verdict) -> tuple[str, ...]:
    claim = verdict.claim
    return (
        claim.id, claim.statement, claim.printed_with_unit, recomputed_with_unit(verdict), verdict.published,
        measured_with_unit(verdict), measured_word(verdict), why(verdict),
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
