"""The synthetic data set: THUMOS14's statistics, both upstreams' constraints, same seed same bytes, all or nothing."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tal_repro.annotations import AMBIGUOUS
from tal_repro.data import load_dataset, open_features
from tal_repro.data.summary import statistics
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import invent_videos
from tal_repro.data.synthetic_config import SyntheticConfig, read_class_facts, synthetic_config
from tal_repro.data.synthetic_features import ROWS_AT_ONCE, feature_chunks, feature_steps, make_world
from tal_repro.errors import InputError

from .conftest import ACTIONFORMER_JSON, NPY, SMALL, TADTR_INFO, TADTR_JSON, TENSORS

TINY = SyntheticConfig(3, 2, feature_dim=8, classes=4, seconds=(10, 14), seed=5)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Annotations at THUMOS14's size."""
    root = write_synthetic(tmp_path_factory.mktemp("full") / "d", SyntheticConfig(), "annotations")
    return load_dataset(root, "tadtr")


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first, second = (digests(write_synthetic(tmp_path / name, TINY)) for name in "ab")
    assert first == second
    other = digests(
        write_synthetic(tmp_path / "c", synthetic_config({"videos": 3, "test": 2, "seed": 6}), "annotations")
    )
    assert first[ACTIONFORMER_JSON] != other[ACTIONFORMER_JSON]


# value, relative or absolute tolerance: THUMOS14's published statistics
REAL = {
    "train": {
        "videos": (200, 0),
        "instances": (3007, 0.01),
        "video_s_mean": (209, 0.05),
        "video_s_median": (150, 0.1),
        "instances_mean": (15, 0.01),
        "instances_log_std": (1.18, 0.15),
        "action_s_mean": (4.04, 0.05),
        "action_s_median": (2.9, 0.1),
        "ambiguous": (89, 0.1),
        "foreground_share": (0.29, 0.15),
        "one_class_share": (0.86, 0.05),
        "longer_than_2304_share": (0.15, 0.4),
    },
    "test": {
        "videos": (212, 0),
        "instances": (3358, 0.01),
        "video_s_mean": (217, 0.06),
        "video_s_median": (162, 0.1),
        "action_s_mean": (4.48, 0.05),
        "action_s_median": (3.2, 0.15),
        "ambiguous": (99, 0.1),
        "foreground_share": (0.29, 0.15),
        "one_class_share": (0.86, 0.05),
        "longer_than_2304_share": (0.15, 0.4),
    },
}


@pytest.mark.parametrize(("subset", "name"), [(subset, name) for subset in REAL for name in REAL[subset]])
def test_statistics_at_full_size_are_those_of_thumos14(full, subset, name):
    value, tolerance = REAL[subset][name]
    assert statistics(full, subset)[name] == pytest.approx(value, rel=tolerance)


def test_classes_at_full_size_are_those_of_thumos14(full):
    for subset, videos in (("train", full.train), ("test", full.test)):
        for label, fact in enumerate(read_class_facts()):
            assert full.classes[label] == fact.name
            segments = np.concatenate([video.segments_s[video.labels == label] for video in videos])
            assert sum(label in video.labels for video in videos) == fact.videos[subset]
            assert len(segments) == pytest.approx(fact.instances[subset], rel=0.02)
            assert (segments[:, 1] - segments[:, 0]).mean() == pytest.approx(fact.mean_s[subset], rel=0.2)


def test_documented_faults_of_thumos14_are_there(full):
    beyond = {
        video.id: int((video.segments_s[:, 1] > video.duration_s).sum())
        for video in full.videos.values()
        if (video.segments_s[:, 1] > video.duration_s).any()
    }
    assert set(beyond) == {
        "video_validation_0000364",
        "video_validation_0000856",
        "video_test_0000270",
        "video_test_0000814",
        "video_test_0001081",
    }
    bad = full.videos["video_test_0000270"]
    assert beyond[bad.id] / len(bad.labels) == pytest.approx(22 / 29, abs=0.15)
    assert "video_test_0001496" in full.videos
    fps = [video.fps for video in full.videos.values()]
    assert {rate: fps.count(rate) for rate in (30.0, 29.97, 25.0, 24.0)}[30.0] == pytest.approx(381, abs=4)
    assert {29.97, 25.0, 24.0} <= set(fps)


