"""Tables of finished runs: the one reader of run folders for claims, tables and figures. Lean: 100 000 runs a call."""

from __future__ import annotations

import csv
import gc
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.published.schema import SCHEMAS
from tal_repro.published.table import Table, from_rows
from tal_repro.record import RunPaths, RunStore
from tal_repro.spec import DERIVED_MARK

TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
# What each model's authors report: TadTR and TemporalMaxer choose the checkpoint on the test set, TadTR has no EMA.
REPORTED = {
    "tadtr": ("best-on-test", "raw", "tadtr-210"),
    "actionformer": ("last", "ema", "af-212"),
    "tridet": ("last", "ema", "af-212"),
    "temporalmaxer": ("best-on-test", "ema", "af-212"),
}
DEFAULT_REPORTED = ("last", "ema", "af-212")
PUBLISHED_PADDING = 576  # feature steps to which the pyramid models of the published MACs pad

Scores = Mapping[tuple[str, str, str], float]  # (selection, weights, protocol) -> average mAP in percent


class Run(NamedTuple):
    """One finished run, reduced to what tables need; `spec` and `metrics` are its plain JSON."""

    run_id: str
    experiment: str
    model: str
    engine: str
    synthetic: bool
    data_name: str
    percent: float
    unit: str
    policy: str
    seed: int
    folder: Path
    scores: Scores
    optimizer_steps: int
    train_seconds: float | None  # Table 2's definition for its model
    train_seconds_of: str
    flags: tuple[str, ...]

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


@lru_cache(maxsize=4096)  # 10^5 runs share a handful of key sets
def _reported(model: str, keys: tuple[tuple[str, str, str], ...]) -> tuple[str, str, str] | None:
    selection, weights, protocol = REPORTED.get(model, DEFAULT_REPORTED)
    fitting = [key for key in keys if key[0] == selection]
    fitting = [key for key in fitting if key[1] == weights] or fitting
    return min(fitting, key=lambda key: (key[2] != protocol, key), default=None)


@dataclass(frozen=True)
class Runs:
    """All finished runs of a results folder, and what could not be read of it."""

    root: Path | None
    runs: tuple[Run, ...] = ()
    problems: tuple[str, ...] = ()
    _systems: dict[Path, dict[str, Any]] = field(default_factory=dict, repr=False)

    def of(self, experiment: str, *models: str) -> list[Run]:
        """Return the runs of one experiment (of the named models; of all without)."""
        return [run for run in self._by_experiment.get(experiment, ()) if not models or run.model in models]

    @cached_property
    def _by_experiment(self) -> dict[str, list[Run]]:
        grouped: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs:
            grouped[run.experiment].append(run)
        return grouped

    @property
    def synthetic(self) -> bool:
        """Say whether any run used synthetic data."""
        return any(run.synthetic for run in self.runs)

    def system(self, run: Run) -> dict[str, Any]:
        """Return a run's system.json ({} where it has none)."""
        if run.folder not in self._systems:
            path = RunPaths(run.folder).system
            self._systems[run.folder] = _read_object(path) if path.exists() else {}
        return self._systems[run.folder]

    def alone(self, run: Run) -> bool:
        """Say whether a run had its device to itself, so that its times count."""
        return bool(self.system(run).get("alone", True))

    def device(self, run: Run) -> str:
        """Return the name of what a run's times are comparable on: its GPU, else its processor."""
        return str(self.system(run).get("machine") or "unknown machine")


NO_RUNS = Runs(None)


def load_runs(root: str | os.PathLike[str] | None) -> Runs:
    """Table the finished runs under `root`; a folder that cannot be read is named in `problems`, not trusted."""
    if root is None:
        return NO_RUNS
    folder = Path(root)
    if not folder.is_dir():
        raise InputError("not a folder of results", folder, "give a folder that `tal-repro run` has written")
    runs: list[Run] = []
    problems: list[str] = []
    collecting = gc.isenabled()
    gc.disable()  # nothing here is cyclic; collections while 10^5 small objects pile up double the time
    try:
        for record in RunStore(folder).records():
            try:
                runs.append(_read_run(record.folder))
            except InputError as error:
                problems.append(f"ignored: {error}".replace("\n  remedy", " remedy"))
    finally:
        if collecting:
            gc.enable()
    return Runs(folder, tuple(runs), tuple(problems))


