"""One finished run as tables and verdicts see it: its specification, scores and times; the rest is read when asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tal_repro.models.registry import MODELS
from tal_repro.runs.folder import MEASUREMENT_COLUMNS
from tal_repro.runs.record import DamagedRun, RunRecord, open_checked
from tal_repro.spec import DERIVED_MARK, RunSpec, canonical_text
from tal_repro.thumos14 import NAME, PROTOCOL, TIOUS
from tal_repro.untrusted import is_number, short

# model -> the (selection, weights, protocol) that its authors report
REPORTED = {
    name: (entry.reported.selection, entry.reported.weights, entry.reported.protocol) for name, entry in MODELS.items()
}
DEFAULT_REPORTED = ("last", "ema", PROTOCOL)

Scores = Mapping[tuple[str, str, str], float]  # (selection, weights, protocol) -> average mAP in percent


class Setting(NamedTuple):
    """What must be equal in runs that are averaged over seeds, in the order in which differences are named."""

    engine: str
    engine_version: str
    device_kind: str
    precision: str
    threads: int
    recipe: str  # canonical JSON
    data: str
    unit: str
    policy: str  # "" where all units are trained on
    options: str

    def differences(self, other: Setting) -> list[str]:
        """Name the fields in which two settings differ."""
        return [name for name in self._fields if getattr(self, name) != getattr(other, name)]


class Run:
    """A finished run whose folder, specification and metrics have been checked."""

    def __init__(self, record: RunRecord) -> None:
        self.record, self.spec = record, record.spec
        metrics = record.json("metrics", {})
        try:
            self.scores: Scores = averages(metrics.get("rows", ()))
            self.optimizer_steps = _whole(metrics.get("optimizer_steps", 0))
            self.train_seconds = _seconds(metrics.get("table2_seconds"))  # Table 2's definition for its model
            self.total_seconds = finite(part(metrics, "seconds").get("total"))
            self.train_seconds_of = str(metrics.get("table2_definition", ""))
            self.flags = _texts(metrics.get("flags", []))
            self.per_class = part(metrics, "per_class")  # {selection, weights, protocol, ap: {class: share}}, or empty
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedRun(f"not the metrics of a run ({error!r})"[:200], record.paths.metrics) from None

    def __repr__(self) -> str:
        return f"Run({self.folder})"

    folder = property(lambda self: self.record.folder)
    run_id = property(lambda self: self.record.folder.name)  # planned id and data digest
    experiment = property(lambda self: self.spec.experiment)
    model = property(lambda self: self.spec.model)
    engine = property(lambda self: self.spec.engine)
    seed = property(lambda self: self.spec.seed)

    @property
    def synthetic(self) -> bool:
        return self.spec.data is not None and self.spec.data.synthetic

    @property
    def data_name(self) -> str:
        return "" if self.spec.data is None else self.spec.data.name

    @property
    def data_title(self) -> str:
        """Name its data set as tables do: SYNTHETIC where it is; "none" where it needs none."""
        return f"{self.data_name} (SYNTHETIC)" if self.synthetic else self.data_name or "none"

    @property
    def other_data(self) -> bool:
        """Tell whether it is of real data that are not THUMOS14's."""
        return bool(self.data_name) and not self.synthetic and self.data_name.partition(DERIVED_MARK)[0] != NAME

    @property
    def percent(self) -> float:
        """Return the share of the training units, in percent."""
        return 100.0 if self.spec.subset is None else float(self.spec.subset.percent)

    @property
    def unit(self) -> str:
        return "" if self.spec.subset is None else self.spec.subset.unit

    @property
    def policy(self) -> str:
        return "" if self.spec.subset is None else self.spec.subset.policy

    @property
    def derived(self) -> bool:
        """Say whether its features stood in for the authors' own (data derive-tadtr)."""
        return DERIVED_MARK in self.data_name

    @property
    def average_map(self) -> float | None:
        """Return the average mAP its authors would report, in percent; None where it has none or it is flagged."""
        chosen = self.reported
        return None if chosen is None or self.flags else self.scores[chosen]

    @property
    def reported(self) -> tuple[str, str, str] | None:
        """Return the (selection, weights, protocol) reported, falling back only to another protocol or weight set."""
        return _reported(self.model, tuple(self.scores))

    @property
    def setting(self) -> Setting:
        """Return what it shares with the runs that it may be averaged with."""
        return setting_of(self.spec)

    @property
    def system(self) -> dict[str, Any]:
        """Return system.json ({} where it has none)."""
        return self.record.system

    @property
    def alone(self) -> bool:
        """Say whether it had its machine to itself, as measured, so that its times count."""
        return bool(self.system.get("alone", True))

    @property
    def doubtful(self) -> list[str]:
        """Return what disturbed its times: the worker measures it, `bench` around the timing itself."""
        lists = [part(about, "surroundings").get("doubtful") for about in (self.system, self.details)]
        return list(dict.fromkeys(str(reason) for reasons in lists if isinstance(reasons, list) for reason in reasons))

    @property
    def device(self) -> str:
        """Return the name of what its times are comparable on: its GPU, else its processor."""
        return str(self.system.get("machine") or "unknown machine")

    @property
    def details(self) -> dict[str, Any]:
        return self.record.details

    @cached_property
    def data(self) -> dict[str, Any]:
        """Return data.json: what the run was made from ({} where it needs none); DamagedRun for other data."""
        about = self.record.json("data", {})
        if about and about.get("digest", "") != self.spec.data_digest:
            raise DamagedRun("is of other data than the run's specification", self.record.paths.data)
        return about

    @cached_property
    def measured(self) -> tuple[Measurement, ...]:
        """Return the rows of measurements.csv (none where it measured nothing)."""
        if not self.record.has("measurements"):
            return ()
        rows = self.record.rows("measurements", MEASUREMENT_COLUMNS)
        return tuple(_measurement(self, row, where) for where, row in rows)


