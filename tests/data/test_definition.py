"""A data set of one's own: described, defined, read in every format as the same values, refused where it is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data import load_dataset, open_features
from tal_repro.data.definition import read_definition
from tal_repro.data.definition_text import definition_text
from tal_repro.data.feature_formats import read_shape
from tal_repro.data.fitting import fitted_recipe
from tal_repro.data.layouts import Layout
from tal_repro.data.state import read_state
from tal_repro.data.verify import verify
from tal_repro.data.windows import Slicing, training_windows
from tal_repro.errors import InputError
from tal_repro.study import load_study
from tests.data.made_up_set import define, write_set

FORMATS = ["npy", "npz", "pt", "hdf5", "hdf5s", "npz1", "pt1"]


def describe(annotations: Path, features: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["data", "describe", str(annotations), str(features), *words])


def defined(root: Path, kind: str = "npy", *words: str, **more: Any) -> Path:
    return define(root, kind, *words, **more)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_described_and_read_as_the_same_values(tmp_path: Path, kind: str) -> None:
    path = defined(tmp_path / kind, kind)
    dataset, store = load_dataset(path), open_features(path)
    assert (dataset.name, dataset.defined, len(dataset.train), len(dataset.test)) == ("my-data", True, 12, 6)
    assert (store.dim, store.stride_frames, dataset.test[0].feature_fps) == (24, 1.0, 5.0)
    assert store.length("video 000") == dataset.videos["video 000"].feature_length == 60
    plain = defined(tmp_path / "plain", "npy")
    state, other = (read_state(load_dataset(place), open_features(place)) for place in (path, plain))
    assert state.digest == other.digest  # values, not files


def test_float16_and_channels_first_are_read_as_declared(tmp_path: Path) -> None:
    half = defined(tmp_path / "half", "hdf5", dtype="float16")
    assert open_features(half).read("video 000").dtype == np.float32
    assert open_features(half).values("video 000").dtype == np.float16
    turned = defined(tmp_path / "turned", "npy", transposed=True)
    assert read_definition(turned).axes == "TC"  # all of one length: nothing tells time from channels
    declared = defined(tmp_path / "declared", "npy", "--set", "axes=CT", transposed=True)
    straight = open_features(defined(tmp_path / "straight", "npy"))
    assert np.array_equal(open_features(declared).read("video 003"), straight.read("video 003"))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stated_type_that_does_not_fit_may_be_corrected_in_the_definition(tmp_path: Path, kind: str) -> None:
    path = defined(tmp_path, kind, dtype="float64", videos=6)
    path.write_text(path.read_text().replace("[features]", '[features]\ndtype = "float32"'))
    (report,) = verify(path)
    problems = [problem for problem in report.problems if "float64" in problem.what]
    assert {problem.where for problem in problems} == {f"video {number:03d}" for number in range(6)}
    for problem in problems:
        assert re.match(r"convert it: .*float32.*; or correct dtype in \[features\] of my-data.toml$", problem.remedy)


def test_a_definition_reads_back_and_names_the_nearest_key(tmp_path: Path) -> None:
    path = defined(tmp_path)
    definition = read_definition(path)
    path.write_text(definition_text(definition))
    assert read_definition(path) == definition
    path.write_text(path.read_text().replace("steps_per_second", "steps_per_secnd"))
    with pytest.raises(InputError, match="did you mean steps_per_second") as refused:
        read_definition(path)
    assert "my-data.toml: features" in str(refused.value.where)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('test = ["validation"]', 'test = ["training"]', "not both"),
        ("steps_per_second = 5", "", "one of them"),
        ("steps_per_second = 5", "steps_per_second = 5\nstride_frames = 4", "two feature steps"),
        ("steps_per_second = 5", "steps_per_second = 0", "above 0"),
        ("steps_per_second = 5", "stride_frames = -4", "above 0, at most 100000"),
        ("steps_per_second = 5", "steps_per_second = 5\nslice_stride_frames = -8", "above 0"),
        ("steps_per_second = 5", "steps_per_second = 5\nclip_frames = nan", "above 0"),
        ('unit = "seconds"', 'unit = "seconds"\nfps = -1', "above 0, at most 1000"),
        ('type = "npy"', 'type = "mat"', "npy, npz, pt, hdf5"),
        ('name = "my-data"', 'name = "../x"', "letters"),
        ('train = ["training"]', 'train = ["nothing"]', "no video of subset 'nothing'"),
        ('unit = "seconds"', 'unit = "hours"', "seconds, milliseconds, frames"),
        ('path = "features"', 'path = "elsewhere"', "cannot be listed"),
    ],
)
def test_a_wrong_definition_is_refused_by_key(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = defined(tmp_path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(InputError, match=message):
        load_dataset(path)


@pytest.mark.parametrize(("unit", "per_second"), [("milliseconds", 1000.0), ("frames", 25.0)])
def test_segments_in_another_unit_are_the_same_set(tmp_path: Path, unit: str, per_second: float) -> None:
    path = defined(tmp_path)
    before = load_dataset(path).annotation_hash
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    for entry in content["database"].values():
        for action in entry["annotations"]:
            action["segment"] = [bound * per_second for bound in action["segment"]]
    file.write_text(json.dumps(content))
    path.write_text(path.read_text().replace('unit = "seconds"', f'unit = "{unit}"\nfps = 25'))
    assert load_dataset(path).annotation_hash == before


def _without_class(content: dict[str, Any]) -> None:
    for entry in content["database"].values():
        if entry["subset"] == "training":
            entry["annotations"] = [a for a in entry["annotations"] if a["label"] != "class01"]


def _one_training_video(content: dict[str, Any]) -> None:
    trained = [key for key, entry in content["database"].items() if entry["subset"] == "training"]
    for key in trained[1:]:
        del content["database"][key]


@pytest.mark.parametrize(
    ("change", "message"),
    [(_without_class, "class01' is tested and never trained"), (_one_training_video, "one training video")],
)
def test_what_makes_a_training_pointless_is_an_error(tmp_path: Path, change: Any, message: str) -> None:
    annotations, features = write_set(tmp_path, "npy")
    content = json.loads(annotations.read_text())
    change(content)
    annotations.write_text(json.dumps(content))
    result = describe(annotations, features, "--out", str(tmp_path / "my-data.toml"))
    assert result.exit_code == 1 and message in result.stdout
    assert "mend what is named above" in result.stderr and "study new" not in result.stderr


WRONG_ENDINGS = {  # of the definition -> what each file is called -> what is held
    "another": ('ending = ".feat.npy"', "{}.npy", "are to end in '.feat.npy', the folder holds '.npy' (6)"),
    "too short": ("", "{}.feat.npy", "are to end in '.npy', the folder holds '.feat.npy' (6)"),
    "none": ("", "{}", "are to end in '.npy', the folder holds '' (6)"),
}


@pytest.mark.parametrize("durations", [True, False], ids=["durations", "no durations"])
@pytest.mark.parametrize("case", WRONG_ENDINGS)
def test_a_wrong_ending_is_told_once_with_those_that_are_there(tmp_path: Path, case: str, durations: bool) -> None:
    stated, name, held = WRONG_ENDINGS[case]
    path = defined(tmp_path, "npy", videos=6)
    text = path.read_text()
    path.write_text(text.replace("[features]", f"[features]\n{stated}"))
    for file in (tmp_path / "features").iterdir():
        file.rename(file.with_name(name.format(file.stem)))
    content = json.loads((tmp_path / "annotations.json").read_text())
    for entry in content["database"].values() if not durations else []:
        del entry["duration"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (report,) = verify(path)
    (error,) = [problem for problem in report.problems if problem.severity == "error"]
    assert error.what == f"none of the 6 annotated videos has features, the first: 'video 000'; files {held}"
    assert error.remedy.startswith("correct [features] of my-data.toml, for example ending = ")
    planned = CliRunner().invoke(main, ["study", "new", "--data", str(path), "--out", str(tmp_path / "s.toml")])
    assert planned.exit_code == 2 and planned.stderr.count(held) == 1 and "run data synth" not in planned.stderr
    likely = error.remedy.partition("ending = ")[2].partition(";")[0]
    path.write_text(text.replace("[features]", f"[features]\nending = {likely}"))
    assert verify(path)[0].errors == 0, "the remedy mends it"


def test_one_file_of_other_ids_is_told_once_with_those_that_it_holds(tmp_path: Path) -> None:
    path = defined(tmp_path, "hdf5", videos=6)
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["database"] = {f"v_{key}": entry for key, entry in content["database"].items()}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (error,) = [problem for problem in verify(path)[0].problems if problem.severity == "error"]
    assert (
        "the first: 'v_video 000'; the file holds 'video 000', 'video 001', 'video 002', 'video 003', ..." in error.what
    )


def test_features_of_another_extractor_and_missing_ones_are_named(tmp_path: Path) -> None:
    annotations, features = write_set(tmp_path, "npy")
    np.save(features / "video 004.npy", np.ones((60, 7), np.float32))
    (features / "video 006.npy").unlink()
    result = describe(annotations, features)
    assert result.exit_code == 1 and "video 004: 7 channels, most videos have 24" in result.stdout
    assert "1 annotated videos have no features, the first: video 006" in result.stdout


def test_features_of_another_extractor_of_as_many_channels_are_told_by_their_size(tmp_path: Path) -> None:
    path = defined(tmp_path)
    file = tmp_path / "features" / "video 003.npy"
    np.save(file, 40 * np.load(file))
    result = CliRunner().invoke(main, ["data", "verify", str(path)])
    noted = [line for line in result.output.splitlines() if "as large as most videos'" in line]
    assert result.exit_code == 0 and len(noted) == 1 and "note: video 003: values" in noted[0]


def test_twins_are_found_by_their_values(tmp_path: Path) -> None:
    annotations, features = write_set(tmp_path, "npy")
    np.save(features / "video 005.npy", np.load(features / "video 001.npy"))
    assert describe(annotations, features).exit_code == 0
    result = describe(annotations, features, "--hash", "--json")
    problems = json.loads(result.stdout)["problems"]
    assert result.exit_code == 1 and ["the same features as video 001" in p["what"] for p in problems].count(True) == 1
    facts = json.loads(result.stdout)["facts"]
    assert facts["videos trained and tested on"]["all"] == "1", "001 trains, 005 tests"
    assert facts["reached by the pyramids (%)"]["train"] == "100.0" and "frames a second, median" not in facts


def test_frames_a_second_are_a_row_with_their_span(tmp_path: Path) -> None:
    annotations, features = write_set(tmp_path, "npy")
    content = json.loads(annotations.read_text())
    for entry in content["database"].values():
        entry["fps"] = 25.0 if entry["subset"] == "validation" else 30.0
    annotations.write_text(json.dumps(content))
    words = ["--set", "stride_frames=5", "--json"]
    facts = json.loads(describe(annotations, features, *words).stdout)["facts"]
    assert facts["frames a second, median"] == {"all": "30 (25 to 30)", "train": "30", "test": "25"}


def test_a_step_and_a_duration_count_the_clip_that_a_feature_sees(tmp_path: Path) -> None:
    """60 clips of 16 frames, 4 apart, are 252 frames: 12 s at 21 a second."""
    annotations, features = write_set(tmp_path, "npy")
    path = tmp_path / "my-data.toml"
    rate = ["--set", "fps=21", "--out", str(path)]
    assert describe(annotations, features, *rate, "--set", "clip_frames=16").exit_code == 0
    assert read_definition(path).stride_frames == 4.0
    content = json.loads(annotations.read_text())
    for entry in content["database"].values():
        del entry["duration"]
    annotations.write_text(json.dumps(content))
    for clip, frames in ((["--set", "clip_frames=16"], 252), ([], 240)):
        path.unlink()
        assert describe(annotations, features, *rate, "--set", "stride_frames=4", *clip).exit_code == 0
        assert load_dataset(path).videos["video 000"].duration_s == pytest.approx(frames / 21)


def test_what_cannot_be_told_is_asked(tmp_path: Path) -> None:
    annotations, features = write_set(tmp_path, "npy")
    content = json.loads(annotations.read_text())
    for entry in content["database"].values():
        entry["subset"] = "all"
    annotations.write_text(json.dumps(content))
    result = describe(annotations, features)
    assert result.exit_code == 2 and "--train NAME --test NAME" in result.stderr
    result = describe(annotations, tmp_path / "nowhere")
    assert result.exit_code == 2 and "Traceback" not in result.output


def test_names_of_thumos14_are_for_what_hashes_to_it(tmp_path: Path) -> None:
    path = defined(tmp_path)
    path.write_text(path.read_text().replace('name = "my-data"', 'name = "thumos14"'))
    assert load_dataset(path).name == "custom-thumos14"
    assert notes_on_the_name(path) == [
        "its annotations are not those of THUMOS14: runs call the set custom-thumos14, not thumos14"
    ]


def notes_on_the_name(path: Path) -> list[str]:
    """Return what data verify notes on the name of a set, which it counts as no error."""
    result = CliRunner().invoke(main, ["data", "verify", str(path)])
    assert result.exit_code == 0, result.output
    named = [line.strip() for line in result.stdout.splitlines() if "note: name: " in line]
    return [line.removeprefix("note: name: ").partition(" [")[0] for line in named]


def test_annotations_of_another_hash_than_the_definition_states_are_noted(tmp_path: Path) -> None:
    path = defined(tmp_path, "npy", videos=6)
    digest = load_dataset(path).annotation_hash
    text = path.read_text()
    path.write_text(f'annotation_hash = "{digest}"\n{text}')
    assert notes_on_the_name(path) == []
    path.write_text(f'annotation_hash = "{"0" * 64}"\n{text}')
    (note,) = notes_on_the_name(path)
    assert note.startswith(f"its annotations hash to {digest[:12]}, the definition states 000000000000: ")
    assert note.endswith(f"runs call the set custom-{digest[:8]}, not my-data")


@pytest.mark.parametrize("kind", FORMATS)
def test_verify_checks_a_defined_set_as_itself(tmp_path: Path, kind: str) -> None:
    path = defined(tmp_path, kind, channels=8)
    result = CliRunner().invoke(main, ["data", "verify", str(path)])
    assert result.exit_code == 0, result.output
    assert "18 feature" in result.output and "THUMOS14" not in result.output and "surplus" not in result.output
    recorded = json.loads((tmp_path / "my-data.fingerprint.json").read_text())
    files = recorded["layouts"][0]["files"]
    assert len(files) == 19 and len(set(files.values())) == 19, "a video's own values, also in one file of all"


def test_verify_names_damage_in_one_file_of_all(tmp_path: Path) -> None:
    path = defined(tmp_path, "hdf5", channels=8)
    with h5py.File(tmp_path / "features.h5", "a") as file:
        file["video 001"][3, 2] = np.nan
        del file["video 002"]
        file["stranger"] = np.ones((60, 8), np.float32)
    result = CliRunner().invoke(main, ["data", "verify", str(path)])
    assert result.exit_code == 1
    assert "video 001: NaN or infinite values in 1 of 60 steps, the first at step 3" in result.output
    assert "video 002: annotated, but without features" in result.output
    assert "1 further videos have features" in result.output
    assert "2 errors" in result.output and not (tmp_path / "my-data.fingerprint.json").exists()


def test_a_video_in_neither_split_needs_no_features(tmp_path: Path) -> None:
    path = defined(tmp_path, "npy", channels=8)
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    content["database"]["unseen"] = {"subset": "testing", "duration": 12.0, "annotations": []}
    file.write_text(json.dumps(content))
    result = CliRunner().invoke(main, ["data", "verify", str(path)])
    assert result.exit_code == 0, result.output
    assert "1 videos of 'testing'" in result.output


def test_a_defined_set_is_not_packed_and_keeps_its_folder(tmp_path: Path) -> None:
    path = defined(tmp_path, "npy", channels=8)
    result = CliRunner().invoke(main, ["data", "pack", str(path)])
    assert result.exit_code == 2 and "not packed" in str(result.exception) + result.output
    assert not (tmp_path / "packed").exists()
    assert open_features(path).dim == 8


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5", "npz1"])
def test_describe_reads_headers_alone(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """10^5 videos take under a minute as long as no array is opened for its length."""
    annotations, features = write_set(tmp_path, kind, channels=8)

    def opened(*_: Any) -> Any:
        raise AssertionError("an array was opened")

    monkeypatch.setattr("tal_repro.data.feature_formats.map_features", opened)
    result = describe(annotations, features)
    assert result.exit_code == 0, result.output


def test_more_files_than_may_be_open_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = defined(tmp_path, "npy", channels=8)
    monkeypatch.setattr("tal_repro.data.store.MOST_MAPPED", 4)
    store = open_features(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        rows = {video_id: store.read(video_id)[0, 0] for video_id in store.video_ids}
    assert len(set(rows.values())) == 18
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 4


def test_a_trial_takes_few_steps_on_long_videos_too(tmp_path: Path) -> None:
    """TadTR cuts an hour into hundreds of slices, each of them a training unit."""
    path = defined(tmp_path, "npy", videos=9, seconds=900.0, channels=8)
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    for index, entry in enumerate(content["database"].values()):
        labels = [action["label"] for action in entry["annotations"]]
        entry["annotations"] = [
            {"label": labels[start % 3], "segment": [start, start + 3.0 + index / 10]} for start in range(5, 890, 10)
        ]
    file.write_text(json.dumps(content))
    out = tmp_path / "trial.toml"
    words = ["study", "new", "--data", str(path), "--models", "tadtr,tridet", "--trial", "--out", str(out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    runs = {run.model: run for run in load_study(str(out)).runs() if run.experiment == "baseline"}
    slices = len(training_windows(load_dataset(path), Slicing.of(runs["tadtr"].recipe)))
    steps = slices // runs["tadtr"].recipe["batch_size"] * runs["tadtr"].recipe["epochs"]
    assert slices > 500 and steps <= slices, "few passes, batches of 4"
    recipe, demo = runs["tridet"].recipe, load_study("demo")
    work = recipe["max_seq_len"] * recipe["epochs"] * 6
    shown = demo.recipes["tridet"]["max_seq_len"] * demo.recipes["tridet"]["epochs"] * demo.synthesis["videos"]
    assert recipe["max_seq_len"] == 2304 and recipe["epochs"] > 10
    assert abs(work - 2 * shown) <= recipe["max_seq_len"] * 6, "twice the demo's, to the epoch"
    assert recipe["ema_decay"] < demo.recipes["tridet"]["ema_decay"], "in fewer steps the first weights are left behind"
    # 40 of a video, as the demo keeps, would find 45 % of 89 actions at best
    assert (
        runs["tridet"].recipe["max_detections"] == 2000 and len(content["database"]["video 000"]["annotations"]) == 89
    )


@pytest.mark.parametrize(("actions", "kept"), [(3, 200), (150, 300)])
def test_a_video_may_have_more_actions_than_the_authors_keep(tmp_path: Path, actions: int, kept: int) -> None:
    path = defined(tmp_path, "npy", seconds=900.0, channels=8)
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    entry = content["database"]["video 000"]
    entry["annotations"] = [{"label": "class00", "segment": [5.0 * k, 5.0 * k + 3]} for k in range(actions)]
    file.write_text(json.dumps(content))
    assert fitted_recipe(load_dataset(path), "actionformer", 8)["max_detections"].value == kept


def test_one_torch_file_of_all_videos_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    rows = torch.ones(60, 8)
    for content, key, message in (
        ([rows], "", "holds a list, expected video -> tensor"),
        ({}, "", "an empty dictionary"),
        ({"video 001": rows}, "", "no tensor 'video 000'"),
        ({"video 000": rows.int()}, "", "holds a torch.int32 tensor"),
        ({"video 000": rows.bfloat16()}, "", "holds a torch.bfloat16 tensor"),
        ({"video 000": rows[None]}, "", r"shape \(1, 60, 8\), expected \[T, C\]"),
        ({"video 000": {"rgb": rows, "flow": rows}}, "", "'video 000' holds 'rgb', 'flow'"),
        ({"video 000": {"rgb": rows}}, "flow", "'video 000' holds 'rgb'"),
        ({"video 000": {"rgb": rows, "flow": rows}}, "flow", ""),
        ({"video 000": {"feats": rows, "flow": rows}}, "", ""),
    ):
        place = tmp_path / f"{len(list(tmp_path.iterdir()))}.pt"
        torch.save(content, place)
        definition = replace(read_definition(defined(tmp_path / place.stem, "pt1")), features=place, key=key)
        if message:
            with pytest.raises(InputError, match=message) as refused:
                read_shape(Layout.of(definition), "video 000")
            assert str(place) in str(refused.value)
        else:
            assert read_shape(Layout.of(definition), "video 000") == (60, 8)
    torch.save({"video 000": np.ones((60, 8))}, tmp_path / "numpy.pt")  # what weights_only refuses
    with pytest.raises(InputError, match="not a torch tensor file"):
        read_shape(Layout.of(replace(definition, features=tmp_path / "numpy.pt")), "video 000")


def test_a_saved_dictionary_is_told_the_line_that_converts_it(tmp_path: Path) -> None:
    annotations, features = write_set(tmp_path, "npy", channels=8)
    held = {path.stem: np.load(path) for path in features.iterdir()}
    np.save(tmp_path / "IN", held, allow_pickle=True)
    (tmp_path / "IN.npy").rename(tmp_path / "all.npy")
    result = describe(annotations, tmp_path / "all.npy")
    assert result.exit_code == 2 and "neither .h5, .npz nor .pt" in result.stderr
    (tmp_path / "IN").write_bytes((tmp_path / "all.npy").read_bytes())
    code = result.stderr.split('python -c "')[1].split('"')[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert describe(annotations, tmp_path / "OUT.npz").exit_code == 0


def test_an_archive_of_all_that_changes_is_opened_anew(tmp_path: Path) -> None:
    path = defined(tmp_path, "npz1", channels=8)
    store, before = open_features(path), open_features(path).read("video 000")
    with np.load(tmp_path / "features.npz") as held:
        changed = {name: held[name] + 1 for name in held.files}
    np.savez(tmp_path / "features.npz", **changed, more=before)
    assert np.array_equal(store.read("video 000"), before + 1)
