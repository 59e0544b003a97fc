"""What a study would do now: every run with its state and estimated cost, and totals. Starts nothing, needs no data."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tal_repro.errors import InputError
from tal_repro.planned import latest_digests
from tal_repro.run import costs
from tal_repro.run.room import MOST_PACKED
from tal_repro.run.selection import select
from tal_repro.run.system import machine_name
from tal_repro.runs.other_data import count_of_other_data
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import DATA_DIGITS, RunSpec
from tal_repro.study import Study

SCHEMA = "tal-repro/plan/1"
MOST_LOOKED_AT = 2000  # finished runs, for the data that they were made from


@dataclass(frozen=True)
class PlannedRun:
    """One run, its state in the results folder, and what it is expected to take."""

    spec: RunSpec
    status: str  # done, failed, partial, todo
    estimate: costs.Estimate

    def to_json(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "id": spec.run_id,
            "data_digest": spec.data_digest[:DATA_DIGITS],
            "experiment": spec.experiment,
            "model": spec.model,
            "engine": spec.engine,
            "device_kind": spec.device_kind,
            "percent": spec.subset.percent if spec.subset else None,
            "seed": spec.seed,
            "status": self.status,
            "seconds_estimated": round(self.estimate.seconds, 1),
            "source": self.estimate.source,
        }


@dataclass(frozen=True)
class Plan:
    """A study against a results folder."""

    study: Study
    scope: str
    runs: list[PlannedRun]
    jobs: int
    price_usd_per_hour: float
    price_source: str
    jobs_per_gpu: int  # of the runs that need not be alone
    data_digests: Counter[str]  # of the whole set that finished runs were made from -> how many
    of_other_data: int = 0  # finished runs that differ from one that is left in the declared data set alone

    @cached_property
    def counts(self) -> Counter[str]:
        """Return how many runs are in each state."""
        return Counter(run.status for run in self.runs)

    @property
    def pending(self) -> list[PlannedRun]:
        """Return what is not done and has not failed."""
        return [run for run in self.runs if run.status in ("todo", "partial")]

    def at(self, store: RunStore, specs: Mapping[str, RunSpec]) -> Plan:
        """Return the plan with other specifications of its runs (planned id -> spec), in the states they have now."""
        states = store.states(specs.values())
        runs = [replace(run, spec=specs[run.spec.run_id], status=states[run.spec.run_id]) for run in self.runs]
        return replace(self, runs=runs)

    def totals(self) -> dict[str, Any]:
        """Return counts, hours, disk and money of what is still to do."""
        seconds = sum(run.estimate.seconds for run in self.pending)
        wall = self.wall_seconds(self.jobs_per_gpu)
        disk = sum(costs.DISK_MIB[run.spec.experiment] for run in self.pending)
        return {
            "runs": len(self.runs),
            "done": self.counts["done"],
            "failed": self.counts["failed"],
            "todo": self.counts["todo"],
            "partial": self.counts["partial"],
            "device_hours": round(seconds / 3600, 3),
            "wall_hours": round(wall / 3600, 3),
            "jobs": self.jobs,
            "disk_mib": round(disk + (costs.PARTIAL_MIB * self.jobs if self.pending else 0)),
            "price_usd_per_hour": self.price_usd_per_hour,
            "price_source": self.price_source,
            "usd": self._usd(wall),
            "packed": [
                {"jobs_per_gpu": packed, "wall_hours": round(wall / 3600, 3), "usd": self._usd(wall)}
                for packed, wall in self.packed_wall_seconds().items()
            ],
        }

    def wall_seconds(self, jobs_per_gpu: int = 1) -> float:
        """Return how long the rest takes with so many runs on a GPU at a time: at best, as if none slowed another."""
        alone, packed, others = 0.0, 0.0, 0.0
        for run in self.pending:
            if run.spec.experiment in self.study.alone:
                alone += run.estimate.seconds
            elif run.spec.device_kind == "cuda":
                packed += run.estimate.seconds
            else:
                others += run.estimate.seconds
        longest = max((run.estimate.seconds for run in self.pending), default=0.0)
        shared = packed / jobs_per_gpu + others
        return alone + max(shared / self.jobs, min(packed + others, longest))

    def packed_wall_seconds(self) -> dict[int, float]:
        """Return `wall_seconds` for 1 to 4 runs on a GPU at a time; {} where no run may share one."""
        sharing = [run for run in self.pending if run.spec.device_kind == "cuda"]
        if all(run.spec.experiment in self.study.alone for run in sharing):
            return {}
        return {packed: self.wall_seconds(packed) for packed in range(1, MOST_PACKED + 1)}

    def _usd(self, wall_seconds: float) -> float:
        return round(wall_seconds / 3600 * self.price_usd_per_hour, 2)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "study": self.study.name,
            "scope": self.scope,
            "synthetic": self.study.data.synthetic,
            "runs": [run.to_json() for run in self.runs],
            "data_digests": dict(self.data_digests),
            "totals": self.totals(),
        }


def make_plan(
    study: Study,
    store: RunStore,
    scope: str,
    only: str = "",
    jobs: int = 1,
    price_usd_per_hour: float | None = None,
    probed: Mapping[tuple[str, str], tuple[float, int]] | None = None,
    jobs_per_gpu: int | str = 1,
) -> Plan:
    """Plan a study; raise InputError for a filter that nothing meets. `probed` factors win over those of done runs.

    `jobs_per_gpu` counts where it is a number; `auto` and `measured` are decided where the GPU is.
    """
    specs = select(study.runs(scope), only)
    specs = store.with_digests(specs, latest_digests(store.root, study))
    states = store.states(specs)
    machine = machine_name("cuda:0" if any(spec.device_kind == "cuda" for spec in specs) else "cpu")
    stated = study.run_seconds
    factors = {**costs.correction(store, specs, states, machine, stated), **(probed or {})}
    runs = [PlannedRun(spec, states[spec.run_id], costs.estimate(spec, factors, stated)) for spec in specs]
    price, source = study.price_usd_per_hour, study.price_source
    if price_usd_per_hour is not None:
        price, source = price_usd_per_hour, "given"
    packed = jobs_per_gpu if isinstance(jobs_per_gpu, int) else 1
    left = [run.spec for run in runs if run.status != "done"]
    others = count_of_other_data(store.root, left)
    return Plan(study, scope, runs, jobs, price, source, packed, _data_digests(store, specs), others)


def _data_digests(store: RunStore, specs: list[RunSpec]) -> Counter[str]:
    """Count finished runs by the digest of the data set that they were made from; of very many, the first of each."""
    digests: Counter[str] = Counter()
    for folder in itertools.islice(store.finished(spec for spec in specs if spec.data is not None), MOST_LOOKED_AT):
        try:
            digests[str(RunRecord(folder).status.get("data_set", ""))[:DATA_DIGITS]] += 1
        except InputError:
            continue
    return Counter({digest: count for digest, count in digests.items() if digest})
