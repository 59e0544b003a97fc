"""THUMOS14's definition, which ships with the kit, is one like any: written beside the files, it reads the same set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tal_repro import thumos14
from tal_repro.data import load_dataset, open_features
from tal_repro.data.authors_files import write_features
from tal_repro.data.dataset import LayoutName
from tal_repro.data.definition import kit_layouts, read_definition
from tal_repro.data.definition_text import definition_text
from tal_repro.data.layouts import Layout, find_layout
from tal_repro.data.state import read_state
from tal_repro.data.windows import training_windows
from tal_repro.errors import InputError
from tal_repro.published.load import load_published
from tests.data.made_up_set import define

SPLITS: dict[LayoutName, tuple[str, str]] = {"actionformer": ("Validation", "Test"), "tadtr": ("val", "test")}


def written(root: Path, layout: LayoutName, to: Path) -> Path:
    """Write the kit's definition of a layout below `root` as one of one's own, with the splits that its file names."""
    given = replace(find_layout(root, layout).definition, path=to, annotation_hash="")
    train, test = SPLITS[layout]
    to.write_text(definition_text(replace(given, train=(train,), test=(test,))))
    return to


@pytest.mark.parametrize("layout", SPLITS)
def test_as_a_definition_of_ones_own_it_reads_the_same_set(small: Path, tmp_path: Path, layout: LayoutName) -> None:
    path = written(small.resolve(), layout, tmp_path / "mine.toml")
    own, kit = load_dataset(path), load_dataset(small, layout)
    assert (own.annotation_hash, own.classes, own.synthetic) == (kit.annotation_hash, kit.classes, True)
    assert (own.defined, own.name, kit.name) == (True, "custom-synthetic-thumos14", "synthetic-thumos14")
    for video in kit.videos.values():
        mine = own.videos[video.id]
        for name, value in vars(video).items():
            assert np.array_equal(value, getattr(mine, name)), name
    assert [vars(w)["slice_id"] for w in training_windows(own)] == [vars(w)["slice_id"] for w in training_windows(kit)]
    ours, theirs = open_features(path), open_features(small, layout, packed=False)
    assert (ours.dim, ours.stride_frames) == (theirs.dim, theirs.stride_frames)
    assert set(ours.video_ids) == set(theirs.video_ids)
    first = kit.train[0].id
    assert np.array_equal(ours.read(first), theirs.read(first))


def test_its_facts_are_those_of_the_published_table() -> None:
    rows = list(load_published()["thumos14_classes"].rows())
    assert tuple(row["class"] for row in rows) == thumos14.CLASS_NAMES
    for side, name in (("train", "val"), ("test", "test")):
        assert sum(row[f"{name}_inst"] for row in rows) == thumos14.VIDEOS_AND_ACTIONS[side][1]
    assert set(kit_layouts()) == set(SPLITS)


def test_a_stated_hash_is_of_these_annotations_and_no_others(tmp_path: Path) -> None:
    path = define(tmp_path, "npy", videos=6, channels=8)
    plain, found = path.read_text(), load_dataset(path)
    path.write_text(plain.replace("annotations =", f'annotation_hash = "{found.annotation_hash}"\nannotations =', 1))
    assert load_dataset(path).name == "my-data"
    assert read_definition(path).annotation_hash == found.annotation_hash
    file = tmp_path / "annotations.json"
    file.write_text(file.read_text().replace("class00", "class09"))
    assert load_dataset(path).name == f"custom-{load_dataset(path).annotation_hash[:8]}"
    path.write_text(plain.replace("annotations =", 'annotation_hash = "abc"\nannotations =', 1))
    with pytest.raises(InputError, match="annotation_hash = 'abc'"):
        load_dataset(path)


def test_slices_of_another_step_are_other_data(tmp_path: Path) -> None:
    path = define(tmp_path, "npy", videos=6, channels=8)

    def digest() -> str:
        return read_state(load_dataset(path), open_features(path)).digest

    before = digest()
    path.write_text(path.read_text().replace("steps_per_second", "slice_stride_frames = 2\nsteps_per_second"))
    assert digest() != before and load_dataset(path).train[0].slice_stride_frames == 2


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('ending = "/../x.npy"', "ending = "),
        ('dtype = "int8"', "dtype = 'int8'"),
        ("lengths = 3", "lengths = 3"),
        ("slice_stride_frames = 1.5", "slice_stride_frames = 1.5"),
        ("slice_stride_frames = 0.5", "slice_stride_frames = 0.5"),
    ],
)
def test_a_wrong_key_of_the_features_is_refused(tmp_path: Path, key: str, message: str) -> None:
    path = define(tmp_path, "npy", videos=6, channels=8)
    path.write_text(path.read_text().replace("[features]", f"[features]\n{key}"))
    with pytest.raises(InputError, match=message):
        load_dataset(path)


def test_values_of_another_type_than_the_stated_one_are_refused(tmp_path: Path) -> None:
    path = define(tmp_path, "npz", videos=6, channels=8, dtype="float16")
    assert open_features(path).read("video 000").dtype == np.float32
    path.write_text(path.read_text().replace("[features]", '[features]\ndtype = "float32"'))
    with pytest.raises(InputError, match="dtype float16, expected float32"):
        load_dataset(path)


def exact_set(root: Path) -> Path:
    """Write two videos of exact values in both of THUMOS14's layouts; any machine makes the same bits."""
    database = {
        f"video_{side}_0000001": {
            "subset": side, "duration": 16.0, "fps": 30.0,
            "annotations": [{"label": "Diving", "label_id": 0, "segment": [2.0, 5.5]}],
        }
        for side in ("validation", "test")
    }  # fmt: skip
    for layout in get_args(LayoutName):
        place = Layout(layout, root, root / kit_layouts()[layout]["folders"][-1])
        place.feature_folder.mkdir(parents=True)
        place.annotation_file.parent.mkdir(exist_ok=True)
        place.annotation_file.write_text(json.dumps({"database": database}))
        rows = np.arange(117 * 3, dtype=np.float32).reshape(117, 3)[:: int(place.stride_frames / 4)]
        for number, video in enumerate(database):
            write_features(place, video, np.ascontiguousarray(rows + number))
        if place.definition.lengths is not None:
            info = {"feature_length": len(rows), "feature_fps": 3.75, "feature_second": len(rows) / 3.75}
            place.definition.lengths.write_text(json.dumps(dict.fromkeys(database, info)))
    return root


@pytest.mark.parametrize(
    ("layout", "digest"), [("actionformer", "16b554bfc321c53a71f42ccc"), ("tadtr", "5820f467b2fb274815415b67")]
)
def test_its_digests_are_those_that_kept_runs_bear(tmp_path: Path, layout: LayoutName, digest: str) -> None:
    """Another digest of the same data would train every finished run again."""
    root = exact_set(tmp_path)
    dataset = load_dataset(root, layout)
    assert dataset.name == f"custom-{dataset.annotation_hash[:8]}"
    assert read_state(dataset, open_features(root, layout)).digest.startswith(digest)