def open_run(folder: Path, former: bool = False) -> Run:
    """Open a finished run for publishing; raise InputError unless all that is read of it is as it was written.

    `former`: runs of a former version of the kit are opened too.
    """
    return Run(open_checked(folder, former))


@lru_cache(maxsize=4096)  # 10^5 runs share a handful of key sets
def _reported(model: str, keys: tuple[tuple[str, str, str], ...]) -> tuple[str, str, str] | None:
    selection, weights, protocol = REPORTED.get(model, DEFAULT_REPORTED)
    fitting = [key for key in keys if key[0] == selection]
    fitting = [key for key in fitting if key[1] == weights] or fitting
    return min(fitting, key=lambda key: (key[2] != protocol, key), default=None)


def setting_of(spec: RunSpec) -> Setting:
    subset, data = spec.subset, spec.data
    return Setting(
        spec.engine, spec.engine_version, spec.device_kind, spec.precision, spec.threads,
        canonical_text(spec.recipe), "" if data is None else canonical_text(data),
        "" if subset is None else subset.unit,
        "" if subset is None or subset.percent == 100 else subset.policy, canonical_text(spec.options),
    )  # fmt: skip


def averages(rows: Iterable[Mapping[str, Any]]) -> Scores:
    """Average the AP over the five tIoU of each (selection, weights, protocol), in percent."""
    sums: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["tiou"] in TIOUS:
            key = (row["selection"], row["weights"], row["protocol"])
            if not all(isinstance(part, str) for part in key):
                raise ValueError("selection, weights and protocol are not text")
            sums.setdefault(key, []).append(row["ap"])
    averages = {key: 100.0 * sum(aps) / len(aps) for key, aps in sums.items() if len(aps) == len(TIOUS)}
    if not all(0 <= value <= 100 for value in averages.values()):
        raise ValueError("an AP is outside 0 to 1")
    return averages


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"optimizer_steps is {short(value)}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"flags is {short(value)}")
    return tuple(value)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"table2_seconds is {short(value)}")
    return float(value)


class Measurement(NamedTuple):
    """One row of a run's measurements.csv."""

    run: Run
    quantity: str
    feature_length: int
    sample: str
    value: float
    unit: str


def measurements(runs: Iterable[Run], quantity: str | None = None) -> Iterator[Measurement]:
    """Yield the measurements of runs (of one quantity), skipping runs that hold none."""
    for run in runs:
        yield from (row for row in run.measured if quantity is None or row.quantity == quantity)


def _measurement(run: Run, row: Mapping[str, str], where: str) -> Measurement:
    try:
        length, value = row["feature_length"] or "0", float(row["value"] or "")
        if not 0 <= value < math.inf:
            raise ValueError(f"value = {value:g}: no measurement is negative or without end")
        if row["sample"] and not (row["sample"].isascii() and row["sample"].isdecimal()):
            raise ValueError(f"sample = {short(row['sample'])}: not a whole number")
        return Measurement(run, str(row["quantity"]), int(length), str(row["sample"]), value, str(row["unit"]))
    except (KeyError, ValueError) as error:
        raise DamagedRun(f"not a measurement, {where} ({error})", run.record.paths.measurements) from None


def part(details: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the object nested under `names`, {} where there is none."""
    value: Any = details
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else {}


def finite(value: Any) -> float | None:
    """Return a finite number as a float, None for everything else that a file may hold."""
    return float(value) if is_number(value) else None
