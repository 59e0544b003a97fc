"""A description that never reads a field of its recipe is seen; one that reads all at once is not suspected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tal_repro.run.recipe_reads import unread, watched


@dataclass(frozen=True)
class Recipe:
    feature_dim: int = 16
    batch_size: int = 1
    epochs: int = 2
    rate: float = 0.1


@pytest.mark.parametrize(
    ("read", "left"),
    [
        (lambda recipe: recipe.epochs, ["rate"]),
        (lambda recipe: (recipe.epochs, recipe.rate), []),
        (lambda recipe: None, ["epochs", "rate"]),
        (dataclasses.asdict, []),
        (vars, []),
    ],
)
def test_fields_that_are_never_read_are_named(read: Callable[[Any], Any], left: list[str]) -> None:
    recipe, names = watched(Recipe(rate=0.2))
    read(recipe)
    assert isinstance(recipe, Recipe) and unread(recipe, names) == left


def test_the_values_are_those_given() -> None:
    recipe, _ = watched(Recipe(rate=0.2))
    assert dataclasses.asdict(recipe) == dataclasses.asdict(Recipe(rate=0.2))
    assert dataclasses.replace(recipe, epochs=3).epochs == 3
