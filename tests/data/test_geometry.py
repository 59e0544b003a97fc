"""The geometry check: the real THUMOS14 passes, and each way in which features and annotations do not fit is named."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tal_repro.data.annotations import estimate_feature_length
from tal_repro.data.dataset import DataSet, Video
from tal_repro.data.geometry import check_geometry, require_geometry
from tal_repro.data.store import FeatureStore
from tal_repro.errors import InputError

REAL = Path(__file__).with_name("thumos14_lengths.csv")  # of all 412 videos with actions; the content is facts alone


def video(video_id, duration_s, fps=30.0, stride=4, subset="train", segments=(), steps=None):
    steps = estimate_feature_length(duration_s, fps, stride) if steps is None else steps
    bounds = np.array(segments, float).reshape(-1, 2)
    labels = np.zeros(len(bounds), np.int64)
    nothing = np.zeros((0, 2))
    return Video(video_id, subset, duration_s, fps, stride, fps / stride, steps, True, bounds, labels, nothing)


def dataset(videos):
    return DataSet("x", "", False, "", ("a",), {one.id: one for one in videos}, "actionformer", Path("data"))


def sound(count=9):
    """Videos of 20 to 60 s, every third of them tested, four actions each."""
    return [
        video(
            f"v{n}", 20.0 + 5 * n, subset="test" if n % 3 == 0 else "train",
            segments=[(1 + 0.1 * n + 4 * k, 3 + 0.2 * n + 4 * k) for k in range(4)],
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("stride", "steps"), [(4, 73), (8, 37), (16, 19), (5, 58)])
def test_a_length_is_estimated_with_its_last_step(stride: int, steps: int) -> None:
    """304 frames hold 73 clips of 16, 4 apart; a layout of another stride takes the first of them and some after."""
    assert estimate_feature_length(304.0, 1.0, stride) == steps


def errors(videos, lengths=None, **more):
    lengths = {one.id: one.feature_length for one in videos} if lengths is None else lengths
    found = check_geometry(dataset(videos), lengths, **more)
    assert all(problem.remedy and "delete" not in problem.remedy for problem in found)
    return {problem.where: problem.what for problem in found if problem.severity == "error"}


@pytest.mark.parametrize("layout", ["stride 4", "stride 8, every second step", "stride 8, clips of 64 frames"])
def test_the_real_thumos14_fits(layout) -> None:
    videos = []
    with REAL.open() as stream:
        for n, row in enumerate(csv.DictReader(stream)):
            fps, seconds, steps = float(row["fps"]), float(row["duration_s"]), int(row["steps_stride4"])
            if layout.startswith("stride 8"):
                steps = math.ceil(steps / 2) if "second" in layout else int(seconds * fps - 64) // 8 + 1
            videos.append(video(f"v{n}", seconds, fps, int(layout[7]), steps=steps))
    assert len(videos) == 412 and errors(videos) == {}
    assert (
        layout.endswith("64 frames") or check_geometry(dataset(videos), {v.id: v.feature_length for v in videos}) == []
    )


def test_a_sound_set_has_no_problem() -> None:
    assert errors(sound()) == {}
    assert errors(sound(), {}) == {}  # without features there is nothing to compare
    assert errors([]) == {}


@pytest.mark.parametrize(
    ("stride", "would_fit"),
    [
        (16, "a stride of 16 frames"),
        (1, "a stride of 1 frames"),
        (5, "a stride of 5 frames"),
        (8, "or 15 frames/s"),
    ],
)
def test_another_stride_is_named(stride, would_fit) -> None:
    lengths = {one.id: int(one.duration_s * 30 - 16) // stride + 1 for one in sound()}
    found = errors(sound(), lengths)
    assert set(found) == {"features"} and found["features"].startswith("9 of 9 files do not have the steps")
    assert would_fit in found["features"]


def test_fps_or_durations_of_all_videos_off_by_a_factor_are_named_with_it() -> None:
    lengths = {one.id: one.feature_length for one in sound()}
    found = errors([replace(one, fps=10.0, feature_fps=2.5) for one in sound()], lengths)
    assert "30 frames/s for 10, or durations 3 times as long" in found["features"]
    found = errors([replace(one, duration_s=one.duration_s * 1000) for one in sound()], lengths)
    assert "times as long" in found["features"]


def test_lengths_that_nothing_explains_are_told_so() -> None:
    lengths = {one.id: one.feature_length * (2 + n) for n, one in enumerate(sound())}
    assert "nor do they have them in common" in errors(sound(), lengths)["features"]


@pytest.mark.parametrize(("factor", "what"), [(0.5, "truncated: "), (2, "too long: "), (0.7, "truncated: ")])
def test_one_file_off_by_a_factor_is_an_error_and_a_little_off_a_note(factor, what) -> None:
    lengths = {one.id: one.feature_length for one in sound()}
    assert errors(sound(), lengths | {"v3": int(lengths["v3"] * factor)})["v3"].startswith(what)
    (note,) = check_geometry(dataset(sound()), lengths | {"v3": int(lengths["v3"] * 0.9)})
    assert (note.severity, note.where) == ("note", "v3")


def test_transposed_features_are_named_all_or_one() -> None:
    steps = {one.id: one.feature_length for one in sound()}
    channels = dict.fromkeys(steps, 64)
    assert "9 of 9 files are [C, T]" in errors(sound(), channels, widths=steps)["features"]
    assert "9 of 9 files are [C, T]" in errors(sound(), channels)["features"]  # all of one length tells it too
    found = errors(sound(), steps | {"v2": 64}, widths=channels | {"v2": steps["v2"]})
    assert found["v2"].startswith("[C, T], not [T, C]")


@pytest.mark.parametrize(("unit", "factor"), [("milliseconds", 1000), ("frames", 30)])
def test_segments_in_another_unit_of_time_are_named(unit, factor) -> None:
    found = errors([replace(one, segments_s=one.segments_s * factor) for one in sound()])
    assert found == {"segment": f"{36 if factor == 1000 else found['segment'].split()[0]} of 36 actions end beyond "
                     f"their videos' ends; they would fit as {unit}"}  # fmt: skip


def test_a_few_videos_with_actions_beyond_their_end_are_no_error() -> None:
    videos = sound()
    videos[0] = replace(videos[0], segments_s=videos[0].segments_s + 100)
    assert errors(videos) == {}


def test_one_video_under_two_ids_is_named_by_contents_or_by_annotations() -> None:
    digests = {one.id: one.id for one in sound()}
    found = errors(sound(), digests=digests | {"v3": "v1"})
    assert found == {"v3": "the same features as v1: one video under two ids; it is trained and tested on"}
    twin = replace(sound()[1], id="twin")
    assert set(errors([*sound(), twin])) == {"twin"}
    assert errors([*sound(), twin], digests={**digests, "twin": "of its own"}) == {}


def test_zeros_and_test_videos_among_the_training_units_are_named() -> None:
    assert errors(sound(), zeros=["v1"]) == {"v1": "all values are zero"}
    what = "a test video among the training units"
    assert errors(sound(), units=["v1", "v3", "v6_window_0_128"]) == {"v3": what, "v6": what}


def store_of(rows):
    return FeatureStore(Path("data"), 8, 4, tuple(sorted(rows)), rows.__getitem__, Path)


def test_before_training_zeros_and_twins_are_looked_for_in_the_features() -> None:
    videos, rng = sound(), np.random.default_rng(0)
    rows = {one.id: rng.normal(size=(one.feature_length, 8)).astype(np.float32) for one in videos}
    require_geometry(dataset(videos), store_of(rows))
    late = np.zeros_like(rows["v2"])
    late[7] = 1  # not zero, though the steps that are looked at first are
    require_geometry(dataset(videos), store_of(rows | {"v2": late}))
    zeros = rows | {"v2": np.zeros_like(rows["v2"])}
    with pytest.raises(InputError, match="v2: all values are zero"):
        require_geometry(dataset(videos), store_of(zeros))
    require_geometry(dataset(videos), store_of(zeros), units=["v1"])  # not of this run
    twins = [*videos, replace(videos[1], id="w", segments_s=videos[1].segments_s[:1], labels=videos[1].labels[:1])]
    with pytest.raises(InputError, match="w: the same features as v1"):
        require_geometry(dataset(twins), store_of(rows | {"w": rows["v1"].copy()}))
    other = rows["v1"].copy()
    other[1] += 1
    require_geometry(dataset(twins), store_of(rows | {"w": other}))
