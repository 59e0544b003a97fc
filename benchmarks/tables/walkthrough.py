"""What every step costs (REPRODUCE.md), and what each class of GPU is held to (docs/expected.md): `make docs`.

Runs cost what the plan says before anything was done; data and images have the sizes that the doctor and the image
builder ask for. What nobody could time for lack of a GPU or of the authors' servers is an allowance, and told as one.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.tables.artifact import PAPER_SCOPES, STUDIES, bounds_text, works
from tal_repro.doctor.needs import ARCHIVE_BESIDE, LAYOUT_BYTES
from tal_repro.machine.host import GIB
from tal_repro.models.registry import model_entry
from tal_repro.paper.claims.measured import printed_ratio
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.tables import TextTable, render
from tal_repro.run import costs
from tal_repro.spec import SCOPES
from tal_repro.study import load_study

LINK_MBIT_PER_S = 100.0  # a slow link of a data centre; the data are given a time by it
GIB_IMAGE_DOWNLOAD = 3.0  # torch with its CUDA packages, as wheels
GB_BUILDING, GB_BUILT = 24, 8  # what docker/engine.sh wants free for a CUDA image, and what then stays
IMAGE_MINUTES = 6.0  # allowance: unpacking and writing the layers (the CPU image took a minute and a half)
UNPACK_MINUTES = 5.0  # allowance: checksums, unpacking and verifying both layouts
DRAWING_MINUTES = 2.0  # allowance: a minute on two cores for the study in miniature
ELSEWHERE = "another GPU"
PAPER_GPUS = ("A10", "V100S")


@dataclass(frozen=True)
class Step:
    """One step of `make reproduce-all`, and what it costs on a rented GPU."""

    name: str
    command: str
    network: bool
    minutes: float
    disk: str
    measured: str  # where the minutes come from


def steps() -> list[Step]:
    """Return the steps of the paper's study in their order, core scope; what `full` adds comes last."""
    data_gib = sum(LAYOUT_BYTES.values()) / GIB
    smoke = load_study("smoke").runs(SCOPES[0])
    smoke_minutes = sum(costs.published_seconds(spec).seconds for spec in smoke) / 60
    core, full = ([work for work in works() if (work.scope, work.experiment in STUDIES) == (scope, False)]
                  for scope in PAPER_SCOPES)  # fmt: skip
    return [
        Step(
            "image of the kit, CUDA", "make image", True, transfer_minutes(GIB_IMAGE_DOWNLOAD) + IMAGE_MINUTES,
            f"{GB_BUILDING} GB free, {GB_BUILT} GB stay", "allowance",
        ),
        Step("doctor, plan", "make doctor plan", False, 1.0, "-", "allowance"),
        Step("image with the authors' code", "make image TARGET=upstream", False, 1.0, "20 MB", "allowance"),
        Step(
            "data, both layouts", "make data", True, transfer_minutes(data_gib) + UNPACK_MINUTES,
            f"{ARCHIVE_BESIDE * data_gib:.0f} GiB free, {data_gib:.1f} GiB stay", "size and link",
        ),
        Step(
            "smoke: two epochs of everything", "make smoke", False, smoke_minutes,
            disk(sum(costs.DISK_MIB[spec.experiment] for spec in smoke)), "Table 2",
        ),
        Step(
            "runs, core", "make baseline-... data-sweep ...", False, sum(work.minutes for work in core),
            disk(sum(work.disk_mib for work in core)), "Table 2",
        ),
        Step(
            "figures, tables, verdicts, report", "make figures verify report", False, DRAWING_MINUTES, "20 MiB",
            "allowance",
        ),
        Step(
            "more with `--scope full`", 'make reproduce-all ARGS="--scope full"', False,
            sum(work.minutes for work in full), disk(sum(work.disk_mib for work in full)), "Table 2",
        ),
    ]  # fmt: skip


def transfer_minutes(gib: float) -> float:
    """Return how long so many GiB take at the link that the table assumes."""
    return gib * GIB * 8 / (LINK_MBIT_PER_S * 1e6) / 60


def disk(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 / 10 else f"{mib:.0f} MiB"


def steps_text() -> str:
    """Return the table of steps with time, disk and money, and what they come to."""
    study = load_study("paper")
    price, found = study.price_usd_per_hour, steps()
    rows = tuple(
        (
            step.name, f"`{step.command}`", "yes" if step.network else "no", duration(step.minutes), step.measured,
            step.disk, f"{step.minutes / 60 * price:.2f}",
        )
        for step in found
    )  # fmt: skip
    hours = sum(step.minutes for step in found[:-1]) / 60
    lead = (
        f"From a fresh instance to the report of the core study about {hours:.1f} hours and {hours * price:.2f} USD, "
        f"with `--scope full` {hours + found[-1].minutes / 60:.1f} hours and "
        f"{(hours + found[-1].minutes / 60) * price:.2f} USD, at {price:.2f} USD an hour ({study.price_source})."
    )
    header = ("Step", "Alone", "Network", "Time", "Known from", "Disk", "USD")
    caption = f"What `make reproduce-all` does, in this order; downloads at {LINK_MBIT_PER_S:.0f} Mbit/s"
    return f"{lead}\n\n{render(TextTable(caption, header, rows), 'markdown').rstrip()}"


def duration(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.0f} min"


def classes_text() -> str:
    """Return what each class of GPU is held to: bands on the paper's, no verdict elsewhere."""
    claims = [claim for claim in load_claims() if claim.gpu and claim.measure]
    classes = (*PAPER_GPUS, ELSEWHERE)
    rows = tuple(
        (claim.id, claim.statement, claim.printed_with_unit, *(band(claim, name) for name in classes))
        for claim in claims
    )
    header = ("Claim", "Statement", "Paper", *classes)
    caption = "What is accepted on each class of GPU, where a claim is about one (-: not comparable there)"
    return render(TextTable(caption, header, rows), "markdown").rstrip()


def band(claim: Claim, gpu: str) -> str:
    """Write what a claim about one GPU is held to on a class of GPUs."""
    if claim.gpu == gpu:
        return bounds_text(claim)
    if gpu == ELSEWHERE and claim.gpu not in PAPER_GPUS:
        return f"{bounds_text(claim)} (on an {claim.gpu})"
    ratio = printed_ratio(claim)
    return f"no verdict; its ratio to {model_entry(claim.ratio_to).title} is shown, {ratio}" if ratio else "-"
