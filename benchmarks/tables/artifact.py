"""The tables of docs/artifact.md: each claim with its tolerance, and the runs, minutes and disk that decide it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tal_repro.models.registry import model_entry
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.tables import TextTable, render
from tal_repro.run import costs
from tal_repro.spec import SCOPES, RunSpec
from tal_repro.study import load_study

PAPER_SCOPES = SCOPES[:2]  # core and full: every claim is judged within these
STUDIES = {"ablation": "ablation"}  # experiment -> the study that holds it, where it is not the paper's
COMMANDS = {
    "released": "tal-repro released --model MODEL --checkpoint FILE --data DIR",
    "ablation": "make ablation-curves",
}
NO_PLAN = "-"  # one evaluation of a downloaded checkpoint: no study plans it


@dataclass(frozen=True)
class Work:
    """Runs of one experiment in one scope, and what they take where nothing was done yet."""

    experiment: str
    scope: str
    models: tuple[str, ...]
    runs: int
    minutes: float
    disk_mib: float
    sources: tuple[str, ...]  # where the estimates come from


@cache
def works() -> list[Work]:
    """Return the paper's study by scope and experiment (full: what it adds to core), then the other studies."""
    found, before = [], set[str]()
    for scope in PAPER_SCOPES:
        added = [run for run in load_study("paper").runs(scope) if run.run_id not in before]
        before |= {run.run_id for run in added}
        found += _grouped(scope, added, "paper")
    for study in STUDIES.values():
        found += _grouped(SCOPES[0], load_study(study).runs(SCOPES[0]), study)
    return found


def _grouped(scope: str, specs: Iterable[RunSpec], study: str) -> list[Work]:
    groups: dict[str, list[RunSpec]] = defaultdict(list)
    for spec in specs:
        groups[spec.experiment].append(spec)
    stated = load_study(study).run_seconds
    return [_work(name, scope, runs, stated) for name, runs in groups.items()]


def _work(experiment: str, scope: str, specs: list[RunSpec], stated: Mapping[str, float]) -> Work:
    estimates = [costs.published_seconds(spec, stated) for spec in specs]
    models = tuple(dict.fromkeys(spec.model for spec in specs))
    sources = tuple(dict.fromkeys(estimate.source for estimate in estimates))
    return Work(
        experiment,
        scope,
        models,
        len(specs),
        sum(estimate.seconds for estimate in estimates) / 60,
        costs.DISK_MIB[experiment] * len(specs),
        sources,
    )


def experiments_text() -> str:
    """Return the table of what is run: command, runs, minutes, disk, and the claims it decides."""
    rows = (*(_row(work) for work in works()), _released_row())
    own = [work for work in works() if work.experiment not in STUDIES]
    totals = {scope: [work for work in own if work.scope == scope] for scope in PAPER_SCOPES}
    core, full = (sum(work.minutes for work in totals[scope]) / 60 for scope in PAPER_SCOPES)
    core_gib, full_gib = (sum(work.disk_mib for work in totals[scope]) / 1024 for scope in PAPER_SCOPES)
    sources = dict.fromkeys(source for work in works() for source in work.sources)
    header = ("Experiment", "Scope", "Models", "Command", "Runs", "Minutes", "Disk", "Decides")
    table = render(TextTable("What is run, and which claims it decides", header, rows), "markdown").rstrip()
    lead = (
        f"The scope core takes {core:.1f} device-hours and {core_gib:.1f} GiB of disk; full takes {full:.1f} hours and "
        f"{full_gib:.1f} GiB more, where nothing was run before. The minutes are estimates; they come from: "
        f"{'; '.join(sources)}. `tal-repro plan --probe --data DIR` estimates those of your machine."
    )
    return f"{lead}\n\n{table}"


