"""The parts of the native engine on cases small enough to work out by hand."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tal_repro.data import DataSet, FeatureStore, load_dataset, open_features
from tal_repro.data.windows import training_windows
from tal_repro.engines.native.batches import BATCHES_AHEAD, Batch, collate, epoch_batches, epoch_plan
from tal_repro.engines.native.clock import table2_seconds
from tal_repro.engines.native.evaluation import Evaluator
from tal_repro.engines.native.limits import check_units, invalid_flags
from tal_repro.engines.native.optimization import WeightAverage, build_optimizer
from tal_repro.engines.native.samples import (
    ClipUnits,
    Sample,
    SliceUnits,
    VideoFeatures,
    crop_length,
    draw_crop,
    draws_for,
    slice_clip,
    video_segments,
    whole_video,
)
from tal_repro.engines.native.schedule import Selections, is_evaluated
from tal_repro.engines.native.session import _choose
from tal_repro.errors import InputError
from tal_repro.models import build
from tal_repro.models.recipes import ACTIONFORMER, TADTR, TEMPORALMAXER, TRIDET, PyramidRecipe, with_overrides


def test_pyramid_rates_warm_up_from_zero_and_fall_as_a_half_cosine() -> None:
    rates = [ACTIONFORMER.learning_rate_at(1e-4, step, 100) for step in range(3500)]
    assert rates[0] == 0
    assert rates[1] == pytest.approx(1e-4 / 499)
    assert rates[499] == rates[500] == pytest.approx(1e-4)  # the line ends one step before the cosine starts
    assert rates[2000] == pytest.approx(5e-5, rel=1e-3)
    assert rates[-1] == pytest.approx(1e-8 + 1e-4 * (1 + math.cos(math.pi * 2999 / 3000)) / 2)


def test_tadtr_drops_its_rate_once() -> None:
    assert [TADTR.learning_rate_at(2e-4, step, 10) for step in (0, 139, 140)] == pytest.approx([2e-4, 2e-4, 2e-5])


@pytest.mark.parametrize("model", ["actionformer", "tridet", "temporalmaxer"])
def test_only_kernels_of_pyramid_models_decay(model: str) -> None:
    detector = build(model, feature_dim=8, embed_dim=16, head_dim=16, mlp_dim=16)
    groups = build_optimizer(detector, detector.recipe).param_groups
    decayed, others = ({id(p) for p in group["params"]} for group in groups)
    assert [group["weight_decay"] for group in groups] == [detector.recipe.weight_decay, 0]
    for name, parameter in detector.named_parameters():
        assert id(parameter) in (decayed if parameter.ndim == 3 else others), name
    assert len(decayed) + len(others) == len(list(detector.parameters()))


def test_tadtr_offsets_and_references_learn_at_a_tenth() -> None:
    detector = build("tadtr", feature_dim=8, hidden_dim=32, ffn_dim=16)
    groups = build_optimizer(detector, detector.recipe).param_groups
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    assert [group["initial_lr"] for group in groups] == pytest.approx([2e-4, 2e-5])
    slow = {names[id(parameter)] for parameter in groups[1]["params"]}
    assert slow == {name for name in names.values() if "offsets" in name or name.startswith("reference.")}
    assert len(slow) == 2 * (4 + 4) + 2


def test_the_average_keeps_the_initial_weights_at_decay_to_the_steps() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = WeightAverage(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    for _ in range(20):
        average.update()
    assert average.weights[0].item() == pytest.approx(0.9**20)
    before = average.weights[0].clone()
    average.swap()
    assert torch.equal(layer.weight, before)
    average.swap()
    assert layer.weight.item() == 0
    assert torch.equal(average.weights[0], before)


def test_a_pass_shuffles_every_unit_once_and_drops_the_rest() -> None:
    plan = epoch_plan(seed=1, epoch=4, units=11, batch_size=3, steps=3)
    drawn = [index for _, batch in plan for index in batch]
    assert [passage for passage, _ in plan] == [4, 4, 4]
    assert len(set(drawn)) == 9 and set(drawn) <= set(range(11))
    assert plan != epoch_plan(1, 5, 11, 3, 3) and plan == epoch_plan(1, 4, 11, 3, 3)


def test_equal_steps_go_through_passes_in_a_row() -> None:
    batches = [item for epoch in range(3) for item in epoch_plan(1, epoch, 5, 2, 5)]
    assert [passage for passage, _ in batches] == [i // 2 for i in range(15)]
    as_passes = [item for passage in range(8) for item in epoch_plan(1, passage, 5, 2, 2)]
    assert batches == as_passes[:15]


def test_draws_of_a_unit_depend_on_nothing_but_seed_pass_and_id() -> None:
    assert draws_for(1, 2, "a").random() == draws_for(1, 2, "a").random()
    assert len({draws_for(*key).random() for key in [(1, 2, "a"), (2, 2, "a"), (1, 3, "a"), (1, 2, "b")]}) == 4


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 400), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 2.0]))
def test_a_crop_keeps_actions_at_least_half_inside(length: int, seed: int, margin: float) -> None:
    draws = np.random.default_rng(seed)
    starts = draws.uniform(-2, length, 4).astype(np.float32)
    segments = np.stack([starts, starts + draws.uniform(0.5, 40, 4).astype(np.float32)], axis=1)
    kept = crop_length(length, ACTIONFORMER, draws)
    assert max(round(0.9 * length), 1) <= kept <= length
    start, inside, chosen = draw_crop(segments, length, kept, margin, 0.5, draws)
    assert 0 <= start <= length - kept
    assert len(inside) == chosen.sum()
    if len(inside):
        assert inside.min() >= -margin and inside.max() <= kept + margin
        whole = (segments[chosen, 1] - segments[chosen, 0]) * 0.5
        assert ((inside[:, 1] - inside[:, 0]) >= whole - 1e-4).all()
    left_out = segments[~chosen] - start
    overlap = np.minimum(left_out[:, 1], kept + margin) - np.maximum(left_out[:, 0], -margin)
    assert (overlap < 0.5 * (left_out[:, 1] - left_out[:, 0]) + 1e-4).all()


def test_a_video_longer_than_the_model_takes_is_cut_to_its_length() -> None:
    recipe = with_overrides(ACTIONFORMER, {"max_seq_len": 64})
    assert crop_length(100, recipe, np.random.default_rng(0)) == 64


def video_units(dataset: DataSet, store: FeatureStore, recipe: PyramidRecipe, margin: float = 0.0) -> ClipUnits:
    features = VideoFeatures(store, 4)
    return ClipUnits([whole_video(video, features) for video in dataset.train], features, recipe, margin)


def test_a_slice_of_a_pyramid_model_is_a_stretch_of_its_video(data_dir: Path) -> None:
    dataset = load_dataset(data_dir, "actionformer")
    features = VideoFeatures(open_features(data_dir, "actionformer"), 4)
    for window in training_windows(dataset)[:12]:
        video = dataset.videos[window.video_id]
        clip = slice_clip(window, video, features)
        whole = video_segments(video)
        assert (clip.start, clip.stop) == (2 * window.start, min(2 * window.stop, features.length(video.id)))
        for segment, label in zip(clip.segments + clip.start, clip.labels.tolist(), strict=True):
            # cut at the slice's ends in seconds, which lie half a clip before its steps
            edges = whole[video.labels == label].clip(2 * window.start - 2, 2 * window.stop - 2)
            assert np.abs(edges - segment).max(axis=1).min() < 0.01


def test_video_samples_show_the_features_their_segments_speak_of(data_dir: Path) -> None:
    dataset, store = load_dataset(data_dir, "actionformer"), open_features(data_dir, "actionformer")
    recipe = with_overrides(TRIDET, {"feature_dim": 16, "max_seq_len": 128})
    units = video_units(dataset, store, recipe)
    for index, video in enumerate(dataset.train[:6]):
        sample = units.sample(index, draws_for(0, 0, video.id))
        rows = store.read(video.id).T
        steps = sample.features.shape[1]
        starts = [
            i for i in range(rows.shape[1] - steps + 1) if np.array_equal(rows[:, i : i + steps], sample.features)
        ]
        assert len(starts) == 1 and steps <= 128
        moved = sample.segments.numpy() + starts[0]
        for segment, label in zip(moved, sample.labels.tolist(), strict=True):
            same = video_segments(video)[video.labels == label].clip(starts[0], starts[0] + steps)
            assert np.abs(same - segment).max(axis=1).min() < 1e-3


def test_slices_are_padded_and_their_actions_lie_inside(data_dir: Path) -> None:
    dataset = load_dataset(data_dir, "tadtr")
    windows = training_windows(dataset)
    units = SliceUnits(windows, VideoFeatures(open_features(data_dir, "tadtr"), 8), 128)
    short = next(i for i, window in enumerate(windows) if window.stop - window.start < 128)
    sample = units.sample(short, draws_for(0, 0, ""))
    steps = windows[short].stop - windows[short].start
    assert tuple(sample.features.shape) == (16, 128)
    assert (sample.features[:, steps:] == 0).all() and (sample.features[:, :steps] != 0).any()
    assert sample.segments.min() >= 0 and sample.segments.max() <= steps + 1


def test_a_video_stands_for_its_slices_and_each_is_trained_on_once(data_dir: Path) -> None:
    dataset = load_dataset(data_dir, "tadtr")
    windows = {window.slice_id: window for window in training_windows(dataset)}
    video = next(iter(windows.values())).video_id
    own = sorted(name for name, window in windows.items() if window.video_id == video)
    chosen = _choose(windows, [video, own[0]], dataset, "slice")
    assert [window.slice_id for window in chosen] == own


def test_stride_8_features_are_every_second_step_of_stride_4(data_dir: Path) -> None:
    coarse = VideoFeatures(open_features(data_dir, "tadtr"), 8)
    fine = VideoFeatures(open_features(data_dir, "actionformer"), 8)
    video = load_dataset(data_dir, "tadtr").train[0].id
    assert torch.equal(fine.read(video, 3, 20), coarse.read(video, 3, 20))
    assert fine.length(video) == coarse.length(video)
    with pytest.raises(InputError, match="stride of 8"):
        VideoFeatures(open_features(data_dir, "tadtr"), 4)


def test_features_that_do_not_fit_in_memory_are_read_each_time(data_dir: Path) -> None:
    store = open_features(data_dir, "actionformer")
    kept, unkept = VideoFeatures(store, 4), VideoFeatures(store, 4)
    unkept._room = 0
    for video in store.video_ids[:3]:
        assert torch.equal(kept.read(video, 5, 50), unkept.read(video, 5, 50))
    assert kept._kept and not unkept._kept


def test_batches_do_not_depend_on_who_prepares_them(data_dir: Path) -> None:
    dataset, store = load_dataset(data_dir, "actionformer"), open_features(data_dir, "actionformer")
    units = video_units(dataset, store, ACTIONFORMER, 2.0)
    plan = epoch_plan(0, 0, len(units.ids), 4, 5)
    for batch, (passage, indices) in zip(epoch_batches(units, plan, 0), plan, strict=True):
        alone = collate([units.sample(i, draws_for(0, passage, units.ids[i])) for i in indices])
        assert torch.equal(batch.features, alone.features) and batch.ids == alone.ids


def test_collation_pads_with_zeros_to_the_longest() -> None:
    nothing = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
    batch = collate([Sample(str(n), torch.ones(3, n), *nothing) for n in (2, 5)])
    assert batch.lengths.tolist() == [2, 5]
    assert batch.features.sum().item() == 3 * 7 and batch.features.shape == (2, 3, 5)


def test_an_error_while_preparing_reaches_the_trainer() -> None:
    class Broken:
        ids, labels = ["a", "b"], []

        def sample(self, index: int, draws: np.random.Generator) -> Sample:
            raise InputError("truncated", "a.npy")

    with pytest.raises(InputError, match="truncated"):
        list(epoch_batches(Broken(), [(0, [0, 1])], 0))


def test_an_abandoned_epoch_can_be_collected_in_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining that thread from itself is an error, which Python would only print."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    last_reference: list[Iterator[Batch]] = []
    prepared, abandoned, dropped = threading.Semaphore(0), threading.Event(), threading.Event()

    class Units:
        ids, labels, video_ids = ["a"], [], []

        def sample(self, index: int, draws: np.random.Generator) -> Sample:
            if last_reference:
                abandoned.wait(10)
                last_reference.clear()
                dropped.set()
            prepared.release()
            return Sample("a", torch.ones(1, 1), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))

    batches = epoch_batches(Units(), [(0, [0])] * 9, 0)
    next(batches)
    for _ in range(1 + BATCHES_AHEAD):
        assert prepared.acquire(timeout=10)
    last_reference.append(batches)
    next(batches)  # has one more prepared, by the thread that waits to drop it
    del batches
    abandoned.set()
    assert dropped.wait(10)
    assert complaints == []


def test_evaluated_epochs_follow_each_upstream() -> None:
    turns = {
        recipe: [epoch for epoch in range(recipe.epochs) if is_evaluated(recipe, epoch)]
        for recipe in (TADTR, ACTIONFORMER, TRIDET, TEMPORALMAXER)
    }
    assert turns[TADTR] == list(range(15))
    assert turns[ACTIONFORMER] == [19, 24, 29, 34]
    assert turns[TRIDET] == [24, 29, 34, 39]
    assert turns[TEMPORALMAXER] == list(range(30, 65))
    assert [epoch for epoch in range(15) if is_evaluated(TADTR, epoch, every=4)] == [3, 7, 11, 14]
    ten = with_overrides(ACTIONFORMER, {"epochs": 10})
    assert [epoch for epoch in range(10) if is_evaluated(ten, epoch, every=1)] == [5, 6, 7, 8, 9], "the second half"


def score(epoch: int, average: float) -> dict[str, object]:
    return {"epoch": epoch, "average": average, "ap": {}, "flags": []}


def test_early_stop_counts_down_on_a_better_map() -> None:
    selections = Selections()
    stops = []
    for epoch, average in enumerate([0.2, 0.1, 0.1, 0.3, 0.2, 0.3]):
        selections.add("ema", score(epoch, average), reported=True)
        stops.append(selections.stops(TEMPORALMAXER))
    assert stops == [False] * 5 + [True]
    assert (selections.best["ema"]["epoch"], selections.last["ema"]["epoch"]) == (3, 5)
    assert not selections.stops(ACTIONFORMER)


def test_zero_map_never_counts_as_better() -> None:
    selections = Selections()
    for epoch in range(3):
        selections.add("ema", score(epoch, 0.0), reported=True)
    assert selections.stops(TEMPORALMAXER) and selections.best["ema"]["epoch"] == 0


def test_table2_seconds_are_not_the_same_thing_for_every_model() -> None:
    seconds = {"train": 100.0, "checkpoint": 10.0, "reported_eval": 1.0, "eval": 2.0}
    assert table2_seconds("actionformer", seconds)[0] == table2_seconds("tridet", seconds)[0] == 110
    assert table2_seconds("tadtr", seconds)[0] == table2_seconds("temporalmaxer", seconds)[0] == 111
    assert table2_seconds("tadtr", seconds)[1] == "training, checkpoints and evaluations"
    assert table2_seconds("tridet", seconds)[1] == "training and checkpoints, no evaluation"
    never = {**seconds, "checkpoint": 0.0, "reported_eval": 0.0}  # what a run did not do is not said of it
    assert table2_seconds("tetad", never) == (100, "training, no evaluation")


def test_small_samples_are_told() -> None:
    check_units(2, 2, "video")
    with pytest.raises(InputError, match=r"1 training video for batches of 2: zero optimizer steps"):
        check_units(1, 2, "video")
    assert invalid_flags([], 5) == []
    assert invalid_flags(["Diving"], 0) == ["class-without-test-instances: Diving", "no-detections"]


def test_the_ground_truth_scores_1_under_every_protocol(data_dir: Path) -> None:
    from tal_repro.data import ground_truth

    dataset = load_dataset(data_dir, "actionformer")
    features = VideoFeatures(open_features(data_dir, "actionformer"), 4)
    model = build("temporalmaxer", feature_dim=16, embed_dim=16, head_dim=16)
    evaluator = Evaluator(dataset, features, model, "fp32")
    truth = ground_truth(dataset, "test").assign(score=1.0)
    scored = evaluator.score_all(truth, evaluator.score(truth, 0))
    assert scored["average"] == pytest.approx(1.0)
    assert set(scored["ap"]) == {"af-212", "opentad-211", "tadtr-210"}
    assert all(ap == pytest.approx(1.0) for by_tiou in scored["ap"].values() for ap in by_tiou.values())
    empty = evaluator.score(truth.iloc[:0], 0)
    assert empty["average"] == 0 and empty["flags"] == ["no-detections"]


def test_a_class_without_test_instances_is_flagged(data_dir: Path) -> None:
    import dataclasses

    dataset = load_dataset(data_dir, "actionformer")
    gone = dataset.classes.index("Billiards")
    videos = {
        key: dataclasses.replace(v, segments_s=v.segments_s[v.labels != gone], labels=v.labels[v.labels != gone])
        for key, v in dataset.videos.items()
    }
    model = build("tadtr", feature_dim=16, hidden_dim=32)
    features = VideoFeatures(open_features(data_dir, "tadtr"), 8)
    evaluator = Evaluator(dataclasses.replace(dataset, videos=videos), features, model, "fp32")
    from tal_repro.data import ground_truth

    truth = ground_truth(dataset, "test").assign(score=1.0)
    assert evaluator.score(truth, 0)["flags"] == ["class-without-test-instances: Billiards"]


def test_a_test_set_without_instances_is_refused(data_dir: Path) -> None:
    import dataclasses

    dataset = load_dataset(data_dir, "actionformer")
    videos = {key: video for key, video in dataset.videos.items() if video.subset == "train"}
    features = VideoFeatures(open_features(data_dir, "actionformer"), 4)
    model = build("tridet", feature_dim=16, embed_dim=16, head_dim=16, mlp_dim=16)
    with pytest.raises(InputError, match="no test instance counts under protocol af-212"):
        Evaluator(dataclasses.replace(dataset, videos=videos), features, model, "fp32")
