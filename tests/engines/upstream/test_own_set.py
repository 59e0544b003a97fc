"""A defined data set is laid out for the authors' code as their loaders read it, or refused by name. SYNTHETIC."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tal_repro.data import load_dataset, open_features
from tal_repro.data.layouts import FEATURE_INFO_FILE, Layout
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.registry import get_adapter
from tal_repro.engines.upstream import own_set, settings
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec, SubsetSpec
from tests.data.made_up_set import define

Make = Callable[..., tuple[RunContext, Layout]]


@pytest.fixture
def laid_out(spec: RunSpec, tmp_path: Path) -> Make:
    """Return a function that lays a set out for a model; `ids`: the training videos (none: all)."""

    def make(
        model: str, data: Path, ids: tuple[str, ...] = (), classes: int = 5, channels: int = 24
    ) -> tuple[RunContext, Layout]:
        recipe = dataclasses.replace(model_entry(model).recipe, num_classes=classes, feature_dim=channels)
        subset = SubsetSpec(unit="video")
        values = dataclasses.asdict(recipe)
        own = dataclasses.replace(spec, model=model, engine="upstream", recipe=values, subset=subset)
        run = RunContext(own, RunStore(tmp_path / "runs").writer(own), data, "cpu", ids)
        return run, own_set.lay_out(own_set.source_of(data, model), run, recipe, ids, tmp_path / "laid_out")

    return make


@pytest.mark.parametrize("kind", ["npy", "hdf5"])
def test_a_pyramid_models_loader_finds_every_video_and_the_sets_own_grid(
    tmp_path: Path, laid_out: Make, kind: str
) -> None:
    data = define(tmp_path / "set", kind, dtype="float16" if kind == "hdf5" else "float32")
    dataset, store = load_dataset(data), open_features(data)
    some = tuple(video.id for video in dataset.train[:3])
    _, layout = laid_out("actionformer", data, some)
    database = json.loads(layout.annotation_file.read_text())["database"]
    assert set(database) == {video.id for video in [*dataset.train, *dataset.test]}
    assert {action["label_id"] for entry in database.values() for action in entry["annotations"]} == set(range(5))
    assert {entry["subset"] for entry in database.values()} == {"Validation", "Test"}
    assert {entry["fps"] for entry in database.values()} == {5.0}, "a step is a frame where steps a second are known"
    files = {path.stem: path for path in layout.feature_folder.iterdir()}
    assert set(files) == {*some, *(video.id for video in dataset.test)}, "no feature but those that are read"
    assert all(path.is_symlink() is (kind == "npy") for path in files.values())
    assert all(np.array_equal(np.load(path).astype(np.float32), store.read(name)) for name, path in files.items())
    again = load_dataset(tmp_path / "set" / "my-data.toml")
    assert again.annotation_hash == dataset.annotation_hash, "the set itself is untouched"


def test_the_yaml_says_stride_clip_width_classes_and_levels(tmp_path: Path, laid_out: Make) -> None:
    data = define(tmp_path / "set", "npy", "--set", "clip_frames=3")
    run, layout = laid_out("tridet", data)
    (tmp_path / "configs").mkdir()
    theirs = {"dataset": {"feat_stride": 4, "num_frames": 16}, "model": {}, "opt": {}}
    (tmp_path / "configs" / "thumos_i3d.yaml").write_text(yaml.safe_dump(theirs))
    ranges = ((0, 4), (4, 8), (8, 10000))
    fields = {"levels": 3, "regression_ranges": ranges, "max_seq_len": 64, "feature_dim": 24, "num_classes": 5}
    recipe = settings.resolved("tridet", {**run.spec.recipe, **fields})
    config = yaml.safe_load(settings.write_config(tmp_path, "tridet", recipe, layout, 0, tmp_path).read_text())
    told = {key: config["dataset"][key] for key in ("feat_stride", "num_frames", "input_dim", "num_classes")}
    assert told == {"feat_stride": 1.0, "num_frames": 3.0, "input_dim": 24, "num_classes": 5}
    assert config["dataset"]["json_file"] == str(layout.annotation_file)
    assert config["model"]["backbone_arch"] == [2, 2, 2], "three levels: two above the first"


def test_tadtrs_loader_finds_tensors_lengths_and_rates(tmp_path: Path, laid_out: Make) -> None:
    data = define(tmp_path / "set", "hdf5", classes=20, channels=64, videos=60, name="video_test_{:07d}")
    dataset = load_dataset(data)
    _, layout = laid_out("tadtr", data, classes=20, channels=64)
    video = dataset.test[0]
    content = json.loads(layout.annotation_file.read_text())
    assert tuple(content["classes"]) == dataset.classes and content["database"][video.id]["subset"] == "test"
    info = json.loads((layout.folder / FEATURE_INFO_FILE).read_text())[video.id]
    assert info == {"feature_length": 60, "feature_fps": 5.0, "feature_second": 12.0}
    assert torch.load(layout.feature_file(video.id), weights_only=True).shape == (60, 64)


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("actionformer", {"classes": 4}, r"5 classes, but the recipe has num_classes = 4"),
        ("actionformer", {"channels": 64}, r"features of 24 channels, but the recipe has feature_dim = 64"),
        ("tadtr", {}, r"TadTR's own code needs ids of three parts .*'video 002'(.|\n)*engine = native"),
        ("dyfadet", {}, r"DyFADet's own code is run on THUMOS14's two layouts alone"),
    ],
)
def test_what_the_authors_code_cannot_take_is_refused_by_name(
    tmp_path: Path, laid_out: Make, model: str, more: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        laid_out(model, define(tmp_path / "set", "npy"), **more)


def test_a_class_that_nobody_annotated_is_named(tmp_path: Path, laid_out: Make) -> None:
    data = define(tmp_path / "set", "npy")
    names = [f"class{number:02d}" for number in range(6)]
    data.write_text(data.read_text().replace("[splits]", f"classes = {names}\n\n[splits]", 1))
    with pytest.raises(InputError, match="no annotation of class 'class05'"):
        laid_out("tridet", data, classes=6)


def test_tadtrs_code_has_one_width_and_one_number_of_classes() -> None:
    for field, value, built in (("feature_dim", 768, 2048), ("num_classes", 5, 20)):
        with pytest.raises(InputError, match=f"{field} = {value}: TadTR's own code cannot be told so .it has {built}"):
            settings.resolved("tadtr", {field: value})


def test_a_set_that_cannot_be_trained_leaves_no_working_folder(tmp_path: Path, spec: RunSpec) -> None:
    data = define(tmp_path / "set", "npy")
    (tmp_path / "set" / "features" / "video 002.npy").unlink()
    recipe = dataclasses.asdict(model_entry("tridet").recipe) | {"num_classes": 5, "feature_dim": 24}
    own = dataclasses.replace(spec, model="tridet", engine="upstream", recipe=recipe, subset=SubsetSpec())
    ids = tuple(video.id for video in load_dataset(data).train)
    run = RunContext(own, RunStore(tmp_path / "runs").writer(own), data, "cpu", ids)
    with pytest.raises(InputError, match="no feature file for video 002"):
        get_adapter("tridet", "upstream").train(run)
    assert not (run.record.paths.folder / "work").exists()
