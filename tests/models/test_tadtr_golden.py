"""TadTR against numbers that the authors' code gave at a small configuration (tests/golden/tadtr.npz)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.reference import golden, tadtr_golden
from benchmarks.reference.settings import settings
from benchmarks.reference.tadtr import NativeTadtr
from benchmarks.reference.training import gradients, train
from tal_repro.models import model_entry

FILE = Path(__file__).parents[1] / "golden" / "tadtr.npz"
LIMIT = 1e-5


@pytest.fixture(scope="module", params=["on", "off"])
def case(request: pytest.FixtureRequest) -> Iterator[tuple[NativeTadtr, dict[str, Any]]]:
    side = NativeTadtr(tadtr_golden.recipe(request.param == "on"))
    side.use_named_weights(golden.SEED)
    prefix = request.param + "/"
    with np.load(FILE, allow_pickle=False) as file:
        yield side, golden.unpack({k.removeprefix(prefix): file[k] for k in file if k.startswith(prefix)})


def assert_near(ours: Any, theirs: Any, where: str) -> None:
    assert ours.shape == theirs.shape, where
    distance = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert distance <= LIMIT, f"{where}: {distance:.2e} of the largest value, {LIMIT:.0e} allowed"


def test_goldens_name_the_pinned_commit(case: Any) -> None:
    side, stored = case
    with np.load(FILE, allow_pickle=False) as file:
        assert str(file["origin/commit"]) == model_entry("tadtr").commit
    assert sum(p.numel() for p in side.model.parameters()) == stored["parameters"]


def test_raw_outputs_under_a_mask(case: Any) -> None:
    side, stored = case
    with torch.no_grad():
        ours = tadtr_golden.output_arrays(side.outputs)
    assert set(ours) == {key for key in stored if key.startswith("outputs/")}
    for key, value in ours.items():
        assert_near(value, stored[key], key)


def test_losses(case: Any) -> None:
    side, stored = case
    for kind in tadtr_golden.KINDS:
        with torch.no_grad():
            losses = side.losses(*tadtr_golden.batch(kind))
        assert {f"losses/{kind}/{key}" for key in losses} == {k for k in stored if k.startswith(f"losses/{kind}/")}
        for key, value in losses.items():
            assert_near(value.numpy(), stored[f"losses/{kind}/{key}"], f"{kind} {key}")


def test_detections_are_the_same_list(case: Any) -> None:
    side, stored = case
    outputs = tadtr_golden.raw_outputs(side.recipe.actionness)
    for sample, found in enumerate(side.model.decode(outputs, outputs.steps)):
        assert np.array_equal(found.labels.numpy(), stored[f"detections/{sample}/labels"])
        assert np.array_equal(found.scores.numpy(), stored[f"detections/{sample}/scores"])
        # float64 here, so that upstream's float32 product with the duration comes out by rounding once
        assert np.array_equal(found.segments.float().numpy(), stored[f"detections/{sample}/segments"])


def test_gradients_and_twenty_steps(case: Any) -> None:
    side, stored = case
    side = NativeTadtr(side.recipe)
    side.use_named_weights(golden.SEED)
    side.model.double()
    videos, targets = golden.cast(tadtr_golden.batch("many"), True)
    found: dict[str, Any] = {"gradients": gradients(side.model, lambda: side.losses(videos, targets)["total"])}
    batches = [golden.cast(tadtr_golden.batch("many", pick), True) for pick in range(tadtr_golden.STEPS)]
    found |= train(
        side.model,
        lambda v, t: side.losses(v, t)["total"],
        batches,
        side.recipe,
        lambda key: True,
        settings("tadtr").rate_factor,
    )
    ours = golden.summaries(found)
    assert set(ours) == {key for key in stored if key.split("/")[0] in golden.PARTS}
    for key, value in ours.items():
        assert golden.summary_distance(value, stored[key]) <= 1e-7, key
