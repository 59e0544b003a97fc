"""TadTR's slices: closed-form cases, and (marker upstream) equality with the upstream loader."""

from __future__ import annotations

import importlib.util
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tal_repro.data import load_dataset
from tal_repro.data.dataset import DataSet, Video
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.data.windows import cut_windows, tadtr_steps, training_windows, window_bounds
from tal_repro.engines.upstream.checkout import checkout_folder
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry

from .conftest import TADTR_INFO, TADTR_JSON

UPSTREAM = checkout_folder(model_entry("tadtr")) / "datasets" / "data_utils.py"


def video(steps, segments=(), labels=None, stride=8):
    segments = np.array(segments, dtype=np.float64).reshape(-1, 2)
    labels = np.arange(len(segments)) if labels is None else np.array(labels)
    fps = 8.0 * 4  # 4 TadTR steps a second: a slice lasts 32 s
    return Video(
        "video_test_0000001", "test", 100.0, fps, stride, fps / stride, steps, True, segments, labels, segments[:0]
    )


def test_videos_without_end_are_refused_before_they_are_cut():
    endless = video(10**9 // 8, [[1.0, 2.0]])  # 10^6 s at 1000 frames a second
    dataset = DataSet(
        "d", "1", True, "", ("Diving",), {endless.id: replace(endless, subset="train")}, "tadtr", Path("d")
    )
    with pytest.raises(InputError, match="video_test_0000001, has 125,000,000 steps"):
        training_windows(dataset)


@pytest.mark.parametrize(
    ("steps", "mode", "expected"),
    [
        (50, "train", [(0, 50)]),
        (128, "train", [(0, 128)]),
        (129, "train", [(0, 128), (1, 129)]),
        (160, "train", [(0, 128), (32, 160)]),
        (170, "train", [(0, 128), (32, 160), (42, 170)]),
        (128, "test", [(0, 128)]),
        (129, "test", [(0, 128), (96, 129)]),
        (224, "test", [(0, 128), (96, 224)]),
        (300, "test", [(0, 128), (96, 224), (192, 300)]),
    ],
)
def test_bounds(steps, mode, expected):
    assert window_bounds(steps, mode) == expected


def test_every_step_is_in_a_slice_of_at_most_128():
    for mode in ("train", "test"):
        for steps in range(1, 700):
            bounds = window_bounds(steps, mode)
            covered = {step for start, stop in bounds for step in range(start, stop)}
            assert covered == set(range(steps))
            assert max(stop - start for start, stop in bounds) <= 128


def test_an_action_belongs_to_a_slice_when_three_quarters_of_it_lie_inside():
    # first slice: 0 to 32 s
    first = cut_windows(video(300, [[30.0, 34.0], [29.0, 33.0], [31.9, 40.0], [0.0, 5.0]]), "test")[0]
    assert first.labels.tolist() == [3, 1]  # by the sum of bounds; of [30, 34] only half is inside
    assert first.segments_s.tolist() == [[0.0, 5.0], [29.0, 32.0]]


def test_seconds_count_from_the_slice_and_a_short_slice_is_padded():
    windows = cut_windows(video(300, [[50.0, 55.0]]), "test")
    assert [window.slice_id for window in windows] == [
        "video_test_0000001_window_0_128",
        "video_test_0000001_window_96_224",
        "video_test_0000001_window_192_300",
    ]
    last = windows[-1]
    assert (last.offset_s, last.seconds) == (48.0, 32.0)  # 108 steps are 27 s, padded to 128: 32 s
    assert last.segments_s.tolist() == [[2.0, 7.0]]


def test_features_of_stride_4_give_the_slices_of_every_second_step():
    assert tadtr_steps(video(301, stride=4)) == (151, 4.0)
    assert tadtr_steps(video(151, stride=8)) == (151, 4.0)


def test_both_layouts_give_the_same_training_slices(small):
    one, other = (training_windows(load_dataset(small, layout)) for layout in ("actionformer", "tadtr"))
    assert [window.slice_id for window in one] == [window.slice_id for window in other]
    assert all(np.array_equal(a.segments_s, b.segments_s) for a, b in zip(one, other, strict=True))
    assert all(len(window.labels) for window in one)


@pytest.mark.upstream
@pytest.mark.parametrize(("mode", "subset", "overlap"), [("train", "val", 0.75), ("test", "test", 0.25)])
def test_slices_are_upstreams(tmp_path, monkeypatch, mode, subset, overlap):
    if not UPSTREAM.is_file():
        pytest.fail("the TadTR submodule is not checked out: make submodules")
    monkeypatch.setitem(sys.modules, "easydict", types.SimpleNamespace(EasyDict=dict))
    spec = importlib.util.spec_from_file_location("tadtr_data_utils", UPSTREAM)
    upstream = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(upstream)
    root = write_synthetic(tmp_path / "full", SyntheticConfig(), "annotations")
    theirs, ids = upstream.get_dataset_dict(
        str(root / TADTR_INFO),
        str(root / TADTR_JSON),
        subset,
        mode=mode,
        online_slice=True,
        slice_len=128,
        slice_overlap=overlap,
        ignore_empty=mode == "train",
        return_id_list=True,
    )
    dataset = load_dataset(root, "tadtr")
    videos = sorted((v for v in dataset.videos.values() if v.subset == "test"), key=lambda v: v.id)
    ours = training_windows(dataset) if mode == "train" else [w for v in videos for w in cut_windows(v, "test")]
    assert [window.slice_id for window in ours] == ids
    for window in ours:
        actions = theirs[window.slice_id]["annotations"]
        assert [dataset.classes[label] for label in window.labels] == [action["label"] for action in actions]
        assert window.segments_s.tolist() == [action["segment"] for action in actions]
        assert window.offset_s == theirs[window.slice_id]["time_offset"]
