"""Training units: sizes by the stated rounding, each policy's promise, and refusals."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_repro.data import describe_subset, draw_subset, load_dataset
from tal_repro.data.subset_file import Subset, read_subset
from tal_repro.data.subsets import PUBLISHED_CSV, read_published_subsets, training_units, units_at
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.data.windows import training_windows
from tal_repro.errors import InputError


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return load_dataset(write_synthetic(tmp_path_factory.mktemp("full") / "d", SyntheticConfig(), "annotations"))


@pytest.mark.parametrize(
    ("percent", "total", "units"),
    [
        (10, 200, 20),
        (1, 3174, 32),
        (0.25, 200, 1),
        (0.2, 200, 0),
        (100, 7, 7),
        (2.5, 60, 2),
        (29, 100, 29),
        (57, 50, 29),
    ],
)
def test_a_percentage_is_rounded_halves_up_exactly(percent, total, units):
    assert units_at(percent, total) == units


@given(percent=st.floats(0.01, 100), total=st.integers(1, 10_000))
def test_rounding_is_within_a_half(percent, total):
    assert abs(units_at(percent, total) - percent * total / 100) <= 0.5 + 1e-6


@pytest.mark.parametrize("unit", ["video", "slice"])
@pytest.mark.parametrize("policy", ["uniform", "all-classes", "stratified", "nested"])
def test_a_draw_is_repeatable_sorted_and_of_the_right_size(full, unit, policy):
    first, again, other = (draw_subset(full, unit, policy, 20, seed) for seed in (1, 1, 2))
    assert first == again and first.ids != other.ids
    total = len(training_units(full, unit))
    assert len(first.ids) == len(set(first.ids)) == units_at(20, total)
    assert list(first.ids) == sorted(first.ids) and set(first.ids) <= set(training_units(full, unit))


def test_all_units_at_100_percent_under_every_policy(full):
    for policy in ("uniform", "all-classes", "stratified", "nested"):
        assert draw_subset(full, "video", policy, 100, 3).ids == tuple(video.id for video in full.train)


def test_uniform_draws_do_not_depend_on_one_another(full):
    small, large = (draw_subset(full, "video", "uniform", percent, 1) for percent in (10, 20))
    assert not set(small.ids) <= set(large.ids)


def test_nested_draws_of_one_seed_grow(full):
    before: set[str] = set()
    for percent in (1, 5, 10, 30, 60, 100):
        ids = set(draw_subset(full, "slice", "nested", percent, 4).ids)
        assert before < ids
        before = ids


def test_uniform_draws_every_unit_equally_often(full):
    counts = Counter(unit for seed in range(400) for unit in draw_subset(full, "video", "uniform", 10, seed).ids)
    assert len(counts) == 200
    assert min(counts.values()) > 15 and max(counts.values()) < 70  # mean 40, std 6


def test_ten_percent_of_the_videos_hold_few_classes_and_of_the_slices_nearly_all(full):
    videos, slices = (
        [describe_subset(full, draw_subset(full, unit, "uniform", 10, seed)) for seed in range(20)]
        for unit in ("video", "slice")
    )
    assert np.mean([found["classes"] for found in videos]) == pytest.approx(13.9, abs=1)  # of THUMOS14
    assert np.mean([found["instances"] for found in videos]) == pytest.approx(300, abs=60)
    assert np.mean([found["classes"] for found in slices]) > 19
    assert np.mean([found["videos"] for found in slices]) == pytest.approx(122, abs=10)


def test_all_classes_holds_all_at_ten_percent_of_the_videos(full):
    for seed in (1, 2):
        assert describe_subset(full, draw_subset(full, "video", "all-classes", 10, seed))["classes"] == 20


def test_all_classes_is_uniform_over_the_subsets_that_hold_all(tmp_path):
    """Three videos of class A, one of B: every pair with B is equally likely."""
    dataset = load_dataset(handmade(tmp_path, ["A", "A", "A", "B"]))
    counts = Counter(draw_subset(dataset, "video", "all-classes", 50, seed).ids for seed in range(600))
    assert set(counts) == {(f"video_validation_000000{i}", "video_validation_0000003") for i in range(3)}
    assert all(150 < count < 250 for count in counts.values())


def handmade(folder, labels):
    names = sorted(set(labels))
    database = {
        f"video_validation_{index:07d}": {
            "subset": "validation",
            "duration": 20,
            "fps": 30,
            "annotations": [{"label": label, "label_id": names.index(label), "segment": [1, 4]}],
        }
        for index, label in enumerate(labels)
    }
    path = folder / "annotations/thumos14.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"database": database}))
    return folder


def test_stratified_keeps_the_proportions(tmp_path):
    dataset = load_dataset(handmade(tmp_path, ["A"] * 60 + ["B"] * 30 + ["C"] * 10))
    for percent, expected in ((10, [6, 3, 1]), (50, [30, 15, 5]), (4, [2, 1, 1]), (99, [59, 30, 10])):
        drawn = draw_subset(dataset, "video", "stratified", percent, 7)
        labels = [int(dataset.videos[video_id].labels[0]) for video_id in drawn.ids]
        counts = [labels.count(label) for label in range(3)]
        assert sum(counts) == sum(expected) and np.abs(np.subtract(counts, expected)).max() <= 1


def test_stratified_at_full_size_holds_all_classes(full):
    assert describe_subset(full, draw_subset(full, "video", "stratified", 20, 1))["classes"] >= 19


def test_slice_ids_are_spelled_as_upstream_does(full):
    windows = {window.slice_id: window for window in training_windows(full)}
    drawn = draw_subset(full, "slice", "uniform", 1, 1)
    assert all(slice_id in windows and "_window_" in slice_id for slice_id in drawn.ids)
    counts = describe_subset(full, drawn)
    assert counts["instances"] == sum(len(windows[slice_id].labels) for slice_id in drawn.ids)
    assert counts["videos"] == len({windows[slice_id].video_id for slice_id in drawn.ids})


@pytest.mark.parametrize("percent", [0, -1, 101, float("nan"), True])
def test_a_percentage_out_of_range_is_refused(full, percent):
    with pytest.raises(InputError, match="percentage"):
        draw_subset(full, "video", "uniform", percent, 1)


def test_zero_units_are_refused_with_the_least_percentage(full):
    with pytest.raises(InputError, match=r"0\.1 % of 200 training videos is none") as caught:
        draw_subset(full, "video", "uniform", 0.1, 1)
    assert "0.25 %" in caught.value.remedy


def test_too_few_units_for_all_classes_are_refused(full, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot hold all 20 classes"):
        draw_subset(full, "video", "all-classes", 2, 1)
    monkeypatch.setattr("tal_repro.data.subsets.MOST_DRAWS", 10_000)
    with pytest.raises(InputError, match=r"none of 1[0-9]{4} draws"):
        draw_subset(full, "video", "all-classes", 6, 1)


def test_the_49_published_subsets_are_read():
    splits = read_published_subsets()
    assert len(splits) == 49
    assert all(len(ids) == percent * 2 for (_, percent, _), ids in splits.items())


@pytest.fixture
def published(full, tmp_path):
    """Published splits of this data set's own videos."""
    path = tmp_path / "sweep_subsets.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", "train_percent", "run", "video_id"])
        for video in full.train[:20]:
            writer.writerow(["temporalmaxer", 10, 2, video.id])
    return path


