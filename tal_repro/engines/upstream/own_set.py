"""A defined data set for the authors' code: written, in the run's own folder, as the layout that their code reads.

The three pyramid models are told its stride, clip, width and classes by their YAML. TadTR's code is told no width and
no number of classes (2048 and 20 stand in it), and reads the start of a slice out of its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.annotations import Source
from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import ANNOTATION_FILE, FEATURE_FOLDER, SLICE_MARK, Layout, find_layout
from tal_repro.engines.native.limits import check_features, check_labels
from tal_repro.errors import InputError
from tal_repro.machine.host import MIB
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.data import DataSet, FeatureStore, Video
    from tal_repro.engines.adapter import RunContext

FOLDER = "own_set"  # in a run's working folder
NATIVE = "train it by the native engine: engine = native"
FLOAT32_BYTES = 4


def source_of(data_dir: Path, model: str) -> Layout:
    """Return the layout that a model's runs read; InputError for a defined set and a model beyond the four."""
    entry = model_entry(model)
    source = find_layout(data_dir, entry.layout)
    if source.defined and entry.adapter:
        what = f"{entry.title}'s own code is run on THUMOS14's two layouts alone, this is a defined data set"
        raise InputError(what, data_dir, "use actionformer, tridet or temporalmaxer, or a model with a native engine")
    return source


def lay_out(layout: Layout, run: RunContext, recipe: Any, asked: Iterable[str], folder: Path) -> Layout:
    """Return the layout that the authors' scripts read: of a defined set one that is written to `folder`, else itself.

    Every video is annotated there; features lie there of the videos of `asked` (none named: of all) and of the test.
    """
    if not layout.defined:
        return layout
    from tal_repro.data import load_dataset, open_features

    dataset, store = load_dataset(layout.root), open_features(layout.root)
    _check(run.spec.model, dataset, store, recipe)
    chosen = {name.partition(SLICE_MARK)[0] for name in asked}
    trained = [video for video in dataset.train if not chosen or video.id in chosen]
    check_features([*trained, *dataset.detected])
    made = _written(layout, run.spec.model, folder)
    made.feature_folder.mkdir(parents=True)
    from tal_repro.data.authors_files import write_annotations

    write_annotations(made, dataset, [*dataset.train, *dataset.detected])
    _write_features(layout, made, [*trained, *dataset.detected], store)
    return made


def _written(layout: Layout, model: str, folder: Path) -> Layout:
    """Return the written set as a layout; the pyramid models' is a defined set again, with its stride and clip."""
    if model == "tadtr":
        return Layout("tadtr", folder, folder)
    name: LayoutName = "actionformer"
    definition = dataclasses.replace(
        layout.definition,
        path=folder / "data.toml",
        annotations=Source(folder / ANNOTATION_FILE[name]),
        train=("validation",),
        test=("test",),
        features=folder / FEATURE_FOLDER[name],
        file_type="npy",
        key="",
        axes="TC",
        ending=None,
        dtype="",
        lengths=None,
    )
    return Layout(name, folder, folder, definition)


def _check(model: str, dataset: DataSet, store: FeatureStore, recipe: Any) -> None:
    """Raise InputError where the recipe is of another set, or the model's own code would be misled."""
    check_labels(dataset, recipe.num_classes)
    if store.dim != recipe.feature_dim:
        what = f"features of {store.dim} channels, but the recipe has feature_dim = {recipe.feature_dim}"
        raise InputError(what, dataset.root, f"set feature_dim = {store.dim}")
    if model == "tadtr":
        _check_ids(dataset)
    elif unseen := _unseen_classes(dataset):
        what = f"no annotation of class {unseen[0]!r}: the authors' code counts the classes that are annotated"
        raise InputError(what, dataset.root, f"leave it out of the definition's classes, or {NATIVE}")


def _unseen_classes(dataset: DataSet) -> list[str]:
    seen = {int(label) for video in [*dataset.train, *dataset.detected] for label in video.labels}
    return [name for label, name in enumerate(dataset.classes) if label not in seen]


def _check_ids(dataset: DataSet) -> None:
    """Raise InputError unless each id has two underscores: TadTR's evaluation takes a name's fifth part for a start."""
    wrong = [video.id for video in dataset.detected if video.id.count("_") != 2]
    if wrong:
        what = f"TadTR's own code needs ids of three parts (video_test_0000001), the first other: {wrong[0]!r}"
        raise InputError(what, dataset.root, f"rename the videos, or {NATIVE}")


def _write_features(source: Layout, made: Layout, videos: Iterable[Video], store: FeatureStore) -> None:
    """Link the files that the authors' loader reads as they are; write the others as float32 [T, C]."""
    from tal_repro.data.authors_files import write_features
    from tal_repro.data.workplace import require_room

    videos, definition = list(videos), source.definition
    linked = made.name == "actionformer" and (definition.file_type, definition.axes) == ("npy", "TC")
    size = 0 if linked else sum(video.feature_length for video in videos) * store.dim * FLOAT32_BYTES
    require_room(made.folder, size, "free space on this disk: the features are copied for the authors' code")
    for video in videos:
        if linked:
            made.feature_file(video.id).symlink_to(definition.feature_file(video.id).resolve())
        else:
            write_features(made, video.id, store.read(video.id))
    how = "linked" if linked else f"copied, {size / MIB:,.0f} MiB"
    print(f"# {definition.name} laid out for the authors' code: features of {len(videos)} videos {how}", flush=True)
