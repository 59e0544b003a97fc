"""What a run needs before its first step: data checked against the specification, units, model, evaluator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tal_repro.data import DataSet, FeatureStore, Video, load_dataset, open_features
from tal_repro.data.layouts import find_layouts
from tal_repro.data.windows import Window, training_windows
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.evaluation import Evaluator
from tal_repro.engines.native.limits import check_features, check_labels, check_units
from tal_repro.engines.native.samples import SliceUnits, Units, VideoFeatures, VideoUnits
from tal_repro.errors import InputError
from tal_repro.models import build, model_entry
from tal_repro.models.interface import Localizer
from tal_repro.models.pyramid import PyramidDetector
from tal_repro.models.recipes import Recipe, TadtrRecipe, with_overrides
from tal_repro.spec import RunSpec

# Up to this width a CPU spends more on starting kernels than on padding, so videos of a batch go through together.
NARROW = 128


@dataclass(frozen=True, eq=False)
class Data:
    """A run's data set, its features as the model sees them, and the recipe they are used under."""

    dataset: DataSet
    features: VideoFeatures
    recipe: Recipe
    model: str


def recipe_of(spec: RunSpec) -> Recipe:
    """Return the recipe of a specification; its fields replace the model's own."""
    return with_overrides(model_entry(spec.model).recipe, dict(spec.recipe))


def resolved_recipe(model: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the full recipe of a native RunSpec: every field but the loader workers, which change nothing here."""
    recipe = dataclasses.asdict(with_overrides(model_entry(model).recipe, overrides))
    recipe.pop("loader_workers", None)
    return recipe


def open_data(run: RunContext) -> Data:
    """Open the data set of a run; InputError where it is not the declared one or does not fit the recipe."""
    if run.data_dir is None:
        raise InputError("training needs a data set", None, "name one with --data DIR")
    entry, recipe = model_entry(run.spec.model), recipe_of(run.spec)
    layouts = [layout.name for layout in find_layouts(run.data_dir)]
    wanted = "tadtr" if isinstance(recipe, TadtrRecipe) else "actionformer"
    layout: Any = wanted if wanted in layouts else "auto"
    dataset = load_dataset(run.data_dir, layout)
    _check_declared(dataset, run.spec)
    check_labels(dataset, recipe.num_classes)
    check_features([*dataset.train, *dataset.test])
    store = open_features(run.data_dir, layout)
    _check_width(store, recipe)
    return Data(dataset, VideoFeatures(store, entry.feature_stride_frames, run.device), recipe, run.spec.model)


def _check_declared(dataset: DataSet, spec: RunSpec) -> None:
    declared = spec.data.annotation_hash if spec.data is not None else ""
    if declared and declared != dataset.annotation_hash:
        raise InputError(
            f"the annotations are not those of the run ({dataset.annotation_hash[:12]}, declared {declared[:12]})",
            dataset.root,
            "use the data set that the run was planned with",
        )


def _check_width(store: FeatureStore, recipe: Recipe) -> None:
    if store.dim != recipe.feature_dim:
        raise InputError(
            f"features have {store.dim} channels, but the recipe has feature_dim = {recipe.feature_dim}",
            store.source,
            f"set feature_dim = {store.dim}",
        )


def open_units(data: Data, subset_ids: Sequence[str]) -> tuple[Units, int]:
    """Return the training units of a run (all, where no subset is named) and how many the whole set has."""
    if isinstance(data.recipe, TadtrRecipe):
        windows = {window.slice_id: window for window in training_windows(data.dataset)}
        chosen_windows = _choose(windows, subset_ids, data.dataset, "slice")
        return SliceUnits(chosen_windows, data.features, data.recipe.slice_length), len(windows)
    all_videos = {video.id: video for video in data.dataset.train}
    chosen: list[Video] = _choose(all_videos, subset_ids, data.dataset, "video")
    # TriDet's window test has no margin (its authors fixed the half-clip shift differently)
    return VideoUnits(chosen, data.features, data.recipe, margin=data.model != "tridet"), len(all_videos)


def _choose(units: dict[str, Any], ids: Sequence[str], dataset: DataSet, unit: str) -> list[Any]:
    """Return the units named by `ids` in order of their ids; a video id stands for its slices."""
    if not ids:
        return [units[key] for key in sorted(units)]
    by_video: dict[str, list[str]] = {}
    for key, value in units.items():
        if isinstance(value, Window):
            by_video.setdefault(value.video_id, []).append(key)
    wanted: list[str] = []
    for name in ids:
        found = [name] if name in units else by_video.get(name)
        if found is None:
            raise InputError(
                f"training {unit} {name!r} is not in the data set",
                dataset.root,
                "draw the subset from the same data set: tal-repro subset",
            )
        wanted += found
    return [units[key] for key in sorted(set(wanted))]


def open_training(run: RunContext) -> tuple[Localizer, Units, int, Evaluator]:
    """Return a run's model, its units, its optimizer steps per epoch and its evaluator; InputError names a refusal."""
    torch.set_num_threads(run.spec.threads)
    data = open_data(run)
    units, total = open_units(data, run.subset_ids)
    recipe = data.recipe
    check_units(len(units.ids), recipe.batch_size, model_entry(data.model).unit)
    steps = (total if recipe.budget == "steps" else len(units.ids)) // recipe.batch_size
    torch.manual_seed(run.spec.seed)
    model = build(run.spec.model, **dict(run.spec.recipe))
    model.to(run.device)  # type: ignore[attr-defined]
    if isinstance(model, PyramidDetector) and (run.device != "cpu" or model.recipe.embed_dim <= NARROW):
        model.padding = "batch"
    return model, units, steps, Evaluator(data.dataset, data.features, model, run.spec.precision)
