"""The four detectors: one pyramid detector with three encoders, one set predictor. Recipes in, nn.Modules out.

All: `interface` (what a model is called with and gives), `outputs` (raw ones), `native_recipe` (what the engine asks of
a recipe), `recipes` and `recipe_checks` (the four's hyper-parameters), `registry` (names, sources), `own_recipe` and
folder own/ (models of yours), `inputs` (what is refused), `checkpoint_io` and `upstream_weights` (the authors'
checkpoints).

ActionFormer, TriDet, TemporalMaxer: `pyramid` (the detector: embedding, encoder, heads), `heads`, `layers`, `levels`
(which columns are computed, and the points they are), `pyramid_loss` (which point finds which action).
They differ in the encoder, and in what hangs on the model's name:

* `actionformer`: window attention in the blocks of `block_encoder`;
* `tridet`: convolutions in the blocks of `block_encoder`, a head over bins, class losses weighed by IoU;
* `temporalmaxer`: max-pooling alone; a point regresses to the action of lowest cost (`pyramid_loss`).

TadTR: `tadtr` (the predictor), `tadtr_layers`, `deformable` (attention at a few learned positions), `roi_align` (its
actionness), `weighted_rows` (the gather under both), `tadtr_loss`, `tadtr_weights`, and for speed
on a CPU `linear`.

`build` and `load_upstream_state` import torch when called, so that listing models needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.models import recipes
from tal_repro.models.own_recipe import OwnRecipe
from tal_repro.models.registry import MODELS, model_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tal_repro.models.interface import Localizer

__all__ = ["MODELS", "build", "load_upstream_state", "model_entry"]


def build(name: str, **overrides: Any) -> Localizer:
    """Build the model `name` at its THUMOS14 recipe with fields replaced (`feature_dim=2048, num_classes=20, ...`).

    Raises InputError for an unknown model or hyper-parameter.
    """
    entry = model_entry(name)
    if "native" not in entry.engines:
        raise InputError(f"{name} has no native model", remedy="use --engine upstream")
    recipe = recipes.with_overrides(entry.recipe, overrides)
    if isinstance(recipe, OwnRecipe):
        return recipe.build(name)
    if isinstance(recipe, recipes.TadtrRecipe):
        from tal_repro.models.tadtr import TadTR

        return TadTR(recipe)
    from tal_repro.models.pyramid import PyramidDetector

    return PyramidDetector(name, recipe)


def load_upstream_state(model: Localizer, state: Mapping[str, Any]) -> None:
    """Load an upstream checkpoint's weights (plain, EMA or DataParallel) into `model`, strictly.

    Raises InputError naming a missing, surplus or mis-shaped key.
    """
    from tal_repro.models.upstream_weights import load

    load(model, state)