def _read_run(folder: Path) -> Run:
    paths = RunPaths(folder)
    spec = _read_object(paths.spec)
    try:
        metrics = _read_object(paths.metrics)
    except FileNotFoundError:
        metrics = {}
    try:
        return _as_run(folder, spec, metrics)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"not a run this kit can read ({error!r})", folder, "delete it and run it again") from None


def _as_run(folder: Path, spec: dict[str, Any], metrics: dict[str, Any]) -> Run:
    data, subset = spec["data"] or {}, spec["subset"] or {}
    if spec["experiment"] != folder.parent.parent.name or spec["model"] != folder.parent.name:
        raise ValueError("its specification names another experiment or model")
    seconds = metrics.get("table2_seconds")
    return Run(
        folder.name, spec["experiment"], spec["model"], spec["engine"],
        bool(data.get("synthetic", False)), str(data.get("name", "")),
        float(subset.get("percent", 100.0)), str(subset.get("unit", "")), str(subset.get("policy", "")),
        int(spec["seed"]), folder, _scores(metrics.get("rows", ())), int(metrics.get("optimizer_steps", 0)),
        None if seconds is None else float(seconds), str(metrics.get("table2_definition", "")),
        tuple(map(str, metrics.get("flags", ()))),
    )  # fmt: skip


def _scores(rows: Iterable[Mapping[str, Any]]) -> Scores:
    """Average the AP over the five tIoU of each (selection, weights, protocol), in percent."""
    sums: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["tiou"] in TIOUS:
            sums.setdefault((row["selection"], row["weights"], row["protocol"]), []).append(row["ap"])
    averages = {key: 100.0 * sum(aps) / len(aps) for key, aps in sums.items() if len(aps) == len(TIOUS)}
    if not all(0 <= value <= 100 for value in averages.values()):
        raise ValueError("an AP is outside 0 to 1")
    return averages


