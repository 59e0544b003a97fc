"""Constants in the models' code that no output at rest shows: start values, tolerances, clamps, noise, rounding."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from benchmarks.reference import golden
from tal_repro.models import build
from tal_repro.models.deformable import DeformableAttention
from tal_repro.models.layers import ScaledResidual
from tal_repro.models.levels import lay_points
from tal_repro.models.pyramid_loss import assign
from tal_repro.models.tadtr import _logit


def test_scaled_residuals_start_at_a_ten_thousandth() -> None:
    assert ScaledResidual(3).scale.tolist() == pytest.approx([1e-4] * 3)


@pytest.mark.parametrize(("longer", "classes"), [(0.0005, [0, 1]), (0.002, [1]), (0.05, [1])])
def test_actions_share_a_point_within_a_thousandth_of_a_step(longer: float, classes: list[int]) -> None:
    segments = torch.tensor([[2.0 - longer, 6.0], [2.0, 6.0]])
    found = assign(lay_points([16], [(0, 100)]), segments, torch.tensor([0, 1]), 2, 1.5)
    assert found.classes[4].nonzero()[:, 0].tolist() == classes


def test_the_inverse_sigmoid_keeps_odds_above_a_hundred_thousandth() -> None:
    found = _logit(torch.tensor([0.0, 1e-4, 0.5, 1.0], dtype=torch.float64))
    assert found.tolist() == pytest.approx([math.log(1e-5), math.log(1e-4 / (1 - 1e-4)), 0.0, -math.log(1e-5)])


def test_input_noise_has_the_recipes_deviation() -> None:
    model: object = build(
        "tridet", **dataclasses.asdict(dataclasses.replace(golden.recipe("tridet"))) | {"input_noise_std": 5e-4}
    )
    model.generator = torch.Generator().manual_seed(0)  # type: ignore[attr-defined]
    x = torch.zeros(100, 1000)
    model._add_noise(x)  # type: ignore[attr-defined]
    assert x.std().item() == pytest.approx(5e-4, rel=0.02)
    assert x.mean().item() == pytest.approx(0, abs=1e-5)


def test_positions_round_as_the_grid_does_at_30000_steps() -> None:
    """A position goes through -1 ... 1 in float32, a grid whose steps near its ends are 1/1100 of a feature step."""
    steps, attention = 30000, DeformableAttention(8, 1, 1)
    reference = torch.linspace(1e-4, 0.2, 200)[None, :, None]
    offset = torch.tensor(0.37)
    found = attention._positions(offset.expand(1, 200, 1, 1), reference, steps).flatten()
    location = reference.flatten() + offset / steps
    grid = 2 * location - 1
    assert found.tolist() == ((grid + 1) * 15000 - 0.5).tolist()
    assert (found != location * steps - 0.5).float().mean() > 0.5  # what is computed without the grid
    exact = reference.flatten().double() * steps + 0.37 - 0.5
    assert 2e-4 < (found - exact).abs().max() < 2e-3
