"""Every metric of every finished run in long form, a row each with the run's identity: for pandas and trackers.

Runs are opened one at a time, so that a folder of any size streams. A metric's name is a path of what it is of:
`map/last/ema/af-212/0.5` (selection, weights, protocol, tIoU; `average` over tIoUs), `ap/last/ema/af-212/CLASS`,
`seconds/train`, `optimizer_steps`, `measured/latency_ms/LENGTH/SAMPLE`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tal_repro.errors import InputError
from tal_repro.runs.load import as_problem
from tal_repro.runs.record import DamagedRun
from tal_repro.runs.run import Run, finite, open_run, part
from tal_repro.runs.store import RunStore
from tal_repro.spec import DATA_DIGITS, RunSpec
from tal_repro.untrusted import csv_cell

SCHEMA = "tal-repro/results-table/1"
PERCENT = "%"


class Metric(NamedTuple):
    """One value of a run."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Identity:
    """What tells a run from every other one, and what it is of."""

    planned_id: str
    folder: str  # below the results folder
    data_digest: str  # first digits, as in the folder's name; "" where it reads no data
    study: str
    experiment: str
    model: str
    engine: str
    seed: int
    share_percent: float  # of the training units
    unit: str  # of the share: video or slice; "" where all are trained on

    @classmethod
    def of(cls, run: Run, root: Path) -> Identity:
        """Return the identity of a run in a results folder."""
        spec = run.spec
        return cls(
            spec.run_id, run.folder.relative_to(root).as_posix(), spec.data_digest[:DATA_DIGITS],
            str(run.record.status.get("study") or ""), spec.experiment, spec.model, spec.engine, spec.seed,
            run.percent, run.unit,
        )  # fmt: skip


COLUMNS = (*Identity.__dataclass_fields__, "metric", "value", "metric_unit")


def metrics_of(run: Run) -> Iterator[Metric]:
    """Yield every metric that a run keeps; raise DamagedRun where its files do not hold what they should."""
    kept = run.record.json("metrics", {})
    try:
        for row in kept.get("rows", ()):
            name = "/".join(str(row[column]) for column in ("selection", "weights", "protocol"))
            yield Metric(f"map/{name}/{float(row['tiou']):g}", 100.0 * float(row["ap"]), PERCENT)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRun(f"not the metrics of a run ({error!r})"[:200], run.record.paths.metrics) from None
    for key, average in run.scores.items():
        yield Metric(f"map/{'/'.join(key)}/average", average, PERCENT)
    of = "/".join(str(run.per_class.get(column, "")) for column in ("selection", "weights", "protocol"))
    yield from _numbers(part(run.per_class, "ap"), f"ap/{of}/", PERCENT, 100.0)
    yield from _numbers(part(kept, "seconds"), "seconds/", "s")
    yield from _numbers({"table2_seconds": kept.get("table2_seconds")}, "", "s")
    yield from _numbers({"optimizer_steps": kept.get("optimizer_steps")}, "", "steps")
    for row in run.measured:
        yield Metric(f"measured/{row.quantity}/{row.feature_length}/{row.sample}", row.value, row.unit)


def _numbers(values: dict[str, Any], prefix: str, unit: str, times: float = 1.0) -> Iterator[Metric]:
    for name, raw in values.items():
        if (value := finite(raw)) is not None:
            yield Metric(f"{prefix}{name}", times * value, unit)


@dataclass
class LongForm:
    """The metrics below `root` of runs whose specification `chosen` takes; what was passed over is in `problems`."""

    root: Path
    chosen: Callable[[RunSpec], bool] = lambda _: True
    runs: int = 0
    count: int = 0
    problems: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row of `COLUMNS` for each metric; a damaged run gives none, and a problem."""
        if not self.root.is_dir():
            raise InputError("not a folder of results", self.root, "give a folder that `tal-repro run` has written")
        for record in RunStore(self.root).records():
            try:
                run = open_run(record.folder)
                if not self.chosen(run.spec):
                    continue
                metrics = list(metrics_of(run))
                about = asdict(Identity.of(run, self.root))
            except InputError as error:
                self.problems.append(as_problem(error))
                continue
            self.runs, self.count = self.runs + 1, self.count + len(metrics)
            for metric in metrics:
                yield {**about, "metric": metric.name, "value": metric.value, "metric_unit": metric.unit}

    def text(self, kind: str) -> Iterator[str]:
        """Yield the table as text, a run's rows at a time or less: CSV, or one JSON object with `rows`."""
        yield from self._csv() if kind == "csv" else self._json()

    def _csv(self) -> Iterator[str]:
        yield _line(COLUMNS)
        for row in self.rows():
            yield _line([row[name] for name in COLUMNS])

    def _json(self) -> Iterator[str]:
        yield f'{{"schema": "{SCHEMA}", "rows": ['
        for number, row in enumerate(self.rows()):
            yield f"{',' if number else ''}\n{json.dumps(row, allow_nan=False)}"
        yield "\n]}\n"


def _line(cells: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([csv_cell(cell) for cell in cells])
    return buffer.getvalue()
