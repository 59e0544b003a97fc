"""What a run needs before its first step: data checked against the specification, units, model, evaluator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tal_repro.data import DataSet, FeatureStore, load_dataset, open_features
from tal_repro.data.geometry import require_geometry
from tal_repro.data.layouts import find_layouts
from tal_repro.data.windows import Slicing, Window, training_windows
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.evaluation import Evaluator
from tal_repro.engines.native.limits import check_features, check_labels, check_units, check_values
from tal_repro.engines.native.samples import (
    ClipUnits,
    SliceUnits,
    Units,
    VideoFeatures,
    crop_margin,
    slice_clip,
    whole_video,
)
from tal_repro.errors import InputError
from tal_repro.models import build, model_entry
from tal_repro.models.interface import Localizer
from tal_repro.models.native_recipe import NativeRecipe
from tal_repro.models.registry import resolved
from tal_repro.spec import RunSpec


@dataclass(frozen=True, eq=False)
class Data:
    """A run's data set, its features as the model sees them, and the recipe they are used under."""

    dataset: DataSet
    features: VideoFeatures
    recipe: NativeRecipe
    model: str


def recipe_of(spec: RunSpec) -> NativeRecipe:
    """Return the recipe of a specification; its fields replace the model's own."""
    recipe: NativeRecipe = resolved(spec.model, spec.recipe)
    return recipe


def open_data(run: RunContext) -> Data:
    """Open the data set of a run; InputError where it is not the declared one or does not fit the recipe."""
    if run.data_dir is None:
        raise InputError("training needs a data set", None, "name one with --data DIR")
    entry, recipe = model_entry(run.spec.model), recipe_of(run.spec)
    layouts = [layout.name for layout in find_layouts(run.data_dir)]
    layout: Any = entry.layout if entry.layout in layouts else "auto"
    dataset = load_dataset(run.data_dir, layout)
    _check_declared(dataset, run.spec)
    check_labels(dataset, recipe.num_classes)
    check_features([*dataset.train, *dataset.detected])
    store = open_features(run.data_dir, layout)
    _check_width(store, recipe)
    require_geometry(dataset, store, run.subset_ids)
    stride_frames = _defined_stride(dataset, recipe) if dataset.defined else entry.feature_stride_frames
    return Data(dataset, VideoFeatures(store, stride_frames, run.device), recipe, run.spec.model)


def _defined_stride(dataset: DataSet, recipe: NativeRecipe) -> float:
    """Return the frames between two steps that a model reads of a set of one's own: slices may take theirs apart."""
    video = next(iter(dataset.videos.values()))  # a definition says one stride for all
    return video.slice_stride_frames if recipe.samples == "slices" else video.feature_stride_frames


def _check_declared(dataset: DataSet, spec: RunSpec) -> None:
    declared = spec.data.annotation_hash if spec.data is not None else ""
    if declared and declared != dataset.annotation_hash:
        raise InputError(
            f"the annotations are not those of the run ({dataset.annotation_hash[:12]}, declared {declared[:12]})",
            dataset.root,
            "use the data set that the run was planned with",
        )


def _check_width(store: FeatureStore, recipe: NativeRecipe) -> None:
    if store.dim != recipe.feature_dim:
        raise InputError(
            f"features have {store.dim} channels, but the recipe has feature_dim = {recipe.feature_dim}",
            store.source,
            f"set feature_dim = {store.dim}",
        )


def open_units(data: Data, unit: str, subset_ids: Sequence[str]) -> tuple[Units, int]:
    """Return the training units of a run (all, where no subset is named) and how many the whole set has.

    `unit` is what a subset of the run counts: a model of clips trains on whole videos, or on slices as clips when those
    are counted; a model of slices always on slices, all those of a video where videos are counted.
    """
    recipe: Any = data.recipe
    dataset, features = data.dataset, data.features
    if recipe.samples == "clips" and unit == "video":
        videos = {video.id: video for video in dataset.train}
        clips = [whole_video(video, features) for video in _choose(videos, subset_ids, dataset, unit)]
        return ClipUnits(clips, features, recipe, crop_margin(data.model, dataset.train)), len(videos)
    windows = {window.slice_id: window for window in training_windows(dataset, Slicing.of(vars(recipe)))}
    chosen: list[Window] = _choose(windows, subset_ids, dataset, unit)
    if recipe.samples == "slices":
        return SliceUnits(chosen, features, recipe.slice_length), len(windows)
    clips = [slice_clip(window, dataset.videos[window.video_id], features) for window in chosen]
    return ClipUnits(clips, features, recipe, crop_margin(data.model, dataset.train)), len(windows)


def _choose(units: dict[str, Any], ids: Sequence[str], dataset: DataSet, unit: str) -> list[Any]:
    """Return the units named by `ids` in order of their ids; a video id stands for its slices."""
    if not ids:
        return [units[key] for key in sorted(units)]
    by_video: dict[str, list[str]] = {}
    for key, value in units.items():
        if isinstance(value, Window):
            by_video.setdefault(value.video_id, []).append(key)
    keys: list[str] = []
    for name in ids:
        names = [name] if name in units else by_video.get(name)
        if names is None:
            raise InputError(
                f"training {unit} {name!r} is not in the data set",
                dataset.root,
                "draw the subset from the same data set: tal-repro subset",
            )
        keys += names
    return [units[key] for key in sorted(set(keys))]


def open_training(run: RunContext) -> tuple[Localizer, Units, int, Evaluator]:
    """Return a run's model, its units, its optimizer steps per epoch and its evaluator; InputError names a refusal."""
    torch.set_num_threads(run.spec.threads)
    if run.device.startswith("cuda"):
        _choose_deterministic_kernels()
    data = open_data(run)
    own_unit = model_entry(data.model).unit
    unit = run.spec.subset.unit if run.spec.subset is not None else own_unit
    units, total = open_units(data, unit, run.subset_ids)
    check_values(data.features.store, [*units.video_ids, *(video.id for video in data.dataset.detected)])
    recipe = data.recipe
    check_units(len(units.ids), recipe.batch_size, own_unit if own_unit == "slice" else unit)
    steps = (total if recipe.budget == "steps" else len(units.ids)) // recipe.batch_size
    torch.manual_seed(run.spec.seed)
    model = build(run.spec.model, **dict(run.spec.recipe))
    model.to(run.device)  # type: ignore[attr-defined]
    model.prepare(run.device)
    return model, units, steps, Evaluator(data.dataset, data.features, model, run.spec.precision)


def _choose_deterministic_kernels() -> None:
    """Ask a GPU for the same bits each time, as far as its kernels go; torch warns where they do not."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # else torch fills every new tensor, a kernel each; nothing here reads one before it is written
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
