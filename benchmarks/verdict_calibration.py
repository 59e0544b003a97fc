"""How often measured verdicts are right, and the bands they are judged by.

    python -m benchmarks.verdict_calibration            500 fresh replications a claim, a table of docs/claims.md
    python -m benchmarks.verdict_calibration --bands    simulate tal_repro/paper/bands.csv again, from other seeds

A replication is a sweep whose truth is known (`verdict_truths`): n subsets at each point, normal noise that has the
published standard deviations on average. It goes through the claim's derivation as a table, without run folders.
"""

from __future__ import annotations

import csv
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import gamma
from scipy.stats import binom

from benchmarks import skeleton
from benchmarks.batched_fits import in_two_passes
from benchmarks.tables.calibration import MOST
from benchmarks.verdict_means import (
    STUDY_N,
    TESTING,
    TUNING,
    largest_spread,
    mean_band,
    mean_bands,
    mean_claims,
    mean_shares,
    offsets,
    timed_claims,
)
from benchmarks.verdict_truths import as_derived, simulated, statistic, truths
from tal_repro.kit import reference_folder
from tal_repro.paper.claims.bands import BANDS_FILE, SETTLED, Band, band_of, load_bands
from tal_repro.paper.claims.means import PROCESSES_WANTED
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.published.table import Table

REPLICATIONS, BAND_REPLICATIONS, COSTLY_BAND_REPLICATIONS = 500, 1000, 600
MORE_N = (10, 20)
COSTLY = ("D11", "F6", "F8", "F9", "F10", "F11", "F12")  # 5PL fits
FITTED = (*COSTLY, "D7", "E1", "E2", "E3", "E4", "E5", "E6", "E7", "E12", "E15", "F3")
FIVE_RUNS_SHOW = np.sqrt(2 / (STUDY_N - 1)) * gamma(STUDY_N / 2) / gamma((STUDY_N - 1) / 2)  # of a normal std: 0.94
WRONG, SURE = 0.05, 0.95  # a truth that is off reads "reproduced" in at most so many sweeps, as surely as this
CHANCE = 0.05  # of a share of 500 that is 80 %: nearly three standard errors
FEWEST_LEFT_OPEN = 10  # replications left inconclusive, below which nothing is said of what settles them
REPORT = "verdicts/calibration.json"
VERDICTS = ("reproduced", "not reproduced", "inconclusive")
Draws = Mapping[int, list[Table]]


def sweeps(truth: Table, random: np.random.Generator, sizes: tuple[int, ...]) -> dict[int, Table]:
    """Draw one sweep; return what its first n subsets at each point make of the curves, for each n of `sizes`.

    The stds of a truth are what five runs show on average: 6 % less than the noise has (`FIVE_RUNS_SHOW`).
    """
    noise = truth["map_std"] / FIVE_RUNS_SHOW
    values = truth["map_mean"] + noise * random.standard_normal((max(sizes), len(truth)))
    return {n: truth.replace("map_mean", np.maximum(values[:n].mean(axis=0), 0.05))
                    .replace("map_std", values[:n].std(axis=0, ddof=1)) for n in sizes}  # fmt: skip


def numbers(
    claim: Claim, truth: Table, seed: tuple[Any, ...], count: int, sizes: tuple[int, ...], nested: bool = False
) -> np.ndarray:
    """Return a claim's number in `count` sweeps, one column an n; nested: each around published points drawn anew."""
    random = np.random.default_rng([zlib.crc32(str(part).encode()) for part in (*seed, claim.id)])
    drawn = []
    for _ in range(count):
        around = sweeps(truth, random, (STUDY_N,))[STUDY_N] if nested else truth
        drawn += sweeps(around, random, sizes).values()
    as_derived(claim.id)  # of the published tables, before other fits stand in
    compute = lambda: [statistic(claim, table) for table in drawn]  # noqa: E731
    return np.array(in_two_passes(compute) if claim.id in FITTED else compute()).reshape(count, len(sizes))


