"""`tal-repro data` and `tal-repro subset` as a user calls them: exit codes, streams, machine-readable output."""

from __future__ import annotations

import errno
import json
import os
import shutil
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def valid(text: str, name: str):
    """Return standard output as JSON after checking it against its schema."""
    value = json.loads(text)
    schema = json.loads(resources.files("tal_repro.schemas").joinpath(f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(value, schema)
    return value


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "made"
    sizes = ("--videos", 8, "--test", 5, "--feature-dim", 8, "--set", "seconds=12-20", "--set", "classes=5")
    answer = call("data", "synth", *sizes, "--out", root)
    assert answer.exit_code == 0, answer.output
    assert "synthetic data set in" in answer.stdout and "13/14 videos" not in answer.stdout
    assert "14/14 videos" in answer.stderr
    return root


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_verify_passes_and_writes_the_fingerprint(copy):
    answer = call("data", "verify", copy, "--json")
    assert answer.exit_code == 0, answer.output
    report = valid(answer.stdout, "data-verify")
    recorded = json.loads((copy / "fingerprint.json").read_text())
    assert [layout["fingerprint"] for layout in report["layouts"]] == [
        layout["fingerprint"] for layout in recorded["layouts"]
    ]
    assert all(layout["synthetic"] and layout["feature_files"] == 14 for layout in report["layouts"])


def test_verify_in_words_says_synthetic_and_lists_errors_with_exit_code_1(copy):
    (copy / "data/thumos/i3d_features/video_test_0000002.npy").write_bytes(b"x")
    (copy / "data/thumos/i3d_features/video_test_0000003.npy").unlink()
    answer = call("data", "verify", copy)
    assert answer.exit_code == 1
    assert "synthetic" in answer.stdout and "2 errors; no fingerprint written" in answer.stderr
    assert "corrupt .npy header" in answer.stdout and "missing: annotated" in answer.stdout
    assert not (copy / "fingerprint.json").exists()
    report = valid(call("data", "verify", copy, "--json").stdout, "data-verify")
    assert report["errors"] == 2


def test_a_sound_set_on_a_read_only_disk_passes(copy, monkeypatch):
    """The kit's containers mount the data read-only."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tal_repro.files.write_whole", refuse)
    answer = call("data", "verify", copy)
    assert answer.exit_code == 0, answer.output
    assert "fingerprint.json: cannot be written (Read-only file system); the check itself is done" in answer.stderr
    assert not (copy / "fingerprint.json").exists()


def test_verify_can_leave_the_folder_alone(copy):
    assert call("data", "verify", copy, "--layout", "tadtr", "--no-fingerprint").exit_code == 0
    assert not (copy / "fingerprint.json").exists()


def test_pack_prints_its_index(copy):
    report = valid(call("data", "pack", copy, "--json").stdout, "data-pack")
    assert Path(report["index"]).is_file() and (report["videos"], report["dim"]) == (14, 8)
    assert "float16 packed" in call("data", "pack", copy, "--layout", "tadtr", "--dtype", "float16").stdout


@pytest.mark.parametrize("unit", ["video", "slice"])
def test_subset_prints_ids_alone_and_counts_beside(made, unit, tmp_path):
    arguments = ("subset", "--data", made, "--percent", 50, "--unit", unit, "--seed", 2)
    answer = call(*arguments, "--out", tmp_path / "subset.json")
    assert answer.exit_code == 0, answer.output
    report = valid(call(*arguments, "--json").stdout, "subset")
    assert answer.stdout.split() == report["ids"]
    assert f"{report['counts']['units']} of {report['counts']['units_total']} training {unit}s" in answer.stderr
    assert "synthetic" in answer.stderr and report["data"]["synthetic"] is True
    assert json.loads((tmp_path / "subset.json").read_text())["ids"] == report["ids"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "verify", "absent"), "no such data folder"),
        (("data", "pack", "absent"), "no such data folder"),
        (("data", "synth", "--videos", 0, "--out", "new"), "videos = 0"),
        (("data", "synth", "--set", "classes=21", "--out", "new"), "classes = 21"),
        (("data", "synth", "--set", "seconds=70-30", "--out", "new"), "seconds = (70.0, 30.0)"),
        (("data", "synth", "--set", "seconds=", "--out", "new"), "use classes=10 or seconds=30-70"),
        (("data", "synth", "--set", "typo=1", "--out", "new"), "use classes=10 or seconds=30-70"),
        (("subset", "--data", "absent", "--percent", 10), "no such data folder"),
    ],
)
def test_bad_input_is_a_message_and_exit_code_2(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    answer = call(*arguments)
    assert answer.exit_code == 2 and message in answer.stderr and "Traceback" not in answer.output
    assert answer.stdout == "" and list(tmp_path.iterdir()) == []


def test_a_model_is_refused_where_no_policy_asks_for_it(made):
    answer = call("subset", "--data", made, "--percent", 50, "--model", "temporalmaxer")
    assert answer.exit_code == 2 and "policy uniform draws the same units for every model" in answer.stderr


def test_slices_are_cut_from_tadtrs_own_lengths_where_both_layouts_are_there(copy):
    """In the real archives the two features of a video need not be of one length: TadTR trains on its own slices."""
    info = copy / "data/thumos14/th14_i3d2s_ft_info.json"
    content = json.loads(info.read_text())
    (video, *_) = (name for name in content if name.startswith("video_validation"))
    content[video]["feature_length"] += 100
    info.write_text(json.dumps(content))
    report = json.loads(call("subset", "--data", copy, "--percent", 100, "--unit", "slice", "--json").stdout)
    ends = [int(name.rsplit("_", 1)[1]) for name in report["ids"] if name.startswith(f"{video}_window_")]
    assert max(ends) > content[video]["feature_length"] - 100


@pytest.mark.parametrize(("percent", "message"), [(0, "percentage 0"), (101, "percentage 101"), (0.1, "is none")])
def test_a_percentage_without_units_exits_2(made, percent, message):
    answer = call("subset", "--data", made, "--percent", percent)
    assert answer.exit_code == 2 and message in answer.stderr


def test_data_that_changed_since_the_last_check_are_told_before_their_new_fingerprint(copy):
    assert call("data", "verify", copy).exit_code == 0
    assert "changed since" not in call("data", "verify", copy).stderr
    path = copy / "data/thumos/i3d_features/video_test_0000002.npy"
    rows = np.load(path)
    np.save(path, rows + 1)
    answer = call("data", "verify", copy)
    assert answer.exit_code == 0 and "the actionformer layout changed since its last check" in answer.stderr
    assert "tadtr layout changed" not in answer.stderr