def test_every_cliff_dive_is_a_dive_too(full):
    cliff, diving = full.classes.index("CliffDiving"), full.classes.index("Diving")
    twins = 0
    for video in full.videos.values():
        dives = {tuple(segment) for segment in video.segments_s[video.labels == diving]}
        for segment in video.segments_s[video.labels == cliff]:
            assert tuple(segment) in dives
            twins += 1
    assert twins == 143 + 217


def test_videos_shorter_than_a_slice_and_longer_than_2304_are_there(full):
    for subset in ("train", "test"):
        found = statistics(full, subset)
        assert 0 < found["shorter_than_slice_share"] < 0.15
        assert found["longer_than_2304_share"] > 0


@pytest.mark.parametrize("test_videos", [1, 2, 5, 19, 20, 40])
def test_every_class_occurs_in_every_subset_however_small(test_videos):
    videos = invent_videos(SyntheticConfig(30, test_videos, seconds=(30, 70), seed=1))
    for subset in ("train", "test"):
        labels = {action.label for video in videos if video.subset == subset for action in video.actions}
        assert len(labels) == 20


@pytest.mark.parametrize("seed", range(5))
def test_actions_lie_in_order_and_in_their_video_but_for_the_faulty_ones(seed):
    for video in invent_videos(SyntheticConfig(40, 40, seconds=(10, 90), seed=seed)):
        for action in video.actions:
            assert 0 <= action.start_s < action.end_s
            assert video.quirk or action.end_s <= video.duration_s
            assert 0 <= action.shown_start_s < action.shown_end_s


def test_actionformer_layout_meets_its_loader(small):
    raw = json.loads((small / ACTIONFORMER_JSON).read_text())
    assert raw["synthetic"] is True
    labels = {a["label"]: a["label_id"] for e in raw["database"].values() for a in e["annotations"]}
    assert sorted(labels.values()) == list(range(20)) and AMBIGUOUS not in labels
    assert {entry["subset"].lower() for entry in raw["database"].values()} == {"validation", "test"}
    assert all(entry["annotations"] and entry["fps"] and entry["duration"] for entry in raw["database"].values())
    files = {path.stem for path in (small / NPY).iterdir()}
    assert files - set(raw["database"]) == {"video_test_0001292"}  # a feature file without annotation
    for name in files:
        rows = np.load(small / NPY / f"{name}.npy", allow_pickle=False)
        assert rows.dtype == np.float32 and rows.shape[1] == 16 and (rows >= 0).all() and np.isfinite(rows).all()


def test_tadtr_layout_meets_its_loader(small):
    torch = pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")
    raw, info = (json.loads((small / name).read_text()) for name in (TADTR_JSON, TADTR_INFO))
    assert raw["synthetic"] is True and info.pop("synthetic") is True
    assert len(raw["classes"]) == 20 and AMBIGUOUS not in raw["classes"]
    assert {entry["subset"] for entry in raw["database"].values()} == {"val", "test"}
    assert set(info) == set(raw["database"])
    assert all(len(name.split("_")) == 3 for name in info)
    assert {action["label"] for action in raw["database"]["video_test_0001292"]["annotations"]} == {AMBIGUOUS}
    for name, entry in info.items():
        tensor = torch.load(small / TENSORS / name, weights_only=True)
        assert tensor.dtype == torch.float32 and tensor.shape == (entry["feature_length"], 16)
        assert entry["feature_second"] == pytest.approx(entry["feature_length"] / entry["feature_fps"])