def make_bands(claim_id: str) -> list[Band]:
    """Simulate a claim's bands: for the study's n; for more where that does not settle it."""
    claim = next(c for c in simulated() if c.id == claim_id)
    found = truths(claim_id)
    count = COSTLY_BAND_REPLICATIONS if claim_id in COSTLY else BAND_REPLICATIONS

    def simulate(sizes: tuple[int, ...]) -> list[Band]:
        drawn = {side: numbers(claim, truth, (TUNING, side), count, sizes) for side, truth in found.items()}
        wide = numbers(claim, found["claimed"], (TUNING, "nested"), count, sizes, nested=True)
        bands = [_band(claim, n, wide[:, i], {side: values[:, i] for side, values in drawn.items()})
                 for i, n in enumerate(sizes)]  # fmt: skip
        if any(_settled_at(bands, drawn, i) for i in range(len(bands))):
            drawn |= near(claim, TUNING, count, sizes)
        return [Band(**{**asdict(band), "settled_at": _settled_at(bands, drawn, i)}) for i, band in enumerate(bands)]

    bands = simulate((STUDY_N,))
    return bands if bands[0].settles else simulate((STUDY_N, *MORE_N))


def near(claim: Claim, seed: int, count: int, sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return a claim's numbers where the truth is off by its margin once, which either verdict may call."""
    found = {f"near {side}": truth for side, truth in truths(claim.id, 1.0).items() if side != "claimed"}
    return {side: numbers(claim, truth, (seed, side), count, sizes) for side, truth in found.items()}


def _band(claim: Claim, n: int, wide: np.ndarray, drawn: Mapping[str, np.ndarray]) -> Band:
    tail = 0.025 if claim.alternative == "either" else 0.05
    low, high = np.nanquantile(wide, (tail, 1 - tail))
    inner_low = -beyond_few(-drawn["below"]) if "below" in drawn else -np.inf
    inner_high = beyond_few(drawn["above"]) if "above" in drawn else np.inf
    if claim.rule == "at-most":
        high, inner_high = max(high, claim.limit), min(inner_high, np.nextafter(claim.limit, np.inf))
    if claim.rule == "at-least":
        low, inner_low = min(low, claim.limit), max(inner_low, np.nextafter(claim.limit, -np.inf))
    low, high = (-np.inf if claim.alternative == "above" else low), (np.inf if claim.alternative == "below" else high)
    band = Band(claim.id, n, *map(float, (low, high, inner_low, inner_high)), 0.0, 0.0)
    reproduced = shares(band, drawn["claimed"])["reproduced"]
    missed = min(shares(band, values)["not reproduced"] for side, values in drawn.items() if side != "claimed")
    return Band(**{**asdict(band), "reproduced": reproduced, "not_reproduced": missed})


def beyond_few(values: np.ndarray) -> float:
    """Return a number below which at most `WRONG` of the population behind some draws lies, at confidence `SURE`.

    A tolerance bound (an order statistic), not the plain quantile of the draws: half of those are too high.
    """
    rank = int(binom.ppf(1 - SURE, len(values), WRONG))
    while rank and binom.cdf(rank - 1, len(values), WRONG) > 1 - SURE:
        rank -= 1
    ordered = np.sort(np.where(np.isnan(values), np.inf, values))  # a number left open is not "reproduced"
    return float(ordered[rank - 1]) if rank else -np.inf


def shares(band: Band, values: np.ndarray) -> dict[str, float]:
    """Return how often each verdict comes out; a number that the data leave open is inconclusive."""
    verdicts = [band.verdict(value) for value in values]
    return {verdict: verdicts.count(verdict) / len(verdicts) for verdict in VERDICTS}


def _settled_at(bands: list[Band], drawn: Mapping[str, np.ndarray], i: int) -> int:
    """Return the n at which 80 % of the sweeps that are inconclusive at the i-th n are settled, whatever the truth."""
    for j in range(i + 1, len(bands)):
        settled = []
        for values in drawn.values():
            left = [row for row in values if bands[i].verdict(row[i]) == "inconclusive"]
            if len(left) >= FEWEST_LEFT_OPEN:
                settled.append(np.mean([bands[j].verdict(row[j]) != "inconclusive" for row in left]))
        if settled and min(settled) >= SETTLED:
            return bands[j].n
    return 0


def write_bands(bands: list[Band], path: Path = BANDS_FILE) -> None:
    names = [field.name for field in fields(Band)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for band in bands:
            row = asdict(band)
            writer.writerow([f"{row[name]:.8g}" if isinstance(row[name], float) else row[name] for name in names])


def calibrate(claim_id: str, count: int = REPLICATIONS) -> dict[str, Any]:
    """Return how often each verdict comes out under each truth of a claim, with n as the study plans."""
    claim = next(c for c in load_claims() if c.id == claim_id)
    started = time.perf_counter()
    n, spread = STUDY_N, {}
    if claim_id in {c.id for c in (*mean_claims(), *timed_claims())}:
        if claim_id in {c.id for c in timed_claims()}:
            n, spread = PROCESSES_WANTED, {"spread": largest_spread(claim, PROCESSES_WANTED)}
        found = {side: mean_shares(claim, n, off, TESTING, count, **spread) for side, off in offsets(claim).items()}
        settles = mean_band(claim, n, **spread).settles
    else:
        band = band_of(claim_id, n)
        assert band is not None, claim_id
        found = {side: shares(band, numbers(claim, truth, (TESTING, side), count, (n,))[:, 0])
                 for side, truth in truths(claim_id).items()}  # fmt: skip
        settles = band.settles
    return {
        "id": claim_id, "importance": claim.importance, "expected": claim.expected, "margin": claim.margin,
        "alternative": claim.alternative, "n": n, **spread, "replications": count, "truths": found,
        "settled_by_n": settles, "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def failures(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what misses the target."""
    for claim in report["claims"]:
        for side, share in claim["truths"].items():
            wrong = "not reproduced" if side == "claimed" else "reproduced"
            if share[wrong] > MOST:
                yield f"{claim['id']}: {wrong} in {100 * share[wrong]:.1f} % where the truth is {side}"
            right = share["reproduced" if side == "claimed" else "not reproduced"]
            if claim["settled_by_n"] and right < SETTLED - CHANCE:
                yield f"{claim['id']}: settled in {100 * right:.1f} % where the truth is {side}, less than bands.csv"


def main() -> None:
    parser = skeleton.parser(__doc__, out="JSON report (default: in results/reference)")
    parser.add_argument("--bands", action="store_true", help="simulate tal_repro/paper/bands.csv again")
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--claims", nargs="+", help="these alone (no report is written)")
    options = parser.parse_args()
    sweep = sorted((c.id for c in simulated()), key=lambda name: name not in COSTLY)
    chosen = options.claims or [*sweep, *(c.id for c in (*mean_claims(), *timed_claims()))]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        if options.bands:
            made = {bands[0].claim: bands for bands in pool.map(make_bands, [i for i in sweep if i in chosen])}
            made |= {c.id: mean_bands(c) for c in mean_claims() if c.id in chosen}
            kept = {**load_bands(), **made}
            write_bands([band for c in load_claims() for band in kept.get(c.id, ())])
            return
        rows = list(pool.map(calibrate, chosen, [options.replications] * len(chosen)))
    order = [c.id for c in load_claims()]
    report = {"schema": "tal-repro/verdict-calibration/1", "replications": options.replications,
              "claims": sorted(rows, key=lambda row: order.index(row["id"]))}  # fmt: skip
    for line in failures(report):
        print(line)
    if not options.claims:
        skeleton.write(options.out or reference_folder() / REPORT, report)


if __name__ == "__main__":
    main()