def _row(work: Work) -> tuple[str, ...]:
    scope = "" if work.experiment in STUDIES else f" --scope {work.scope}"
    command = COMMANDS.get(work.experiment, f"tal-repro run{scope} --only experiment={work.experiment}")
    claims = [claim for claim in load_claims() if claim.experiment == work.experiment]
    decided = [claim.id + _lacking(claim) for claim in claims if _scope(claim) == work.scope]
    return (
        work.experiment, STUDIES.get(work.experiment, work.scope), ", ".join(work.models), f"`{command}`",
        str(work.runs), f"{work.minutes:.0f}", f"{work.disk_mib:.0f} MiB" if work.disk_mib >= 1 else "under 1 MiB",
        ", ".join(decided) or "-",
    )  # fmt: skip


def _lacking(claim: Claim) -> str:
    """Say why the shipped study of an ablation does not decide a claim ("": it does)."""
    if claim.experiment not in STUDIES or not load_study(STUDIES[claim.experiment]).data.synthetic:
        return ""
    return " (undecided: only real data decide it, and the shipped study has synthetic ones)"


def _released_row() -> tuple[str, ...]:
    claims = [claim for claim in load_claims() if claim.experiment == "released"]
    models = ", ".join(dict.fromkeys(model for claim in claims for model in claim.models))
    ids = ", ".join(claim.id for claim in claims)
    return ("released", NO_PLAN, models, f"`{COMMANDS['released']}`", str(len(claims)), NO_PLAN, NO_PLAN, ids)


def _scope(claim: Claim) -> str:
    """Return the smallest scope whose runs decide a claim."""
    if claim.experiment in STUDIES or claim.experiment == "released":
        return SCOPES[0]
    within: set[str] = set()
    for scope in PAPER_SCOPES:
        here = [work for work in works() if (work.experiment, work.scope) == (claim.experiment, scope)]
        within |= {model for work in here for model in work.models}
        if set(claim.models) <= within:
            return scope
    raise ValueError(f"claim {claim.id}: no run of the paper's study decides it")


def artifact_text() -> str:
    """Return the table of claims: what the paper says, what is accepted, which experiment decides, where it counts."""
    header = ("Claim", "Importance", "Statement", "Paper", "Accepted here", "Decided by", "Judged on", "Section")
    rows = tuple(
        (
            claim.id,
            claim.importance,
            claim.statement,
            claim.printed_with_unit,
            bounds_text(claim) if claim.measure else "-",
            _decided_by(claim),
            machine(claim),
            claim.section,
        )
        for claim in load_claims()
    )
    lead = (
        "Runs reproduce a claim when their mean agrees with what is accepted here, as far as their own scatter can "
        "tell, and when they rule out a true value that is off by twice the claim's margin; docs/claims.md has the "
        "rule, and says how often it errs."
    )
    table = render(TextTable(f"The {len(rows)} claims", header, rows), "markdown").rstrip()
    return f"{lead}\n\n{table}"


def bounds_text(claim: Claim) -> str:
    """Write the bounds of a claim with its unit."""
    low, high = (f"{bound:.4g}" for bound in claim.bounds)
    if claim.rule == "at-least" or high == "inf":
        limits = f"at least {low}"
    else:
        limits = f"at most {high}" if claim.rule == "at-most" or low == "-inf" else f"{low} to {high}"
    return f"{limits} {claim.unit}".rstrip()


def _decided_by(claim: Claim) -> str:
    if not claim.measure:
        return f"published data alone ({claim.nothing_to_run})"
    scope = "" if claim.experiment in COMMANDS else f" ({_scope(claim)})"
    return f"{claim.experiment} of {', '.join(claim.models)}{scope}{_lacking(claim)}"


def machine(claim: Claim) -> str:
    """Say on which machine a claim is judged absolutely."""
    if not claim.gpu:
        return "any machine" if claim.measure else "-"
    elsewhere = f"; elsewhere its ratio to {model_entry(claim.ratio_to).title} is shown" if claim.ratio_to else ""
    return f"{claim.gpu} only{elsewhere}"
