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
from tal_repro.run.selection import select
from tal_repro.run.system import machine_name
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
    data_digests: Counter[str]  # of the whole set that finished runs were made from -> how many

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
        alone = sum(run.estimate.seconds for run in self.pending if run.spec.experiment in self.study.alone)
        shared = sum(run.estimate.seconds for run in self.pending) - alone
        longest = max((run.estimate.seconds for run in self.pending), default=0.0)
        wall = alone + max(shared / self.jobs, min(shared, longest))
        disk = sum(costs.DISK_MIB[run.spec.experiment] for run in self.pending)
        return {
            "runs": len(self.runs),
            "done": self.counts["done"],
            "failed": self.counts["failed"],
            "todo": self.counts["todo"],
            "partial": self.counts["partial"],
            "device_hours": round((alone + shared) / 3600, 3),
            "wall_hours": round(wall / 3600, 3),
            "jobs": self.jobs,
            "disk_mib": round(disk + (costs.PARTIAL_MIB * self.jobs if self.pending else 0)),
            "price_usd_per_hour": self.price_usd_per_hour,
            "price_source": self.price_source,
            "usd": round(wall / 3600 * self.price_usd_per_hour, 2),
        }

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
) -> Plan:
    """Plan a study; raise InputError for a filter that nothing meets. `probed` factors win over those of done runs."""
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
    return Plan(study, scope, runs, jobs, price, source, _data_digests(store, specs))


def _data_digests(store: RunStore, specs: list[RunSpec]) -> Counter[str]:
    """Count finished runs by the digest of the data set that they were made from; of very many, the first of each."""
    digests: Counter[str] = Counter()
    for folder in itertools.islice(store.finished(spec for spec in specs if spec.data is not None), MOST_LOOKED_AT):
        try:
            digests[str(RunRecord(folder).status.get("data_set", ""))[:DATA_DIGITS]] += 1
        except InputError:
            continue
    return Counter({digest: count for digest, count in digests.items() if digest})