def _read_object(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            value = json.loads(stream.read())
    except FileNotFoundError:
        if path.name.startswith("metrics"):
            raise
        raise InputError("missing", path, "delete the run folder and run it again") from None
    except (OSError, ValueError) as error:
        raise InputError(f"not readable as JSON ({error})", path, "delete the run folder and run it again") from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", path, "delete the run folder and run it again")
    return value


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
        path = RunPaths(run.folder).measurements
        if not path.exists():
            continue
        with path.open(encoding="utf-8", newline="") as stream:
            for line, row in enumerate(csv.DictReader(stream), 2):
                if quantity is None or row.get("quantity") == quantity:
                    yield _measurement(run, row, f"{path}:{line}")


def _measurement(run: Run, row: Mapping[str, str | None], where: str) -> Measurement:
    try:
        length, value = row["feature_length"] or "0", float(row["value"] or "")
        if not 0 <= value < math.inf:
            raise ValueError(f"value = {value:g}: no measurement is negative or without end")
        return Measurement(run, str(row["quantity"]), int(length), str(row["sample"]), value, str(row["unit"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"not a measurement ({error})", where, "delete the run folder and run it again") from None


def measured_tables(runs: Runs, *, synthetic: bool = False, engine: str | None = None) -> dict[str, Table]:
    """Return what was measured in the schema of the published tables, so that one derivation reads both.

    Only runs on real data count (only synthetic ones with `synthetic=True`); MACs and times need no data.
    """
    chosen = [run for run in runs.runs if engine is None or run.engine == engine]
    trained = [run for run in chosen if run.synthetic == synthetic]
    tables = {
        "learning_curves": _learning_curves(trained),
        "sweep_runs": _sweep_runs(trained),
        "training_runs": _training_runs(trained),
        "table2": _table2(trained, runs),
        "gmacs": _gmacs(chosen),
        "inference_runs": _inference_runs(chosen),
    }
    return {name: table for name, table in tables.items() if len(table)}


def _table(name: str, rows: list[tuple[Any, ...]], origins: list[str]) -> Table:
    columns = {column: spec.kind for column, spec in SCHEMAS[name].columns.items()}
    return from_rows(f"runs as {name}", columns, rows, origins)


def sweeps(runs: Iterable[Run]) -> dict[tuple[str, float], list[Run]]:
    """Group the runs of the paper's data sweep that have a usable mAP by (model, train percent)."""
    points: dict[tuple[str, float], list[Run]] = defaultdict(list)
    for run in runs:
        if run.experiment == "data_sweep" and run.average_map is not None:
            points[run.model, run.percent].append(run)
    return dict(sorted(points.items()))


def _learning_curves(runs: list[Run]) -> Table:
    rows, origins = [], []
    for (model, percent), group in sweeps(runs).items():
        values = np.array([run.average_map for run in group], dtype=float)
        std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        rows.append((model, percent, float(values.mean()), std, f"measured, n = {len(values)}"))
        origins.append(" ".join(run.run_id for run in group))
    return _table("learning_curves", rows, origins)


def _sweep_runs(runs: list[Run]) -> Table:
    rows = []
    origins = []
    for (model, percent), group in sweeps(runs).items():
        for number, run in enumerate(group, 1):
            rows.append((model, percent, number, *[float("nan")] * len(TIOUS), run.average_map, "measured"))
            origins.append(run.run_id)
    return _table("sweep_runs", rows, origins)


def _baselines(runs: list[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.experiment == "baseline":
            groups[run.model].append(run)
    return groups


def _training_runs(runs: list[Run]) -> Table:
    rows, origins = [], []
    for model, group in _baselines(runs).items():
        for number, run in enumerate((r for r in group if r.train_seconds and r.average_map is not None), 1):
            rows.append((model, 1, number, run.train_seconds, run.average_map, "measured"))
            origins.append(run.run_id)
    return _table("training_runs", rows, origins)


def _table2(trained: list[Run], runs: Runs) -> Table:
    rows, origins = [], []
    for model in [m for m in MODELS if m in _baselines(trained)]:
        group = [r for r in _baselines(trained)[model] if r.train_seconds and r.average_map is not None]
        if not group:
            continue
        seconds = np.array([run.train_seconds for run in group], dtype=float)
        maps = np.array([run.average_map for run in group], dtype=float)
        ddof = 1 if len(group) > 1 else 0
        hardware = ", ".join(sorted({runs.device(run) for run in group}))
        rows.append(
            (model, seconds.mean(), seconds.std(ddof=ddof), maps.mean(), maps.std(ddof=ddof), hardware, "measured")
        )
        origins.append(" ".join(run.run_id for run in group))
    return _table("table2", rows, origins)


def macs_rows(runs: Iterable[Run]) -> list[Measurement]:
    """Return the counts of macs runs, one a model and length, padded as the published ones where such runs exist."""
    counted = [run for run in runs if run.experiment == "macs"]
    padding = {run.run_id: padded_to(run) for run in counted}
    counted.sort(key=lambda run: padding[run.run_id] not in (None, PUBLISHED_PADDING))
    found: dict[tuple[str, int], Measurement] = {}
    first: dict[str, int | None] = {}  # lengths of one model are never mixed from two paddings
    for row in measurements(counted, "gmacs"):
        padded = padding[row.run.run_id]
        if first.setdefault(row.run.model, padded) == padded:
            found.setdefault((row.run.model, row.feature_length), row)
    return [found[key] for key in sorted(found)]


def padded_to(run: Run) -> int | None:
    """Return the length that a run's recipe pads inputs to (None: it pads nothing)."""
    length = read_recipe(run).get("max_seq_len")
    return None if length is None else int(length)


def read_setting(run: Run) -> tuple[int, str]:
    """Return the threads and the precision of a run: times at different ones are of different things."""
    spec = _read_object(RunPaths(run.folder).spec)
    return int(spec.get("threads") or 1), str(spec.get("precision") or "fp32")


def read_recipe(run: Run) -> dict[str, Any]:
    """Return the resolved hyper-parameters of a run."""
    recipe = _read_object(RunPaths(run.folder).spec).get("recipe")
    return recipe if isinstance(recipe, dict) else {}


def _gmacs(runs: list[Run]) -> Table:
    found = macs_rows(runs)
    rows = [(row.run.model, row.feature_length, row.value, "measured") for row in found]
    return _table("gmacs", rows, [row.run.run_id for row in found])


def _inference_runs(runs: list[Run]) -> Table:
    rows, origins = [], []
    for row in measurements([r for r in runs if r.experiment == "inference"], "latency_ms"):
        rows.append((row.run.model, 1, int(row.sample or 0) + 1, row.feature_length, row.value, "measured"))
        origins.append(row.run.run_id)
    return _table("inference_runs", rows, origins)
