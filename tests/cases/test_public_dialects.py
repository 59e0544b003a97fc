"""Files as they circulate, from public bug reports, in miniature: read, or refused with how."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data import load_dataset, open_features
from tal_repro.data.verify import verify
from tal_repro.errors import InputError

SEGMENTS = {"jump": ["2.0", "5.0"], "run": ["10.0", "14.0"]}
TRUTH = {
    "database": {
        name: {
            "subset": "test",
            "duration": 30.0,
            "annotations": [
                {"label": label, "segment": [float(bound) for bound in bounds]} for label, bounds in SEGMENTS.items()
            ],
        }
        for name in ("v0", "v1")
    }
}
ACTIONFORMER_TABLE = ",video-id,t-start,t-end,label,score\n0,v0,2.1,5.0,jump,0.9\n"


def scored(tmp_path, truth, detections=ACTIONFORMER_TABLE, name="det.csv", truth_name="gt.json"):
    (tmp_path / truth_name).write_text(truth if isinstance(truth, str) else json.dumps(truth))
    (tmp_path / name).write_text(detections if isinstance(detections, str) else json.dumps(detections))
    arguments = ["evaluate", str(tmp_path / name), str(tmp_path / truth_name), "--json"]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_04_bounds_as_text_are_the_numbers_they_spell(tmp_path) -> None:
    texts = json.loads(json.dumps(TRUTH))
    for entry in texts["database"].values():
        for action in entry["annotations"]:
            action["segment"] = SEGMENTS[action["label"]]
    results = {
        name: [{"label": a["label"], "score": "0.9", "segment": a["segment"]} for a in entry["annotations"]]
        for name, entry in texts["database"].items()
    }
    assert json.loads(scored(tmp_path, texts, {"results": results}, "det.json").stdout)["average_map"] == 1


def test_06_actionformers_columns_with_pandas_index_are_read(tmp_path) -> None:
    assert json.loads(scored(tmp_path, TRUTH).stdout)["average_map"] == pytest.approx(0.25)


def test_09_a_model_of_more_classes_is_scored_and_the_others_are_named(tmp_path) -> None:
    result = scored(tmp_path, TRUTH, ACTIONFORMER_TABLE + "1,v0,0,1,swim,0.05\n")
    assert (result.exit_code, json.loads(result.stdout)["average_map"]) == (0, pytest.approx(0.25))
    assert "1 of 2 detections are of 1 classes" in result.stderr and "'swim' (1)" in result.stderr
    assert scored(tmp_path, TRUTH, ACTIONFORMER_TABLE.replace("jump", "swim")).exit_code == 2


def test_14_a_bare_file_texts_and_tables_are_scored_and_said(tmp_path) -> None:
    bare = {
        "v0": {
            "duration_second": 30.0,
            "duration_frame": 900,
            "annotations": [{"segment": [2.0, 5.0], "label": "jump"}],
        }
    }
    result = scored(tmp_path, bare)
    assert json.loads(result.stdout)["average_map"] == 1 and "name no subset: all 1 videos" in result.stderr
    for name, text, kind in (
        ("jump_test.txt", "v0 2.0 5.0\n", "THUMOS' text files"),
        ("afsd.csv", "video,type,type_idx,start,end,startFrame,endFrame\nv0,jump,1,2.0,5.0,60,150\n", "AFSD's"),
    ):
        result = scored(tmp_path, text, truth_name=name)
        assert json.loads(result.stdout)["average_map"] == 1 and f"read as {kind}" in result.stderr


def data_set(root, ids=("a", "b"), subsets=("Validation", "Test"), suffix=".npy"):
    """Write two videos of 8 s at 30 frames/s in ActionFormer's layout."""
    (root / "annotations").mkdir(parents=True)
    (root / "i3d_features").mkdir()
    database = {}
    for name, subset in zip(ids, subsets, strict=True):
        rows = np.random.default_rng(len(database)).normal(size=(57, 4)).astype(np.float32)
        path = root / "i3d_features" / f"{name}{suffix}"
        if suffix == ".npz":
            np.savez(path, feats=rows)
        else:
            np.save(path, rows)
        action = {"label": "x", "label_id": 0, "segment": [1 + len(database), 3]}
        database[name] = {"subset": subset, "duration": 8.0, "fps": 30.0, "annotations": [action]}
    (root / "annotations/thumos14.json").write_text(json.dumps({"database": database}))
    return root


