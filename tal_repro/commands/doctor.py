"""`tal-repro doctor`: whether this machine can do a study, one line a check; `--fix` does what is safe."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.commands.run import USUAL_DATA
from tal_repro.commands.study_options import (
    default_data,
    open_study,
    results_option,
    scope_option,
    set_option,
    study_option,
    study_words,
)
from tal_repro.console import echo, echo_styled, emit, fit, tell_next
from tal_repro.errors import CONTAINER_VARIABLE, commands_for_host

if TYPE_CHECKING:
    from tal_repro.doctor.finding import Finding
    from tal_repro.doctor.needs import Needs

SCHEMA = "tal-repro/doctor/1"
RUNTIMES = ("none", "docker", "podman", "apptainer")
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@study_option
@scope_option
@set_option
@results_option
@click.option(
    "--data", envvar="TAL_REPRO_DATA", type=click.Path(file_okay=False), default=None,
    help="Data set.  [default: TAL_REPRO_DATA, data/thumos14; a synthetic study makes its own]",
)  # fmt: skip
@click.option(
    "--runtime", type=click.Choice(RUNTIMES), default="none", show_default=True, help="Where the study will run."
)
@click.option("--before-fetch", is_flag=True, help="Data that are missing will be fetched: warn only.")
@click.option("--fix", is_flag=True, help="Make folders and patched copies, remove stale locks; nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/doctor.json).")
def doctor(
    study_name: str,
    scope: str,
    settings: tuple[str, ...],
    results: str,
    data: str | None,
    runtime: str,
    before_fetch: bool,
    fix: bool,
    as_json: bool,
) -> None:
    """Check this machine for a study: driver, GPU, containers, disk, code, packages, data. Exits 1 if it cannot run.

    Exit status: 0 nothing stops the study (warnings may be worth reading), 1 something does, 2 a wrong call.
    """
    from tal_repro.doctor.examine import examine
    from tal_repro.doctor.finding import exit_code
    from tal_repro.doctor.mend import mend
    from tal_repro.doctor.needs import needs_of
    from tal_repro.doctor.this_machine import this_machine
    from tal_repro.run.plan import make_plan
    from tal_repro.runs.store import RunStore

    if os.environ.get(CONTAINER_VARIABLE):  # the engine is outside, and this is the environment that runs
        runtime = "none"
    study, _ = open_study(study_name, settings)
    plan = make_plan(study, RunStore(results), scope)
    folder = Path(data) if data else default_data(results) if study.synthesis else USUAL_DATA
    needs = needs_of(plan, Path(results), folder, runtime, before_fetch)
    probes = this_machine()
    done = list(mend(needs, probes)) if fix else []
    for line in done:
        echo(f"fix: {line}", err=True)
    findings = examine(needs, probes)
    if as_json:
        emit(json.dumps(report(needs, findings, done), indent=1))
    else:
        _print(needs, findings, fix, study_words(study_name, settings))
    sys.exit(exit_code(findings))


def report(needs: Needs, findings: list[Finding], done: list[str]) -> dict[str, object]:
    """Return the machine-readable report."""
    from tal_repro.doctor.finding import exit_code

    counts = Counter(finding.status for finding in findings)
    return {
        "schema": SCHEMA,
        "study": needs.study,
        "scope": needs.scope,
        "runtime": needs.runtime,
        "can_run": exit_code(findings) == 0,
        "counts": {status: counts[status] for status in ("ok", "warn", "fail")},
        "fixed": done,
        "checks": [finding.to_json() for finding in findings],
    }


def print_findings(findings: list[Finding]) -> None:
    """Print one line a finding, its status in colour."""
    from tal_repro.doctor.finding import line

    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        text = fit(commands_for_host(line(finding, width)))
        echo_styled([(text[:4], f"{COLOURS[finding.status]} bold"), (text[4:], None)])


def _print(needs: Needs, findings: list[Finding], fixed: bool, words: str) -> None:
    print_findings(findings)
    counts = Counter(finding.status for finding in findings)
    summary = f"study {needs.study}, scope {needs.scope}, RUNTIME={needs.runtime}: {counts['ok']} ok"
    rest = f", {counts['warn']} to mind, {counts['fail']} in the way"
    echo(summary + rest, err=True)
    if counts["fail"] and not fixed:
        echo("--fix makes folders and patched copies and removes stale locks; the rest is yours", err=True)
    step = "do what is said above, then again: tal-repro doctor" if counts["fail"] else "tal-repro plan"
    tell_next(f"{step} {words}")
