"""Calibrate the interval of `tal-repro forecast` on public learning curves and measure it on other data sets.

    python -m benchmarks.forecast_calibration --lcdb FOLDER      # FOLDER holds lcdb/database-accuracy.csv

FOLDER is where `pip install --target FOLDER lcdb==0.1.0` has put the curves. The data sets of
`lcdb_reserved_dataset_ids.txt` are dropped at loading. Two thirds of the others, drawn by a fixed seed, calibrate; the
rest are held out and used once, for the report. Fits are kept in --cache, so that a run that was stopped goes on, and
`--minutes` stops it. Writes calibration.json, the report and the table of docs/curves.md; with `--measure` it writes
the report and the table only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import lcdb
from benchmarks.curves import ROOT, published_curves
from benchmarks.forecast_errors import Errors, errors_of, join
from benchmarks.forecast_fit import fit_calibration
from benchmarks.forecast_measure import cross_validated, measure, table
from tal_repro.curves.calibrate import PATH, Calibration, read_calibration
from tal_repro.curves.stacking import roll

REPORT = ROOT / "results" / "reference" / "forecasts" / "lcdb.json"
DOCS = ROOT / "docs" / "curves.md"
HELD_OUT_SHARE = 1 / 3
SOURCE = "LCDB 0.1.0 (MIT licence): test accuracies of scikit-learn learners on OpenML data sets"


def main() -> None:
    """Load, roll, split, calibrate, measure, write."""
    options = _options()
    curves = _curves(options)
    held_out = _held_out(sorted({curve.data_set for curve in curves}))
    parts = [[c for c in curves if (c.data_set in held_out) is side] for side in (False, True)]
    calibrating, judging = (join([errors_of(c.data_set, c.rolling, c.pow3) for c in part]) for part in parts)
    content = json.loads(PATH.read_text(encoding="utf-8")) if options.measure else fit_calibration(calibrating)
    calibration = _read(content)
    report = {
        "schema": "tal-repro/bench-forecast-calibration/1",
        "source": SOURCE,
        "reserved_data_sets_dropped_at_loading": len(lcdb.reserved()),
        "calibrating": _size(calibrating, parts[0]),
        "held_out": {**_size(judging, parts[1]), **measure(calibration, judging)},
        "cross_validated": cross_validated(calibrating, lambda errors: _read(fit_calibration(errors))),
        "published_curves": _published(calibration),
    }
    _write(options, content, report)


def _read(content: dict[str, Any]) -> Calibration:
    return read_calibration({"calibrated_on": "", "held_out": {}, **content})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcdb", type=Path, required=True, help="folder that holds lcdb/database-accuracy.csv")
    parser.add_argument("--cache", type=Path, default=ROOT / "results" / "bench" / "forecasts")
    parser.add_argument("--per-data-set", type=int, default=12, help="curves of each data set")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop here; a later run goes on")
    parser.add_argument("--measure", action="store_true", help="leave calibration.json as it is")
    parser.add_argument("--out", type=Path, default=REPORT)
    return parser.parse_args()


def _curves(options: argparse.Namespace) -> list[lcdb.Curve]:
    points, end = lcdb.read_curves(options.lcdb), time.monotonic() + 60 * options.minutes
    result = []
    for key in lcdb.sample(points, options.per_data_set):
        if len(points[key][0]) < lcdb.MIN_ANCHORS:
            continue
        if time.monotonic() > end:
            raise SystemExit(f"{options.minutes:g} minutes are over, {len(result)} curves done: run it again to go on")
        result.append(lcdb.rolled(key, *points[key], options.cache))
    return result


def _held_out(data_sets: list[int]) -> set[int]:
    shuffled = np.random.default_rng(lcdb.SEED).permutation(data_sets)
    return set(shuffled[: round(HELD_OUT_SHARE * len(shuffled))].tolist())


def _size(errors: Errors, curves: list[lcdb.Curve]) -> dict[str, int]:
    return {"data_sets": len(set(errors.data_set.tolist())), "curves": len(curves), "forecasts": len(errors.truth)}


def _published(calibration: Calibration) -> dict[str, Any]:
    """Measure the study's own curves: no part of any calibration, every forecast from four points on."""
    result = {}
    for name, (x, y) in published_curves().items():
        rolling = roll(x, y)
        errors = errors_of(0, rolling, np.full((len(rolling.origins), len(x)), np.nan), everything=True)
        low, high = (calibration.quantile(errors.made, q) for q in (0.1, 0.9))
        result[name] = {
            "forecasts": len(errors.truth),
            "covered": int(((errors.truth >= low) & (errors.truth <= high)).sum()),
            "above": int((errors.truth > high).sum()),
            "rmse": _rmse(errors.made.prediction - errors.truth),
            "earlier_method_rmse": _rmse(errors.earlier - errors.truth),
            "last_value_rmse": _rmse(errors.last - errors.truth),
        }
    return result


def _rmse(difference: np.ndarray) -> float:
    return round(float(np.sqrt((difference**2).mean())), 3)


def _write(options: argparse.Namespace, content: dict[str, Any], report: dict[str, Any]) -> None:
    if not options.measure:
        size = report["calibrating"]
        content["calibrated_on"] = (
            f"{size['curves']} public learning curves of scikit-learn learners on {size['data_sets']} data sets (LCDB)"
        )
        content["held_out"] = {
            "curves": report["held_out"]["curves"],
            "data_sets": report["held_out"]["data_sets"],
            "coverage_80": {share: row["80"]["covered"] for share, row in report["held_out"]["visible"].items()},
            "published": {
                key: sum(row[key] for row in report["published_curves"].values()) for key in ("covered", "forecasts")
            },
        }
        PATH.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    before, _, rest = DOCS.read_text(encoding="utf-8").partition("<!-- coverage -->\n")
    DOCS.write_text(before + "<!-- coverage -->\n" + table(report) + rest[rest.index("<!-- /coverage -->") :])
    print(table(report))


if __name__ == "__main__":
    main()
