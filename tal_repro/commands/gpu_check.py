"""`tal-repro gpu-check`: a minute or two on this machine's card, before data are fetched or money is spent."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.doctor import print_findings
from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.doctor.finding import Finding
    from tal_repro.doctor.needs import Needs
    from tal_repro.doctor.probes import Probes
    from tal_repro.machine.gpus import Gpu, Gpus

NO_GPU = 3  # exit status
WORKERS = 4  # loader workers of the authors' code


@click.command("gpu-check")
@click.option("--device", default="cuda:0", show_default=True, help="cuda:N; cpu: a rehearsal that judges no card.")
@click.option("--small", is_flag=True, help="Miniature models, for a rehearsal on a CPU.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Keep the report in OUT/<system>/.")
@click.option("--once", is_flag=True, help="Do nothing where a good report of this card, driver and kit is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/gpu-check.json).")
def gpu_check(device: str, small: bool, out: Path | None, once: bool, as_json: bool) -> None:
    """Check this machine's GPU with every model on random features; say how many runs fit on it at a time.

    Exit status: 0 fit, 1 something is in the way, 2 a wrong call, 3 no GPU here (nothing was done).
    """
    from tal_repro.doctor.finding import exit_code
    from tal_repro.doctor.this_machine import this_machine
    from tal_repro.gpu_check.report import keep, kept_of, make_report

    probes = this_machine()
    state, gpu = _card(device, probes)
    if gpu is None and device != "cpu":
        _tell_no_gpu(device, state, as_json)
        sys.exit(NO_GPU)
    if once and gpu is not None and (path := kept_of(gpu, state.driver, probes.installed().get("torch", ""))):
        echo(f"this card was checked: {path}", err=True)
        tell_next("the same without --once checks it again")
        return
    findings, steps = examine(device, gpu, probes, small)
    report = make_report(state, gpu, probes.installed().get("torch", ""), findings, steps, gpu is None or small)
    if as_json:
        emit(json.dumps(report, indent=1))
    else:
        print_findings(findings)
        echo("never run on a GPU, by what is kept:")
        for name in report["never_on_a_gpu"]:
            echo(f"  {name}")
        echo(report["verdict"])
    if out is not None:
        echo(f"kept: {keep(report, out, None if report['rehearsal'] else gpu)}", err=True)
    if not as_json:
        tell_next(*_next_steps(report["fit"], report["rehearsal"], out is not None))
    sys.exit(exit_code(findings))


def _next_steps(fit: bool, rehearsal: bool, kept: bool) -> tuple[str, ...]:
    if rehearsal:
        return ("tal-repro gpu-check  # where the GPU is: a rehearsal judges no card",)
    if not fit:
        return ("mend what failed above, then the same again: it costs less here than in a study",)
    keep_it = () if kept else ("the same with --out results/reference keeps the report",)
    pack = "tal-repro run --set jobs_per_gpu=measured  # packs the sweeps as measured here"
    return ("tal-repro plan  # what the study will cost", pack, *keep_it)


def examine(
    device: str, gpu: Gpu | None, probes: Probes, small: bool = False
) -> tuple[list[Finding], dict[str, dict[str, float]]]:
    """Look at the machine, then work on the device; return all findings and what each training takes of the card."""
    from tal_repro.doctor import gpu as doctor_gpu
    from tal_repro.doctor import host
    from tal_repro.gpu_check import judge
    from tal_repro.gpu_check.evidence import collect, models_of_authors
    from tal_repro.run.room import Card, Host

    needs = _needs(gpu is not None)
    findings = list(doctor_gpu.findings(needs, probes)) if gpu is not None else []
    if any(
        (finding.check, finding.status) == ("torch", "warn") for finding in findings
    ):  # no locked build: has it kernels, though?
        findings.append(replace(doctor_gpu.asked(probes.torch(), probes.gpus()), check="kernels"))
    findings += host.sharing(needs, probes)
    models = models_of_authors()
    index = gpu.index if gpu is not None else None
    evidence = collect(device, index, models, lambda line: echo(line, err=True), small=small)
    findings += judge.findings(evidence, models, on_gpu=gpu is not None)
    steps = judge.step_mib(evidence) if not small else {}
    if gpu is not None:
        here = Host(probes.memory()[1], probes.shared_memory(), probes.cores())
        findings += judge.rooms(steps, Card(gpu.name, gpu.total_mib, gpu.used_mib), here)
    return findings, steps


def _card(device: str, probes: Probes) -> tuple[Gpus, Gpu | None]:
    """Return the driver's state and the GPU that a device names; raise InputError for what is no device."""
    state = probes.gpus()
    if device == "cpu":
        return replace(state, driver=""), None
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number.isdecimal():
        raise InputError(f"device {device!r}", "--device", "use cuda:0, cuda:1, ... or cpu")
    return state, next((gpu for gpu in state.gpus if gpu.index == int(number)), None)


def _tell_no_gpu(device: str, state: Gpus, as_json: bool) -> None:
    from tal_repro.gpu_check.untried import never_run
    from tal_repro.run.room import SCHEMA, kept_reports

    why = state.problem or (f"{len(state.gpus)} GPUs here, no {device}" if state.gpus else "no NVIDIA driver answers")
    untried = never_run(report for _, report in kept_reports())
    if as_json:
        answer: dict[str, Any] = {
            "schema": SCHEMA,
            "verdict": f"no GPU: {why}",
            "fit": False,
            "never_on_a_gpu": untried,
        }
        emit(json.dumps(answer, indent=1))
        return
    echo(f"no GPU: {why}; nothing was done")
    tell_next("make gpu-check RUNTIME=docker  # in a container", "tal-repro gpu-check --device cpu  # a rehearsal")


def _needs(cuda: bool) -> Needs:
    """Return what the check stands for: one run of any model by either engine, timed."""
    from tal_repro.doctor.needs import Needs
    from tal_repro.models.registry import OF_STUDY

    return Needs(
        study="gpu-check", scope="core", runtime="none", results=Path("results"), data=None, cuda=cuda, alone=True,
        upstream=OF_STUDY, layouts=(), needs_data=False, makes_data=False, synthetic=True, annotation_hash="",
        results_bytes=0, jobs=1, loader_workers=WORKERS, pending=1,
    )  # fmt: skip
