"""Does "n more runs" keep its promise? Verdicts that were left open, and what exactly that many more runs make of them.

    python -m benchmarks.verdict_further    fresh samples and sweeps; results/reference/verdicts/further.json

A mean: the truth is drawn from three margins below what is printed to three above, so that most truths lie where
neither verdict is plainly right. A sweep: the truth is as claimed, or off by the margin once or twice, either side.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks import skeleton
from benchmarks.verdict_calibration import FEWEST_LEFT_OPEN, MORE_N, STUDY_N, mean_claims, near, numbers, spread_of
from benchmarks.verdict_truths import simulated, truths
from tal_repro.kit import reference_folder
from tal_repro.paper.claims.bands import load_bands
from tal_repro.paper.claims.means import AFFORDABLE_RUNS, further_runs, judge_mean, runs_wanted
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.statistics import describe

SAMPLES, SWEEPS, MARGINS, SEED = 500, 200, 3.0, 13
REPORT = "verdicts/further.json"
ASKED = ((1, 1), (2, 3), (4, 7), (8, AFFORDABLE_RUNS))  # numbers of further runs that are reported together


def of_mean(claim: Claim, samples: int = SAMPLES) -> dict[str, Any]:
    """Return, for samples whose mean is left open, each number of runs named (None: no affordable) and what came."""
    random, n = np.random.default_rng([SEED, zlib.crc32(claim.id.encode())]), runs_wanted(claim)
    named = []
    for _ in range(samples):
        truth = claim.centre + MARGINS * claim.margin * random.uniform(-1, 1)
        values = truth + spread_of(claim) * random.standard_normal(AFFORDABLE_RUNS)
        sample = describe(values[:n])
        if judge_mean(claim, sample) != "inconclusive":
            continue
        further = further_runs(claim, sample)
        after = describe(values[: AFFORDABLE_RUNS if further is None else n + further])
        named.append((further, judge_mean(claim, after) != "inconclusive"))
    return {"id": claim.id, "n": n, "left_open": len(named), "no_number": _share(named, lambda k: k is None),
            "settled": {f"{low} to {high}": _share(named, lambda k, a=low, b=high: k is not None and a <= k <= b)
                        for low, high in ASKED}}  # fmt: skip


def _share(named: Iterable[tuple[int | None, bool]], chosen: Any) -> dict[str, Any]:
    return _counted([settled for further, settled in named if chosen(further)])


def _counted(came: list[bool]) -> dict[str, Any]:
    return {"count": len(came), "settled": float(np.mean(came)) if came else None}


def of_sweep(claim: Claim, sweeps: int = SWEEPS) -> dict[str, Any]:
    """Return how often the sweeps left open by n runs a point are settled by the number named, under each truth."""
    bands, sizes = load_bands()[claim.id], (STUDY_N, *MORE_N)
    drawn = {side: numbers(claim, truth, (SEED, side), sweeps, sizes) for side, truth in truths(claim.id).items()}
    drawn |= near(claim, SEED, sweeps, sizes)
    steps = []
    for i, band in enumerate(bands[:-1]):
        j = sizes.index(band.settled_at) if band.settled_at else len(sizes) - 1
        came = {}
        for side, values in drawn.items():
            left = [row for row in values if band.verdict(row[i]) == "inconclusive"]
            settled = [bands[j].verdict(row[j]) != "inconclusive" for row in left]
            came[side] = _counted(settled)
        steps.append({"n": band.n, "named": band.settled_at or None, "tried": sizes[j], "truths": came})
    return {"id": claim.id, "steps": steps}


def broken(report: dict[str, Any]) -> list[str]:
    """Return the promises that did not hold in 80 %, of those that enough samples met."""
    pooled = {name: [c["settled"][name] for c in report["means"]] for name in report["means"][0]["settled"]}
    found = []
    for name, parts in pooled.items():
        count = sum(part["count"] for part in parts)
        settled = sum(part["count"] * part["settled"] for part in parts if part["count"])
        if count >= FEWEST_LEFT_OPEN and settled / count < 0.8:
            found.append(f"means, {name} more runs: {100 * settled / count:.0f} % of {count}")
    for claim in report["sweeps"]:
        for step in claim["steps"]:
            found += [f"{claim['id']}, {step['n']} to {step['named']} runs a point, truth {side}: "
                      f"{100 * came['settled']:.0f} % of {came['count']}" for side, came in step["truths"].items()
                      if step["named"] and came["count"] >= FEWEST_LEFT_OPEN and came["settled"] < 0.8]  # fmt: skip
    return found


def main() -> None:
    parser = skeleton.parser(__doc__, out="JSON report (default: in results/reference)")
    options = parser.parse_args()
    open_sweeps = [c for c in simulated() if len(load_bands()[c.id]) > 1]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        sweeps = pool.map(of_sweep, open_sweeps)
        means = list(pool.map(of_mean, mean_claims()))
        order = [c.id for c in load_claims()]
        report = {"schema": "tal-repro/verdict-further/1", "samples": SAMPLES, "sweeps_drawn": SWEEPS, "means": means,
                  "sweeps": sorted(sweeps, key=lambda row: order.index(row["id"]))}  # fmt: skip
    for line in broken(report):
        print(line)
    skeleton.write(options.out or reference_folder() / REPORT, report)


if __name__ == "__main__":
    main()