def test_a_published_subset_is_replayed(full, published):
    drawn = draw_subset(full, "video", "published", 10, 2, model="temporalmaxer", published_csv=published)
    assert drawn.ids == tuple(video.id for video in full.train[:20])
    for wrong in ({"percent": 20}, {"seed": 9}, {"model": "actionformer"}, {"unit": "slice"}):
        arguments = {"unit": "video", "percent": 10, "seed": 2, "model": "temporalmaxer"} | wrong
        with pytest.raises(InputError):
            draw_subset(full, policy="published", published_csv=published, **arguments)


def test_published_subsets_need_the_real_videos(full):
    with pytest.raises(InputError, match="are not in this data set"):
        draw_subset(full, "video", "published", 10, 1)
    assert PUBLISHED_CSV.is_file()


def test_a_broken_table_of_published_subsets_is_refused(full, tmp_path):
    (tmp_path / "t.csv").write_text("model,train_percent\nx,ten\n")
    for path in (tmp_path / "t.csv", tmp_path / "absent.csv"):
        with pytest.raises(InputError):
            draw_subset(full, "video", "published", 10, 1, published_csv=path)


def test_a_subset_file_travels(full, tmp_path):
    drawn = draw_subset(full, "slice", "stratified", 5, 3)
    drawn.write(tmp_path / "subset.json")
    assert read_subset(tmp_path / "subset.json") == drawn
    assert set(json.loads((tmp_path / "subset.json").read_text())) == {"unit", "policy", "percent", "seed", "ids"}


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "frame"},
        {"policy": "best"},
        {"percent": 0},
        {"seed": "1"},
        {"ids": []},
        {"ids": ["a", "a"]},
        {"ids": [1]},
    ],
)
def test_a_bad_subset_file_is_refused(tmp_path, change):
    content = {"unit": "video", "policy": "uniform", "percent": 10, "seed": 1, "ids": ["a"]} | change
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(InputError):
        read_subset(tmp_path / "s.json")


def test_a_subset_of_another_data_set_is_refused(full):
    with pytest.raises(InputError, match="1 of 1 training units are not in this data set, the first: nobody"):
        describe_subset(full, Subset("video", "uniform", 10, 1, ("nobody",)))
