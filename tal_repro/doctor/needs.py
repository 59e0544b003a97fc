"""What a study asks of a machine: devices, engines, layouts, disk. Made from its plan; every check reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro.data.dataset import LayoutName
from tal_repro.machine.host import GIB, MIB

if TYPE_CHECKING:
    from tal_repro.run.plan import Plan
    from tal_repro.spec import RunSpec

RUNTIMES = ("none", "docker", "podman", "apptainer")
# Features of THUMOS14: 5.0 GiB in ActionFormer's layout, at twice the stride half of that in TadTR's.
LAYOUT_BYTES: dict[LayoutName, int] = {"actionformer": 5 * GIB, "tadtr": 5 * GIB // 2}
ARCHIVE_BESIDE = 2  # while an archive is unpacked it lies beside its files
UPSTREAM = "upstream"


@dataclass(frozen=True)
class Needs:
    """A study on this machine: what its runs that are not done need."""

    study: str
    scope: str
    runtime: str  # one of RUNTIMES
    results: Path
    data: Path | None  # the data folder; None: the study is given none and makes none
    cuda: bool  # a run left to do is on a GPU
    alone: bool  # ... and is timed, so that nobody else may be on the device
    upstream: tuple[str, ...]  # models that the authors' code runs
    layouts: tuple[LayoutName, ...]  # layouts without which a run cannot start
    needs_data: bool
    makes_data: bool  # the study carries the recipe of its synthetic data
    synthetic: bool
    annotation_hash: str  # "" where the study does not declare it
    results_bytes: int
    jobs: int
    loader_workers: int
    pending: int
    before_fetch: bool = False  # reproduce-all asks before it fetches the data: that they are missing is no failure

    @property
    def target(self) -> str:
        """Return the image that holds what the study needs."""
        return "upstream" if self.upstream else "kit"


def needs_of(plan: Plan, results: Path, data: Path | None, runtime: str, before_fetch: bool = False) -> Needs:
    """Return what a plan needs. Runs that are done need nothing; a study that has not begun needs everything."""
    specs = [run.spec for run in plan.pending]
    with_data = [spec for spec in specs if spec.data is not None]
    cuda = [spec for spec in specs if spec.device_kind == "cuda"]
    upstream = sorted({spec.model for spec in specs if spec.engine == UPSTREAM})
    workers = [int(spec.recipe.get("loader_workers", 0)) for spec in specs if spec.engine == UPSTREAM]
    declared = plan.study.data
    return Needs(
        study=plan.study.name,
        scope=plan.scope,
        runtime=runtime,
        results=results,
        data=data,
        cuda=bool(cuda),
        alone=any(spec.experiment in plan.study.alone for spec in cuda),
        upstream=tuple(upstream),
        layouts=tuple(sorted({_layout(spec) for spec in with_data if spec.engine == UPSTREAM})),
        needs_data=bool(with_data),
        makes_data=bool(plan.study.synthesis),
        synthetic=declared.synthetic,
        annotation_hash=declared.annotation_hash,
        results_bytes=int(plan.totals()["disk_mib"]) * MIB,
        jobs=plan.jobs,
        loader_workers=max(workers, default=0),
        pending=len(specs),
        before_fetch=before_fetch,
    )


def _layout(spec: RunSpec) -> LayoutName:
    """Return the layout that the authors' code of a model reads."""
    from tal_repro.models.registry import model_entry

    return model_entry(spec.model).layout
