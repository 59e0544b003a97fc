"""Forecasts: the shipped calibration is what the code gives, intervals hold as often as printed, refusals are plain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recalibrate import calibrate
from tal_repro.curves import bootstrap, fit, forecast, make_points
from tal_repro.curves.calibrate import PATH, inflation, load_calibration
from tal_repro.curves.decide import data_needed, next_percentage, saturation
from tal_repro.curves.stacking import STACKED, average, roll, stacking_weights
from tal_repro.errors import InputError


@pytest.fixture(scope="module")
def fresh(curves):
    return calibrate(curves)


def test_shipped_calibration_is_what_this_code_measures(fresh):
    shipped = json.loads(PATH.read_text(encoding="utf-8"))
    assert fresh["coverage"] == shipped["coverage"]
    for name, curve in fresh["curves"].items():
        for origin, scores in curve["scores"].items():
            np.testing.assert_allclose(scores, shipped["curves"][name]["scores"][origin], rtol=1e-3, atol=1e-4)


def test_coverage_of_the_80_percent_interval_is_between_70_and_90(fresh):
    assert 0.7 <= fresh["coverage"]["share_of_forecasts"] <= 0.9
    assert 0.7 <= fresh["coverage"]["mean_over_curves"] <= 0.9


def test_forecast_beats_the_last_value_on_every_published_curve(fresh):
    for curve in fresh["coverage"]["curves"].values():
        assert curve["rmse"] < curve["last_value_rmse"]


def test_a_curve_does_not_calibrate_itself(curves):
    names = {reference.name for reference in forecast(*curves["tridet"]).references}
    assert names == set(curves) - {"tridet"}
    x, y = curves["tridet"]
    assert {reference.name for reference in forecast(x, y + 0.01).references} == set(curves)


def test_weights_and_interval_at_an_origin_see_nothing_later(curves):
    x, y = curves["tadtr"]
    changed = y.copy()
    changed[10:] = 1.0
    a, b = roll(x, y, names=("4pl", "exp3", "pow4")), roll(x, changed, names=("4pl", "exp3", "pow4"))
    np.testing.assert_array_equal(stacking_weights(a, 10), stacking_weights(b, 10))
    for ours, theirs in zip(average(a, 10, a.row(10), x), average(b, 10, b.row(10), x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_prefer_the_family_that_extrapolated_better():
    x = np.array([2.0, 4, 8, 15, 25, 40, 60, 80, 100])
    y = 70 - 60 * np.exp(-0.02 * x)
    rolling = roll(x, y, names=("exp3", "exponential"))
    weights = stacking_weights(rolling, len(x))
    assert weights[0] > 0.5 and weights.sum() == pytest.approx(1.0)


def test_exact_saturating_curve_is_predicted():
    x = np.array([5.0, 10, 20, 30, 45, 60, 80])
    truth = 60 - 55 * np.exp(-0.035 * np.append(x, 100))
    made = forecast(x, truth[:-1])
    low, high = made.interval(100)
    assert low[0] <= truth[-1] <= high[0]
    assert made.predict(100)[0] == pytest.approx(truth[-1], abs=0.5)


def test_probabilities_agree_with_the_interval(curves):
    made = forecast(*curves["tridet"])
    low, high = made.interval(300, 0.8)
    assert made.probability_at_least(300, low[0])[0] == pytest.approx(0.9, abs=1e-6)
    assert made.probability_at_least(300, high[0])[0] == pytest.approx(0.1, abs=1e-6)
    wide = made.interval(300, 0.95)
    assert wide[0][0] < low[0] and wide[1][0] > high[0]


def test_inflation_is_a_weighted_quantile():
    assert inflation([], {4: (1.0, 2.0, 3.0, 4.0, 5.0)}, 0.8) == 4.0
    assert inflation([], {4: (1.0,), 5: (9.0,)}, 0.5) == 1.0


def test_data_needed_is_where_the_probability_is_reached(curves):
    made = forecast(*curves["tridet"])
    even, sure = (data_needed(made, 69.0, p) for p in (0.5, 0.9))
    assert even is not None and sure is not None and even < sure
    assert made.predict(even)[0] == pytest.approx(69.0, abs=0.1)
    assert made.probability_at_least(sure, 69.0)[0] == pytest.approx(0.9, abs=0.02)
    assert data_needed(made, 99.0, 0.9) is None


def test_too_far_too_few_and_falling_are_refused(curves):
    x, y = curves["tadtr"]
    early = forecast(x[:6], y[:6])
    assert "no back-test" in early.refusal(100)
    assert "falls" in forecast(x[:8], y[7::-1]).refusal(20)
    assert "does not change" in forecast(x[:8], np.full(8, 30.0)).refusal(20)
    with pytest.raises(InputError, match="3 percentages"):
        forecast([10, 20, 40], [1, 2, 3])
    assert "mAP wide" in forecast(x[:8], y[:8]).refusal(100)


def test_saturation_of_merged_percentages_says_why_it_is_not_tested():
    x = np.repeat(np.arange(1.0, 101.0), 2)
    found = saturation(make_points(x, 60 - 50 / np.sqrt(x) + np.tile([0.0, 0.1], 100)))
    assert not found.tested
    assert "merged" in found.reason


def test_saturation_needs_runs_and_finds_a_plateau():
    x = [10, 20, 40, 60, 80, 100]
    flat = make_points(x, [20, 40, 55.0, 60.0, 60.05, 60.02], std=[0.1] * 6, runs=5)
    found = saturation(flat)
    assert found.tested and found.percent == 60
    assert not saturation(make_points(x, [20, 40, 55.0, 60.0, 60.05, 60.02])).tested
    loud = make_points(x, [20, 40, 55.0, 60.0, 60.05, 60.02], std=[3.0] * 6, runs=5)
    assert saturation(loud).percent is None


def test_tost_agrees_with_scipy_on_equal_variances():
    from scipy.stats import ttest_ind_from_stats

    points = make_points([50, 100], [60.0, 60.3], std=[0.4, 0.4], runs=5)
    comparison = saturation(points).comparisons[0]
    # variances equal their pool, so shrinking changes only the degrees of freedom: 8 + 8 instead of 4 + 4
    plain = ttest_ind_from_stats(60.3, 0.4, 5, 60.0, 0.4, 5, equal_var=False)
    assert comparison.p_difference < plain.pvalue
    assert comparison.low == pytest.approx(0.3 - 1.745884 * 0.4 * np.sqrt(0.4), rel=1e-5)


def test_next_percentage_lies_between_the_last_and_the_target(curves):
    x, y = curves["actionformer"]
    chosen = next_percentage(forecast(x[:4], y[:4]), 100)
    assert 60 < chosen.percent < 100 and 0 < chosen.uncertainty_removed < 1
    assert next_percentage(forecast(x, y), 100).percent is None


def test_runs_are_averaged_and_many_points_merged():
    points = make_points([20, 10, 10, 20, 40], [4.0, 1.0, 3.0, 6.0, 7.0])
    assert points.percent.tolist() == [10, 20, 40] and points.mean.tolist() == [2.0, 5.0, 7.0]
    assert points.std[:2].tolist() == pytest.approx([np.sqrt(2)] * 2) and np.isnan(points.std[2])
    x = np.linspace(0.1, 100, 100_000)
    merged = make_points(x, 60 * (1 - np.exp(-x / 20)))
    assert merged.merged and len(merged) <= 60 and merged.runs.sum() == 100_000
    every = make_points(
        np.repeat(np.arange(1.0, 101.0), 2), np.repeat(np.arange(1.0, 101.0), 2) + np.tile([-1, 1], 100)
    )
    assert every.merged and len(every) <= 60 and every.runs.sum() == 200
    assert (every.percent[-1], every.mean[-1], every.runs[-1]) == (100.0, 100.0, 2)  # the last is never merged


def test_every_stacked_family_is_reported_with_its_weight(curves):
    rows = forecast(*curves["temporalmaxer"]).spread(300)
    assert {row["family"] for row in rows} == set(STACKED)
    assert sum(row["weight"] for row in rows) == pytest.approx(1.0)


def test_bootstrap_agrees_with_the_delta_method_and_repeats(curves):
    found = fit("exponential", *curves["tadtr"])
    draws = bootstrap(found, draws=400, seed=1)
    low, high = draws.interval([100.0])
    expected = found.interval([100.0])
    assert low[0] == pytest.approx(expected[0][0], abs=0.1) and high[0] == pytest.approx(expected[1][0], abs=0.1)
    np.testing.assert_array_equal(draws.parameters(), bootstrap(found, draws=400, seed=1).parameters())
    with pytest.raises(InputError, match="no degree of freedom"):
        bootstrap(fit("last1", *curves["tadtr"]))


def test_calibration_holds_the_published_points(curves):
    references = {reference.name: reference for reference in load_calibration().references}
    assert set(references) == set(curves)
    assert all(references[name].holds(x, y) for name, (x, y) in curves.items())


def test_the_documented_coverage_is_the_measured_one():
    text = (Path(__file__).parents[2] / "docs" / "curves.md").read_text(encoding="utf-8")
    table = text.split("<!-- coverage -->")[1].split("<!-- /coverage -->")[0]
    coverage = load_calibration().coverage
    rows = [
        f"| {name} | {c['covered']} of {c['forecasts']} | {c['rmse']:.2f} | {c['last_value_rmse']:.2f} |"
        for name, c in coverage["curves"].items()
    ]
    total = (
        f"| all | {coverage['covered']} of {coverage['forecasts']} ({100 * coverage['share_of_forecasts']:.0f} %) | | |"
    )
    assert table.strip().splitlines()[2:] == [*rows, total]
