"""Forecasts: intervals hold on simulated curves as often as they say, refusals are plain, decisions follow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tal_repro.curves import FAMILIES, forecast, make_points
from tal_repro.curves.calibrate import PATH, load_calibration, read_calibration
from tal_repro.curves.decide import data_needed, next_percentage, saturation
from tal_repro.curves.stacking import FEATURES, STACKED, Outlook, Rolling, outlook, past_miss, roll, stacking_weights
from tal_repro.curves.units import Units
from tal_repro.errors import InputError

ROOT = Path(__file__).parents[2]


def test_the_shipped_calibration_is_ordered_and_says_what_it_is_of():
    calibration = load_calibration()
    assert (np.diff(calibration.levels) > 0).all() and (np.diff(calibration.quantiles, axis=1) >= 0).all()
    assert (calibration.above >= 0).all() and (calibration.below >= 0).all()
    assert "public learning curves" in calibration.calibrated_on and calibration.held_out["data_sets"] >= 50


def simulated(count):
    """Noisy saturating curves of many heights, speeds and noises; the last point is the truth to forecast."""
    random = np.random.default_rng(5)
    x = 100 / np.sqrt(2.0) ** np.arange(11, -1, -1)
    for _ in range(count):
        top, gain, power = random.uniform(40, 99), random.uniform(2, 40), random.uniform(0.2, 1.2)
        clean = top - gain * (x / x[0]) ** -power
        yield x, np.clip(clean + random.normal(0, random.uniform(0.1, 1.5), len(x)), 0, 100)


def test_intervals_hold_on_simulated_curves_about_as_often_as_they_say():
    """Synthetic curves: a sample of `make bench-forecast_calibration`, which measures public ones."""
    inside, before, after = [], [], []
    for x, y in simulated(12):
        made = forecast(x[:9], y[:9])
        low, high = made.interval(100, 0.8)
        inside.append(low[0] <= y[-1] <= high[0])
        before.append(y[8] - y[-1])
        after.append(made.predict(100)[0] - y[-1])
    assert np.sum(inside) >= 6  # of 12 at 80 %: fewer come by chance once in two hundred and fifty times
    assert np.std(after) < np.sqrt(np.mean(np.square(before)))


def test_quantiles_and_probabilities_are_two_sides_of_one_distribution():
    calibration = load_calibration()
    made = Outlook(np.array([50.0]), np.array([[3.0, 2.0, 0.5, 0.0, 1.5, 1.2]]), np.array([1.0]), np.empty(0))
    for level in (0.05, 0.3, 0.7, 0.95):
        value = calibration.quantile(made, level)
        assert calibration.at_least(made, value)[0] == pytest.approx(1 - level, abs=1e-9)


def test_a_calibration_by_hand():
    flat = dict.fromkeys(FEATURES, 0.0)
    content = {
        "shift": {**flat, "rise": -0.5},
        "above": {**flat, "drift": 1.0},
        "below": {**flat, "drift": 0.5},
        "levels": [0.1, 0.5, 0.9],
        "ratios": [1.5, 6.0],
        "quantiles": [[-1.0, 0.0, 1.0], [-1.0, 0.0, 3.0]],  # half way in ln(ratio): at 3
        "calibrated_on": "",
        "held_out": {},
    }
    made = Outlook(np.array([60.0]), np.array([[10.0, 4.0, 0.0, 0.0, 0.0, 0.0]]), np.log([3.0]), np.empty(0))
    calibration = read_calibration(content)
    assert calibration.quantile(made, 0.5)[0] == 58.0
    assert calibration.quantile(made, 0.9)[0] == pytest.approx(58.0 + 2 * 10, abs=0.01)
    assert calibration.quantile(made, 0.1)[0] == pytest.approx(58.0 - 5, abs=0.01)


def test_the_interval_widens_with_the_distance(curves):
    made = forecast(*curves["actionformer"])
    low, high = made.interval([110, 150, 300, 600])
    assert (np.diff(high - low) > 0).all()


def test_forecast_stays_between_the_last_value_and_the_recent_slope_carried_on():
    x = np.array([10.0, 20, 40, 60, 80])
    made = forecast(x, np.array([10.0, 40, 52, 58, 57]))
    assert made.predict(200)[0] >= 57
    slope = np.polyfit(np.log(x[-3:]), [52, 58, 57], 1)[0]
    assert made.predict(200)[0] <= 57 + slope * np.log(200 / 80) + 1e-9


def test_weights_and_interval_at_an_origin_see_nothing_later(curves):
    x, y = curves["tadtr"]
    changed = y.copy()
    changed[10:] = 1.0
    families = [FAMILIES[name] for name in ("4pl", "exp3", "pow4")]
    a, b = roll(x, y, families=families), roll(x, changed, families=families)
    np.testing.assert_array_equal(stacking_weights(a, 10), stacking_weights(b, 10))
    ours, theirs = outlook(a, 10, a.row(10), x), outlook(b, 10, b.row(10), x)
    np.testing.assert_array_equal(ours.prediction, theirs.prediction)
    np.testing.assert_array_equal(ours.features, theirs.features)


def test_a_past_miss_is_the_mean_familys_for_each_unit_of_ln_x():
    x = np.exp([0.0, 1.0, 2.0, 3.0, 5.0])
    predictions = np.full((2, 3, 5), np.nan)  # families, origins 3, 4, 5, points
    predictions[:, 0, 4] = [90.0, 10.0]  # from three points: left out, as four are there
    predictions[:, 1, 4] = [40.0, 44.0]
    rolling = Rolling(("a", "b"), x, np.array([10.0, 20.0, 30.0, 40.0, 50.0]), (3, 4, 5), predictions, ())
    assert past_miss(rolling, 5) == pytest.approx((50 - 42) / 2.0)
    assert past_miss(rolling, 3) == 0.0
    predictions[0, 1, 4] = np.nan  # a family that four points do not suffice for
    assert past_miss(rolling, 5) == pytest.approx((50 - 44) / 2.0)


def test_weights_prefer_the_family_that_extrapolated_better():
    x = np.array([2.0, 4, 8, 15, 25, 40, 60, 80, 100])
    y = 70 - 60 * np.exp(-0.02 * x)
    rolling = roll(x, y, families=[FAMILIES[name] for name in ("exp3", "exponential")])
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


def test_data_needed_is_where_the_probability_is_reached(curves):
    made = forecast(*curves["tridet"])
    even, sure = (data_needed(made, 69.0, p) for p in (0.5, 0.9))
    assert even is not None and made.probability_at_least(even, 69.0)[0] == pytest.approx(0.5, abs=0.02)
    assert sure is None or sure > even
    assert data_needed(made, 99.0, 0.9) is None
    falling = forecast(*(side[:6] for side in ([10, 20, 40, 60, 80, 100], [60, 55, 50, 45, 40, 35])))
    assert falling.answered_up_to is None and data_needed(falling, 36.0, 0.5) is None


def test_too_far_too_few_and_falling_are_refused(curves):
    x, y = curves["tadtr"]
    early = forecast(x[:6], y[:6])
    assert "no back-test" in early.refusal(101)
    assert "--direction down" in forecast(x[:8], y[7::-1]).refusal(20)
    assert "does not change" in forecast(x[:8], np.full(8, 30.0)).refusal(20)
    with pytest.raises(InputError, match="3 percentages"):
        forecast([10, 20, 40], [1, 2, 3])
    assert "mAP wide" in forecast([1, 2, 3, 4], [1, 40, 2, 70]).refusal(20)


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


def test_units_turn_there_and_back():
    units = Units("count", "fraction", "down").with_largest(2000.0)
    assert units.percent(500.0) == 25.0 and units.outer_x(25.0) == 500.0
    assert units.inner(0.3) == pytest.approx(70.0) and units.outer(70.0) == pytest.approx(0.3)
    assert units.span(60.0, 70.0) == pytest.approx([0.3, 0.4]) and units.at(25.0) == "500 examples"


def test_the_documented_table_is_the_measured_one():
    from benchmarks.forecast_measure import table

    report = json.loads((ROOT / "results" / "reference" / "forecasts" / "lcdb.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "curves.md").read_text(encoding="utf-8")
    assert text.split("<!-- coverage -->\n")[1].split("<!-- /coverage -->")[0] == table(report)
    shares = {share: row["80"]["covered"] for share, row in report["held_out"]["visible"].items()}
    assert json.loads(PATH.read_text(encoding="utf-8"))["held_out"]["coverage_80"] == shares


def test_what_a_forecast_falls_short_of_is_named():
    from benchmarks.forecast_measure import shortfalls

    level = {"covered": 0.8, "interval_95": [0.77, 0.83], "above": 0.1, "below": 0.1}
    wide = {"covered": 0.95, "interval_95": [0.93, 0.97], "above": 0.025, "below": 0.025}
    bin_ = {"gain": 1.0, "from": 0.2, "curves": 100, "predicted": 0.25, "observed": 0.3}
    good = {
        "forecasts": 500,
        "80": level,
        "95": wide,
        "rmse": {"forecast": 5.0, "mmf": 5.0},
        "probability_bins": [bin_],
    }
    assert shortfalls({"13": good}) == []
    for change, words in (
        ({"80": level | {"covered": 0.9, "interval_95": [0.83, 0.95]}}, "80 % interval at 13 %: held 90.0 %"),
        ({"95": wide | {"above": 0.004}}, "95 % interval at 13 %, misses above: 2 of 500 for 2.5 %"),
        ({"rmse": {"forecast": 5.1, "mmf": 5.0}}, "RMSE at 13 %: 5.10, another's 5.00"),
        ({"probability_bins": [bin_ | {"observed": 0.36}]}, "said 25 %, was 36 % (100 curves)"),
    ):
        (line,) = shortfalls({"13": good | change})
        assert words in line


def test_the_published_curves_are_measured_and_not_calibrated_on(curves):
    """The report's row of a published curve comes out again: forecasts from each origin, at every later point."""
    report = json.loads((ROOT / "results" / "reference" / "forecasts" / "lcdb.json").read_text(encoding="utf-8"))
    for name in ("actionformer", "temporalmaxer", "tridet"):
        row = report["published_curves"][name]
        assert forecast(*curves[name]).own_coverage == (row["covered"], row["forecasts"])
