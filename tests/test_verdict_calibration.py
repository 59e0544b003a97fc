"""A few replications of the calibration: truths are what they should be, and verdicts are mostly right."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import batched_fits, verdict_calibration, verdict_further, verdict_means, verdict_truths
from benchmarks.tables.reports import read_report
from tal_repro.kit import reference_folder
from tal_repro.paper.claims.bands import band_of, load_bands
from tal_repro.paper.claims.means import AFFORDABLE_RUNS, further_runs, judge_mean
from tal_repro.paper.claims.statements import load_claims
from tal_repro.paper.statistics import describe

CLAIMS = {claim.id: claim for claim in load_claims()}
QUICK = ("D2", "D3", "E4", "E10", "F13", "G1", "G3")


@pytest.mark.parametrize("claim_id", QUICK)
def test_a_truth_is_off_by_twice_the_margin(claim_id: str) -> None:
    claim, truths = CLAIMS[claim_id], verdict_truths.truths(claim_id)
    centre = verdict_truths.statistic(claim, truths["claimed"])
    for side in truths.keys() - {"claimed"}:
        off = verdict_truths.statistic(claim, truths[side]) - centre
        assert off == pytest.approx((2 if side == "above" else -2) * claim.margin, rel=0.02)


@pytest.mark.parametrize("claim_id", QUICK)
def test_verdicts_are_mostly_right(claim_id: str) -> None:
    shares = verdict_calibration.calibrate(claim_id, count=30)["truths"]
    assert shares["claimed"]["not reproduced"] <= 0.2
    assert all(share["reproduced"] <= 0.2 for side, share in shares.items() if side != "claimed")


@pytest.mark.parametrize("claim_id", ["A2", "T2.6", "T2.7", "T2.8"])
def test_means_are_settled_by_five_runs(claim_id: str) -> None:
    claim = CLAIMS[claim_id]
    assert verdict_means.mean_shares(claim, 5, 0.0, 3, 500)["reproduced"] > 0.8
    for off in (2 * claim.margin, -2 * claim.margin):
        shares = verdict_means.mean_shares(claim, 5, off, 3, 500)
        assert shares["reproduced"] <= verdict_calibration.MOST and shares["not reproduced"] > 0.8


def test_so_many_more_runs_settle_a_mean() -> None:
    """Of samples that five runs leave inconclusive, the number of runs asked for settles most; the truth is drawn."""
    claim, random, settled = CLAIMS["T2.5"], np.random.default_rng(5), []
    for _ in range(400):
        values = random.uniform(53, 57.6) + 0.6 * random.standard_normal(AFFORDABLE_RUNS)
        sample = describe(values[:5])
        further = further_runs(claim, sample) if judge_mean(claim, sample) == "inconclusive" else None
        if further is not None:
            settled.append(judge_mean(claim, describe(values[: 5 + further])) != "inconclusive")
    assert len(settled) > 30 and np.mean(settled) > 0.8


def test_the_shipped_report_meets_its_targets_and_says_what_plan_says() -> None:
    report = read_report(reference_folder() / verdict_calibration.REPORT)
    assert list(verdict_calibration.failures(report)) == []
    rows = {row["id"]: row for row in report["claims"]}
    judged = {*verdict_truths.simulated(), *verdict_means.mean_claims(), *verdict_means.timed_claims()}
    assert set(rows) == {claim.id for claim in judged}
    assert {row["replications"] for row in rows.values()} == {verdict_calibration.REPLICATIONS}
    for claim_id in rows.keys() & load_bands().keys():
        band = band_of(claim_id, rows[claim_id]["n"])
        assert band is not None and band.settles == rows[claim_id]["settled_by_n"], claim_id


def test_the_shipped_report_of_further_runs_keeps_its_promise() -> None:
    report = read_report(reference_folder() / verdict_further.REPORT)
    assert verdict_further.broken(report) == []
    assert sum(claim["left_open"] for claim in report["means"]) > 300
    broken = json.loads(json.dumps(report))
    for claim in broken["means"]:
        claim["settled"]["1"] = {"count": 20, "settled": 0.5}
    assert verdict_further.broken(broken) == [f"means, 1 more runs: 50 % of {20 * len(broken['means'])}"]


def test_few_draws_of_a_population_lie_beyond_the_bound_in_most_of_many_tries() -> None:
    random = np.random.default_rng(0)
    beyond = [verdict_calibration.beyond_few(random.random(300)) for _ in range(500)]  # of a uniform one: its share
    assert np.mean(np.array(beyond) <= verdict_calibration.WRONG) > 0.93 and np.mean(beyond) > 0.02
    assert verdict_calibration.beyond_few(np.full(300, np.nan)) == np.inf


def test_a_sample_of_five_shows_the_published_spread_on_average() -> None:
    table, random = verdict_truths.as_published(), np.random.default_rng(0)
    shown = [verdict_calibration.sweeps(table, random, (5,))[5]["map_std"] for _ in range(300)]
    assert np.mean(np.array(shown) / table["map_std"]) == pytest.approx(1, abs=0.02)


def test_fits_in_a_batch_are_the_fits_one_by_one() -> None:
    claim, table = CLAIMS["D7"], verdict_truths.as_published()
    alone = verdict_truths.statistic(claim, table)
    assert batched_fits.in_two_passes(lambda: [verdict_truths.statistic(claim, table)]) == [pytest.approx(alone)]


def test_every_claim_that_a_sweep_determines_has_a_band() -> None:
    assert {claim.id for claim in verdict_truths.simulated()} <= set(load_bands())
