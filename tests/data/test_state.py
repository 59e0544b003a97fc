"""The state of a data set: values count, not files; what is known of a file holds as long as the file is as it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tal_repro.data import load_dataset, open_features
from tal_repro.data.pack import pack_features
from tal_repro.data.state import DataState, hash_values, read_state
from tal_repro.data.state_changes import name_changes
from tal_repro.data.store import FeatureStore
from tests.data.conftest import ACTIONFORMER_JSON, NPY, edit
from tests.data.made_up_set import define


def state_of(folder: Path, layout: str = "actionformer", cache: Path | None = None) -> DataState:
    return read_state(load_dataset(folder, layout), open_features(folder, layout), cache)


@pytest.fixture
def own(copy: Path) -> Path:
    """The copy as a set of somebody's own: without a generator's name."""
    edit(copy / ACTIONFORMER_JSON, lambda content: content.pop("synthetic"))
    return copy


def test_type_shape_and_values_are_hashed_and_nothing_else() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    digest = hash_values(values)
    for same in (np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2], values.copy()):
        assert hash_values(same) == digest
    changed = values.copy()
    changed[2, 3] = np.nextafter(changed[2, 3], np.float32(99))
    for other in (changed, values.astype(np.float64), values.astype(np.float16), values.reshape(4, 3), values[::-1]):
        assert hash_values(other) != digest


def test_large_arrays_are_hashed_in_parts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    whole = hash_values(values)
    monkeypatch.setattr("tal_repro.data.state.BYTES_AT_ONCE", 100)
    assert hash_values(values) == whole


def test_a_packed_store_is_the_same_data_and_one_of_half_precision_is_not(own: Path) -> None:
    before = state_of(own).digest
    for dtype, same in (("float32", True), ("float16", False)):
        index = pack_features(own, "actionformer", dtype)
        packed = read_state(load_dataset(own, "actionformer"), FeatureStore.open(index))
        assert (packed.digest == before) is same


def test_other_containers_of_the_same_arrays_are_the_same_data(own: Path) -> None:
    before = state_of(own).digest
    folder = own / NPY
    for path in sorted(folder.glob("*.npy")):
        np.savez(path.with_suffix(".npz"), feats=np.load(path))
        path.unlink()
    assert state_of(own).digest == before


def test_each_layout_of_a_synthetic_set_is_named_by_its_generator(small: Path, copy: Path) -> None:
    for layout in ("actionformer", "tadtr"):
        state = state_of(small, layout)
        assert state.generator and state_of(copy, layout).digest == state.digest
    settings = copy / "synthetic.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "seed": 6}))
    assert state_of(copy).digest != state_of(small).digest, "another seed is another set"
    settings.unlink()
    assert state_of(copy).generator == "", "nobody vouches for it any more"


def test_what_changed_between_two_states_is_counted(own: Path) -> None:
    before = state_of(own)
    ids = sorted(before.videos)
    path = own / NPY / f"{ids[0]}.npy"
    np.save(path, np.load(path) + 1)
    after = state_of(own)
    kept = json.loads(json.dumps(before.to_json()))
    assert name_changes(kept, after, ids) == "features of 1 video"
    assert name_changes(kept, after, ids[1:]) == name_changes(kept, before, ids) == "which videos are read"
    assert after.digest_of(ids[1:]) == before.digest_of(ids[1:])
    assert after.digest_of(ids) != before.digest_of(ids)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (
            "stride_frames = 5",
            "stride_frames = 5\nslice_stride_frames = 10",
            "slice_stride_frames (not stated, now 10)",
        ),
        ("stride_frames = 5", "stride_frames = 5\nclip_frames = 16", "clip_frames (not stated, now 16)"),
        ("stride_frames = 5", "stride_frames = 6", "stride_frames (5, now 6)"),
        ("stride_frames = 5", "steps_per_second = 5", "stride_frames (5, now not stated), steps_per_second (not st"),
        ("fps = 25", "fps = 24", "fps (25, now 24)"),
        ('unit = "seconds"', 'unit = "milliseconds"', "unit ('seconds', now 'milliseconds'), annotations of 6 videos"),
        ('train = ["training"]', 'train = ["validation"]', "train (['training'], now ['validation']), "),
    ],
)
def test_a_changed_definition_is_named_by_its_keys(tmp_path: Path, before: str, after: str, named: str) -> None:
    path = define(tmp_path, "npy", "--set", "stride_frames=5", "--set", "fps=25", videos=6, channels=8)
    kept = json.loads(json.dumps(state_of(path).to_json()))
    text = path.read_text()
    assert before in text
    if named.startswith("train"):
        text = text.replace('test = ["validation"]', 'test = ["training"]')
    path.write_text(text.replace(before, after))
    now = state_of(path)
    assert now.digest != kept["digest"]
    changes = name_changes(kept, now, now.videos)
    assert changes.startswith(named)
    assert "of 6 videos" not in changes or "annotations of" in changes, "not what its keys decide"


def test_a_rate_of_one_video_is_named_with_both_values_and_by_kind_where_none_was_kept(own: Path) -> None:
    before = state_of(own)
    video = sorted(before.videos)[0]
    fps = before.rates[video][0]
    edit(own / ACTIONFORMER_JSON, lambda content: content["database"][video].update(fps=fps + 1))
    kept, now = json.loads(json.dumps(before.to_json())), state_of(own)
    assert name_changes(kept, now, [video]) == f"fps of 1 video ({fps:g}, now {fps + 1:g})"
    former = {**kept, "videos": {key: row[:4] for key, row in kept["videos"].items()}}
    assert name_changes(former, now, [video]) == "fps, strides or clips of 1 video"


def test_ids_count_once_in_any_order_and_facts_count(own: Path) -> None:
    state = state_of(own)
    ids = sorted(state.videos)[:5]
    assert state.digest_of([*reversed(ids), ids[0]]) == state.digest_of(ids)
    assert len({state.digest_of(ids), state.digest_of(ids, [1]), state.digest_of(ids[:4])}) == 3


def test_a_millisecond_of_an_action_is_another_state(own: Path) -> None:
    before = state_of(own).videos
    video = next(video for video in before if "test" in video)

    def later(content: Any) -> None:
        content["database"][video]["annotations"][0]["segment"][1] += 0.001

    edit(own / ACTIONFORMER_JSON, later)
    after = state_of(own).videos
    assert {key for key in before if after[key] != before[key]} == {video}


def test_an_ambiguous_segment_counts_where_videos_are_scored(own: Path) -> None:
    before = state_of(own).videos
    trained, tested = min(v for v in before if "validation" in v), min(v for v in before if "test" in v)

    def add(content: Any) -> None:
        for video in (trained, tested):
            content["database"][video]["annotations"].append({"label": "Ambiguous", "segment": [0.5, 1.0]})

    edit(own / ACTIONFORMER_JSON, add)
    after = state_of(own).videos
    assert {video for video in before if after[video] != before[video]} == {tested}


def test_the_frames_that_a_feature_sees_are_part_of_a_state(own: Path) -> None:
    dataset, store = load_dataset(own, "actionformer"), open_features(own, "actionformer")
    videos = {key: replace(video, clip_frames=32.0) for key, video in dataset.videos.items()}
    states = [read_state(each, store).videos for each in (dataset, replace(dataset, videos=videos))]
    assert all(states[0][key].fps != states[1][key].fps for key in videos)


def test_a_cache_behind_a_loop_of_links_is_written_anew(own: Path, tmp_path: Path) -> None:
    cache = tmp_path / "a.json"
    cache.symlink_to(cache.name)
    digest = state_of(own, cache=cache).digest
    assert cache.is_file() and not cache.is_symlink()
    assert state_of(own, cache=cache).digest == digest


def test_a_lost_cache_or_one_that_cannot_be_written_costs_time_alone(own: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "a.json"
    digest = state_of(own, cache=cache).digest
    assert cache.is_file()
    shutil.rmtree(cache.parent)
    cache.parent.write_text("a file in the way")
    assert state_of(own, cache=cache).digest == digest
