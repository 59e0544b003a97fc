"""Fits against the study's printed numbers, plain formulas, and closed-form cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tal_repro.curves import FAMILIES, fit
from tal_repro.curves.stacking import STACKED
from tal_repro.errors import InputError

# The printed formulas, written as anyone would: a fit must be reproducible from its parameters alone.
FORMULAS = {
    "exponential": lambda x, p: 2 ** (p["a"] - p["b"] * x ** (-1 / p["c"])),
    "exponential-linear": lambda x, p: 2 ** (p["a"] - p["b"] * x ** (-1 / p["c"])),
    "5pl": lambda x, p: p["A"] + (p["low"] - p["A"]) / (1 + (x / p["c"]) ** p["b"]) ** p["g"],
    "5pl-bounded": lambda x, p: p["A"] + (p["low"] - p["A"]) / (1 + (x / p["c"]) ** p["b"]) ** p["g"],
    "4pl": lambda x, p: p["A"] + (p["low"] - p["A"]) / (1 + (x / p["c"]) ** p["b"]),
    "pow4": lambda x, p: p["c"] - p["a"] * (x + p["d"]) ** -p["b"],
    "exp3": lambda x, p: p["c"] - p["a"] * np.exp(-p["b"] * x),
    "exp4": lambda x, p: p["c"] - np.exp(p["b"] - p["a"] * x ** p["d"]),
    "vap3": lambda x, p: np.exp(p["a"] + p["b"] / x + p["c"] * np.log(x)),
    "logpower3": lambda x, p: p["a"] / (1 + (x / np.exp(p["b"])) ** p["c"]),
}


def test_every_family_is_used_by_the_forecast_or_by_the_study():
    assert set(FAMILIES) == {*STACKED, "exponential", "5pl"}


def test_exponential_on_the_first_six_points_is_the_printed_one(curves):
    x, y = curves["tadtr"]
    found = fit("exponential", x[:6], y[:6])
    assert [round(found.params[name], 5) for name in "abc"] == [5.67086, 3.54621, 1.21411]
    assert found.identified
    assert found.predict(100)[0] == pytest.approx(48.2, abs=0.05)


def test_5pl_on_the_first_six_points_is_not_identified(curves):
    x, y = curves["tadtr"]
    found = fit("5pl", x[:6], y[:6])
    assert found.params["A"] == pytest.approx(76.87, abs=0.01)
    assert found.params["low"] == pytest.approx(4.378, abs=5e-4)
    assert found.params["c"] == pytest.approx(1.2845, abs=5e-5)
    assert found.params["b"] * found.params["g"] == pytest.approx(0.268, abs=5e-4)
    assert not found.identified and any("rank" in reason for reason in found.unidentified)
    assert found.covariance is None
    assert found.held_out.text == "not available (n = 6, k = 5)"
    assert found.aicc is None and "not available" in found.aicc_text


@pytest.mark.parametrize(("model", "r2"), [("tridet", 0.99993), ("actionformer", 0.99926), ("temporalmaxer", 0.99987)])
def test_5pl_r2_on_all_points(curves, model, r2):
    assert fit("5pl", *curves[model]).r2 == pytest.approx(r2, abs=1e-5)


def test_extrapolations_to_three_times_the_data(curves):
    assert fit("5pl", *curves["tridet"]).predict(300)[0] == pytest.approx(74.6, abs=0.05)
    assert fit("5pl", *curves["actionformer"]).predict(300)[0] == pytest.approx(68.6, abs=0.05)
    bounded = fit("5pl-bounded", *curves["actionformer"])
    assert bounded.r2 == pytest.approx(0.9986, abs=5e-5)
    assert bounded.predict(300)[0] == pytest.approx(77.4, abs=0.05)


@pytest.mark.parametrize("model", ["tadtr", "actionformer", "tridet", "temporalmaxer"])
@pytest.mark.parametrize("name", FORMULAS)
def test_parameters_reproduce_the_curve_through_the_printed_formula(curves, name, model):
    x, y = curves[model]
    found = fit(name, x, y)
    with np.errstate(over="ignore"):
        plain = FORMULAS[name](np.asarray(x), found.params)
    if not np.isfinite(plain).all():
        pytest.fail(f"{name}: the plain formula overflows at {found.params}")
    np.testing.assert_allclose(plain, found.predict(x), rtol=1e-5, atol=1e-5)


TRUTH = {
    "exponential": {"a": 6.2, "b": 20.0, "c": 0.9},
    "exponential-linear": {"a": 6.2, "b": 20.0, "c": 0.9},
    "5pl": {"A": 75.0, "low": 3.0, "c": 15.0, "b": 2.5, "g": 0.5},
    "4pl": {"A": 75.0, "low": 3.0, "c": 15.0, "b": 1.4},
    "pow4": {"a": 200.0, "b": 0.8, "c": 75.0, "d": 4.0},
    "exp3": {"a": 70.0, "b": 0.04, "c": 68.0},
    "exp4": {"a": 0.3, "b": 4.3, "c": 70.0, "d": 0.5},
    "vap3": {"a": 4.0, "b": -3.0, "c": 0.05},
    "logpower3": {"a": 60.0, "b": 2.5, "c": -1.3},
}


@pytest.mark.parametrize("name", TRUTH)
def test_exact_points_give_back_the_parameters(name):
    x = np.array([1, 2, 4, 7, 12, 20, 33, 50, 70, 100.0])
    found = fit(name, x, FORMULAS[name](x, TRUTH[name]))
    assert found.r2 > 1 - 1e-9
    for parameter, value in TRUTH[name].items():
        assert found.params[parameter] == pytest.approx(value, rel=2e-3, abs=1e-6), parameter


@pytest.mark.parametrize("name", ["5pl", "4pl", "exp3"])
def test_fewer_than_k_plus_one_points_are_refused(name):
    k = FAMILIES[name].k
    with pytest.raises(InputError, match=f"needs at least {k + 1} points"):
        fit(name, np.arange(1, k + 1), np.arange(1, k + 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3, 4], [1, 2, 3]), "4 percentages but 3 values"),
        (([1, 2, 3, float("nan")], [1, 2, 3, 4]), "not finite"),
        (([0, 2, 3, 4], [1, 2, 3, 4]), "not positive"),
        (([1, 2, 3, 4], [0, 2, 3, 4]), "log2"),
    ],
)
def test_unusable_points_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        fit("exponential", *arguments)


def test_unknown_family_lists_the_known_ones():
    with pytest.raises(InputError, match="5pl-bounded"):
        fit("6pl", [1, 2, 3, 4], [1, 2, 3, 4])


def test_held_out_error_is_the_error_of_refits(curves):
    x, y = curves["tadtr"]
    expected = [fit("exp3", x[:j], y[:j]).predict(x[j])[0] - y[j] for j in range(4, len(x))]
    found = fit("exp3", x, y).held_out
    assert found.predictions == len(expected)
    assert found.rmse == pytest.approx(math.sqrt(np.mean(np.square(expected))), rel=1e-5)


def test_options_hold_what_repeats_the_search(curves):
    options = fit("5pl", *curves["tridet"]).options
    assert options["start_grid"] and options["box"] and options["x0"] == 10.0 and options["polished_starts"] > 0


def test_many_points_are_searched_in_bins_and_polished_in_full():
    random = np.random.default_rng(0)
    x = np.sort(random.uniform(1, 100, 5000))
    y = 65 - 60 * np.exp(-x / 25) + random.normal(0, 0.5, x.size)
    found = fit("exp3", x, y)
    assert found.identified and found.dof == 4997
    # the optimum of all points: the residuals are orthogonal to every derivative of the curve
    b = found.params["b"]
    for column in (np.ones_like(x), np.exp(-b * x), x * np.exp(-b * x)):
        assert abs(found.residuals @ column) < 1e-5 * np.linalg.norm(column) * np.sqrt(found.rss)
    assert "joined" in found.held_out.text and found.held_out.rmse < 1.0


@pytest.mark.parametrize("ulps", [-4, -3, 0, 1, 3])
def test_a_flat_valley_is_followed_to_its_end(ulps: int) -> None:
    """TadTR's first six points fix b g only; what is printed must not hang on a processor's rounding."""
    mean_ap = np.array([4.378, 12.358, 19.840, 22.214, 27.146, 35.020]) * (1 + ulps * np.finfo(float).eps)
    found = fit("5pl", [1, 2, 3, 4, 5, 10], mean_ap)
    assert found.converged
    assert found.params["A"] == pytest.approx(76.865, abs=3e-4)
    assert found.params["low"] == pytest.approx(4.378, abs=3e-6)
