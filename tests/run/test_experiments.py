"""What experiments hand to what they measure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tal_repro.run.experiments import _authors_limit
from tal_repro.study import load_study

SHORT = {"levels": 4, "regression_ranges": [[0, 4], [4, 8], [8, 16], [16, 10000]], "max_seq_len": 64}


@pytest.mark.parametrize(
    ("model", "changed", "limit"),
    [
        ("actionformer", {}, 576),
        ("actionformer", SHORT, 144),  # its attention cuts each of four levels into windows of 18 steps
        ("tridet", SHORT, 64),
        ("tadtr", {}, None),
    ],
)
def test_macs_of_the_authors_form_are_counted_at_a_length_that_it_takes(
    model: str, changed: dict[str, Any], limit: int | None
) -> None:
    spec = next(s for s in load_study("paper").runs("core") if (s.experiment, s.model) == ("macs", model))
    assert _authors_limit(dataclasses.replace(spec, recipe={**spec.recipe, **changed})) == limit
