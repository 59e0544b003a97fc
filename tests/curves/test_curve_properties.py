"""What must hold for any points: finite, silent, indifferent to the order and to the unit of percentages."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tal_repro.curves import FAMILIES, fit, forecast
from tal_repro.errors import InputError

SETTINGS = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
GRID = np.array([10.0, 20, 30, 40, 60, 80, 100])


@st.composite
def any_points(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Arbitrary finite points, ugly ones included: constant, falling, repeated, huge spans."""
    count = draw(st.integers(6, 9))
    x = draw(st.lists(st.floats(1e-3, 1e4), min_size=count, max_size=count))
    y = draw(st.lists(st.one_of(st.floats(0.01, 100), st.just(50.0)), min_size=count, max_size=count))
    return np.array(x), np.array(y)


@st.composite
def rising_curves(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Saturating curves with noise, as trainings give them."""
    top, rate = draw(st.floats(30, 80)), draw(st.floats(0.02, 0.1))
    noise = np.random.default_rng(draw(st.integers(0, 10**6))).normal(0, 0.5, len(GRID))
    return GRID, np.clip(top * (1 - np.exp(-rate * GRID)) + noise, 0.1, 100)


@pytest.mark.parametrize("name", FAMILIES)
@SETTINGS
@given(points=any_points())
def test_any_points_give_a_finite_silent_fit_or_a_clear_refusal(name, points):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = fit(name, *points)
        except InputError:
            return
        assert np.isfinite(list(found.params.values())).all()
        assert np.isfinite(found.predict(np.geomspace(1e-4, 1e6, 50))).all()
        assert np.isfinite(found.r2)
        found.to_dict()
        between = found.interval([50.0])
        assert between is None or not np.isnan(between).any()


@pytest.mark.parametrize("name", FAMILIES)
@SETTINGS
@given(points=rising_curves(), order=st.permutations(range(len(GRID))))
def test_order_of_the_points_does_not_matter(name, points, order):
    x, y = points
    a, b = fit(name, x, y), fit(name, x[list(order)], y[list(order)])
    assert a.params == b.params


@pytest.mark.parametrize("name", FAMILIES)
@SETTINGS
@given(points=rising_curves(), unit=st.sampled_from([0.01, 2.0, 4.13, 413.0]))
def test_unit_of_the_percentage_does_not_matter(name, points, unit):
    x, y = points
    a, b = fit(name, x, y), fit(name, x * unit, y)
    np.testing.assert_allclose(b.predict(np.array([15, 300]) * unit), a.predict([15, 300]), rtol=1e-7, atol=1e-7)
    assert b.rss == pytest.approx(a.rss, rel=1e-6, abs=1e-9)


@SETTINGS
@given(points=rising_curves(), order=st.permutations(range(len(GRID))))
def test_forecast_is_finite_ordered_and_indifferent_to_order(points, order):
    x, y = points
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = forecast(x, y)
        low, high = made.interval([100, 300])
        middle = made.predict([100, 300])
    assert np.isfinite([low, middle, high]).all()
    assert (low <= middle).all() and (middle <= high).all()
    again = forecast(x[list(order)], y[list(order)])
    np.testing.assert_array_equal(again.predict([100, 300]), middle)


@SETTINGS
@given(points=any_points())
def test_any_points_can_be_forecast_or_refused(points):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            made = forecast(*points)
        except InputError:
            return
        assert made.refusal(1e9)
        assert np.isfinite(made.predict(points[0])).all()
        assert ((made.predict(points[0]) >= 0) & (made.predict(points[0]) <= 100)).all()