@pytest.mark.parametrize("ids", [("-2VzSMAdzl4", "_02DdtVKaU"), ("barbell curl_1", "跳水")])
def test_07_ids_of_youtube_and_of_any_script_are_read(tmp_path, ids) -> None:
    (report,) = verify(data_set(tmp_path, ids))
    assert report.errors == 0 and report.feature_files == 2
    assert {video.id for video in load_dataset(tmp_path).videos.values() if video.has_features} == set(ids)


def test_07_a_file_named_in_another_unicode_form_is_told_as_such(tmp_path) -> None:
    folder = data_set(tmp_path, ("caf\u00e9", "b")) / "i3d_features"
    (folder / "caf\u00e9.npy").rename(folder / "cafe\u0301.npy")
    remedies = {
        problem.where: problem.remedy for problem in verify(tmp_path)[0].problems if problem.severity == "error"
    }
    assert "another Unicode form" in remedies["caf\u00e9.npy"]


def test_11_activitynets_subset_names_are_refused_with_what_to_write(tmp_path) -> None:
    with pytest.raises(InputError, match=r"means training here(.|\n)*`test` for what to score") as refused:
        load_dataset(data_set(tmp_path, subsets=("training", "validation")))
    assert "in a copy" in str(refused.value.remedy)


def test_12_tadtrs_file_without_classes_or_fps_is_read_as_its_own_code_does(tmp_path) -> None:
    database = {
        f"video_{name}_0000001": {
            "subset": subset,
            "duration": 20.0,
            "annotations": [{"label": label, "segment": [1, 3]}],
        }
        for name, subset, label in (("validation", "val", "b"), ("test", "test", "a"))
    }
    info = {name: {"feature_length": 75, "feature_second": 20.0, "feature_fps": 3.75} for name in database}
    (tmp_path / "th14_annotations_with_fps_duration.json").write_text(json.dumps({"database": database}))
    (tmp_path / "th14_i3d2s_ft_info.json").write_text(json.dumps(info))
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("a", "b")
    assert [(video.fps, video.feature_length) for video in dataset.videos.values()] == [(30.0, 75)] * 2


def test_13_features_in_npz_are_read_as_they_lie(tmp_path) -> None:
    (report,) = verify(data_set(tmp_path, suffix=".npz"))
    assert report.errors == 0 and report.feature_files == 2
    store = open_features(tmp_path)
    assert store.video_ids == ("a", "b") and store.length("a") == 57
    assert (store.read("b") == np.load(tmp_path / "i3d_features/b.npz")["feats"]).all()


def test_13_a_compressed_npz_is_read_and_one_of_two_arrays_refused_without_harm(tmp_path) -> None:
    folder, rows = data_set(tmp_path, suffix=".npz") / "i3d_features", np.ones((57, 4), np.float32)
    np.savez_compressed(folder / "a.npz", feats=rows)
    assert (open_features(tmp_path).read("a") == rows).all()
    np.savez(folder / "b.npz", rgb=rows, flow=rows)
    (problem,) = (problem for problem in verify(tmp_path)[0].problems if problem.severity == "error")
    assert (problem.where, "2 arrays: 'rgb', 'flow'" in problem.what) == ("b", True)
    assert "name the features feats" in problem.remedy
    (folder / "b.npz").write_bytes((folder / "b.npz").read_bytes()[:300])
    (folder / "a.npz").rename(folder / "a.npy")
    problems = verify(tmp_path)[0].problems
    assert not [problem for problem in problems if "remove" in problem.remedy or "delete" in problem.remedy]
    assert [problem.where for problem in problems if "convert" in problem.remedy] == ["b.npz"]