def test_both_layouts_hold_the_same_videos_and_hash(small):
    first, second = load_dataset(small, "actionformer"), load_dataset(small, "tadtr")
    assert first.annotation_hash == second.annotation_hash
    rows, every_second = open_features(small, "actionformer"), open_features(small, "tadtr")
    for video in first.train[:3]:
        assert np.array_equal(rows.read(video.id)[::2], every_second.read(video.id))
        assert second.videos[video.id].feature_length == -(-video.feature_length // 2)


def test_rows_come_in_bounded_chunks_and_show_the_actions():
    config = SyntheticConfig(2, 1, feature_dim=32, seconds=(400, 500), difficulty=0.2)
    video = max(invent_videos(config), key=lambda video: video.duration_s)
    world = make_world(config, tuple(fact.name for fact in read_class_facts()))
    chunks = list(feature_chunks(config, world, video))
    assert max(len(chunk) for chunk in chunks) <= ROWS_AT_ONCE and len(chunks) > 2
    rows = np.concatenate(chunks)
    assert len(rows) == feature_steps(video.duration_s, video.fps)
    times = (np.arange(len(rows)) * 4 + 8) / video.fps
    shown = np.any([(times > a.shown_start_s) & (times < a.shown_end_s) for a in video.actions], axis=0)
    assert rows[shown].mean() > 1.2 * rows[~shown].mean()


def frame_classifier_ap(dataset, store, train_ids):
    """Mean AP of a ridge regression on single feature steps: how much a data set lets a learner learn."""

    def frames(videos):
        rows, targets = [], []
        for video in videos:
            read = store.read(video.id)
            times = (np.arange(len(read)) * 4 + 8) / video.fps
            target = np.zeros((len(read), len(dataset.classes)), np.float32)
            for (start, end), label in zip(video.segments_s, video.labels, strict=True):
                target[(times >= start) & (times <= end), label] = 1
            rows.append(np.c_[read, np.ones(len(read))])
            targets.append(target)
        return np.concatenate(rows), np.concatenate(targets)

    rows, targets = frames([dataset.videos[video_id] for video_id in train_ids])
    weights = np.linalg.solve(rows.T @ rows + 10 * np.eye(rows.shape[1]), rows.T @ targets)
    rows, targets = frames(dataset.test)
    scores = rows @ weights
    precisions = []
    for label in range(len(dataset.classes)):
        hits = targets[np.argsort(-scores[:, label]), label] > 0
        precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(precisions))


def test_a_learner_gains_from_more_videos_less_and_less_and_less_on_harder_data(tmp_path):
    curves = {}
    for difficulty in (0.2, 0.9):
        config = SyntheticConfig(48, 24, 48, classes=6, seconds=(20, 40), difficulty=difficulty, seed=2)
        root = write_synthetic(tmp_path / str(difficulty), config, "actionformer")
        dataset, store = load_dataset(root), open_features(root)
        ids = [video.id for video in dataset.train]
        curves[difficulty] = [frame_classifier_ap(dataset, store, ids[:number]) for number in (4, 16, 48)]
    few, some, all_ = curves[0.2]
    assert few + 0.1 < some < all_
    assert some - few > all_ - some
    assert curves[0.9][2] < all_ - 0.1


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tal_repro.data.synthetic.write_features", full_disk)
    with pytest.raises(InputError, match="No space left"):
        write_synthetic(tmp_path / "out", TINY)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "out", TINY, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_left_is_cleared_and_what_another_builds_is_not(tmp_path):
    killed, busy = (tmp_path / f".out.tal-repro-synth-{name}" for name in ("killed00", "busy0000"))
    for folder in (killed, busy, tmp_path / ".out.mine"):
        (folder / "data").mkdir(parents=True)
        os.utime(folder, (1, 1))
    descriptor = os.open(busy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    write_synthetic(tmp_path / "out", TINY, "annotations")
    os.close(descriptor)
    assert {path.name for path in tmp_path.iterdir()} == {"out", busy.name, ".out.mine"}


def test_what_does_not_fit_on_the_disk_is_refused_before_the_first_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**20})())
    with pytest.raises(InputError, match=r"1\.0 MiB are free"):
        write_synthetic(tmp_path / "out", TINY)
    monkeypatch.setattr("tal_repro.data.synthetic.invent_videos", lambda config: pytest.fail("invented in vain"))
    with pytest.raises(InputError, match=r"needs [\d,.]+ MiB"):
        write_synthetic(tmp_path / "out", SyntheticConfig(train_videos=100_000))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_refused_and_kept(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        write_synthetic(tmp_path, TINY)
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_weird_path_is_only_a_path(weird_path):
    root = write_synthetic(weird_path / "new", TINY)
    assert load_dataset(root).synthetic


@pytest.mark.parametrize(
    "settings",
    [
        {"videos": 0},
        {"test": -1},
        {"videos": 10**11},
        {"classes": 21},
        {"classes": True},
        {"feature_dim": 2},
        {"difficulty": float("nan")},
        {"difficulty": 2},
        {"seconds": [70, 30]},
        {"seconds": [1, 2, 3]},
        {"seconds": "30-70"},
        {"seed": -1},
        {"videos": "many"},
        {"typo": 1},
    ],
)
def test_a_setting_that_no_data_set_can_have_is_refused(settings):
    with pytest.raises(InputError):
        synthetic_config(settings)


def test_fewer_classes_keep_the_twins():
    assert [fact.name for fact in read_class_facts(2)] == ["CliffDiving", "Diving"]
    assert SMALL.classes == len(read_class_facts(SMALL.classes))
