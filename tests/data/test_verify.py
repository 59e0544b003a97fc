"""`data verify`: a sound set passes with its known oddities noted; every kind of damage is listed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data import open_features
from tal_repro.data.fingerprint import (
    FILE_NAME,
    hash_file,
    recorded_fingerprint,
    write_fingerprints,
)
from tal_repro.data.pack import pack_features
from tal_repro.data.verify import verify
from tal_repro.errors import InputError

from .conftest import ACTIONFORMER_JSON, NPY, TADTR_INFO, TADTR_JSON, TENSORS, edit

torch = pytest.importorskip("torch", reason="TadTR's files are torch tensors: make setup")


def errors(report):
    return {(Path(p.file).name, p.what) for p in report.problems if p.severity == "error"}


def test_a_sound_set_passes_in_both_layouts(small):
    reports = verify(small)
    assert [report.layout.name for report in reports] == ["actionformer", "tadtr"]
    for report in reports:
        assert errors(report) == set() and report.feature_files == 65
        assert report.fingerprint is not None and len(report.fingerprint.files) in (66, 67)


def test_known_oddities_are_notes(small):
    notes = {problem.where: problem.what for problem in verify(small, "actionformer")[0].problems}
    assert notes["video_test_0001292"].startswith("65 feature files for 64 videos")
    assert "CliffDiving segments are also Diving" in notes["CliffDiving"]
    assert "beyond the video's end" in notes["video_test_0000270"]
    assert "wrongly annotated" in notes["video_test_0001496"]


def test_every_damaged_npy_is_listed(copy):
    folder = copy / NPY
    rows = np.load(folder / "video_test_0000002.npy")
    outside = copy.parent / "outside.npy"
    np.save(outside, rows)
    np.save(folder / "video_test_0000003.npy", rows.astype(np.float64))
    np.save(folder / "video_test_0000004.npy", rows.ravel())
    np.save(folder / "video_test_0000005.npy", np.where(np.arange(16) == 3, np.nan, rows.astype(np.float64)))
    np.save(folder / "video_test_0000006.npy", np.where(np.arange(16) == 3, np.nan, rows).astype(np.float32))
    np.save(folder / "video_test_0000007.npy", np.load(folder / "video_test_0000007.npy")[:, :15])
    np.save(folder / "video_test_0000008.npy", np.zeros_like(rows))
    os.truncate(folder / "video_test_0000009.npy", 200)
    (folder / "video_test_0000010.npy").write_bytes(b"\x93NUMPY rubbish")
    (folder / "video_test_0000011.npy").unlink()
    (folder / "video_test_0000012.npy").unlink()
    (folder / "video_test_0000012.npy").symlink_to(outside)
    (folder / "video_test_9999999.npy").write_bytes((folder / "video_test_0000002.npy").read_bytes())
    (folder / "notes.txt").write_text("x")
    (folder / "subfolder.npy").mkdir()
    (report,) = verify(copy, "actionformer")
    found = dict(errors(report))
    expected = {
        "video_test_0000003.npy": "dtype float64",
        "video_test_0000004.npy": "shape",
        "video_test_0000005.npy": "dtype float64",
        "video_test_0000006.npy": "NaN or infinite",
        "video_test_0000007.npy": "15 channels",
        "video_test_0000008.npy": "all values are zero",
        "video_test_0000009.npy": "truncated",
        "video_test_0000010.npy": "corrupt",
        "video_test_0000011.npy": "missing",
        "video_test_0000012.npy": "out of the data folder",
        "video_test_9999999.npy": "surplus: no annotation",
        "notes.txt": "surplus: not a feature file",
        "subfolder.npy": "surplus: not a feature file",
    }
    assert set(found) == set(expected)
    for name, message in expected.items():
        assert message in found[name], name
    assert all(problem.remedy for problem in report.problems)
    assert report.fingerprint is None
    assert len(errors(report)) == len(expected)  # each once


def test_every_damaged_tensor_is_listed(copy):
    folder = copy / TENSORS
    rows = torch.load(folder / "video_test_0000002", weights_only=True)
    torch.save(rows.double(), folder / "video_test_0000003")
    torch.save({"rows": rows}, folder / "video_test_0000004")
    os.truncate(folder / "video_test_0000005", 500)
    torch.save(torch.load(folder / "video_test_0000006", weights_only=True)[:-1].clone(), folder / "video_test_0000006")
    (folder / "video_test_0000007").unlink()
    (folder / "video_test_0000008.npy").write_bytes(b"surplus")
    (report,) = verify(copy, "tadtr")
    found = dict(errors(report))
    assert set(found) == {f"video_test_000000{index}" for index in range(3, 8)} | {"video_test_0000008.npy"}
    assert "its feature info states" in found["video_test_0000006"]


def test_bad_annotations_and_bad_features_are_listed_together(copy):
    edit(copy / ACTIONFORMER_JSON, lambda raw: raw["database"]["video_test_0000002"].update(fps=0))
    edit(
        copy / ACTIONFORMER_JSON,
        lambda raw: raw["database"]["video_test_0000003"]["annotations"][0].update(segment=[9, 3]),
    )
    (copy / NPY / "video_test_0000004.npy").unlink()
    (report,) = verify(copy, "actionformer")
    found = {problem.where for problem in report.problems if problem.severity == "error"}
    assert {"video_test_0000002.fps", "video_test_0000003.annotations[0].segment", "video_test_0000004.npy"} <= found


def test_a_bad_entry_does_not_make_its_sound_features_surplus(copy):
    for name, change in (("2", {"fps": 0}), ("3", {"subset": "none"}), ("4", {"duration": None})):
        edit(copy / ACTIONFORMER_JSON, lambda raw, n=name, c=change: raw["database"][f"video_test_000000{n}"].update(c))
    edit(copy / ACTIONFORMER_JSON, lambda raw: raw["database"].update(video_test_0000005=[]))
    (copy / NPY / "video_test_0000004.npy").unlink()
    found = {p.where: p.what for p in verify(copy, "actionformer")[0].problems if p.severity == "error"}
    assert not any("surplus" in what for what in found.values())
    assert "missing" in found["video_test_0000004.npy"]
    assert {"video_test_0000002.fps", "video_test_0000003.subset", "video_test_0000005"} <= set(found)


@pytest.mark.parametrize(("layout", "file"), [("actionformer", ACTIONFORMER_JSON), ("tadtr", TADTR_INFO)])
def test_features_are_checked_where_the_annotations_cannot_be_read(copy, layout, file):
    (copy / file).write_text('{"half": [')
    folder, suffix = (NPY, ".npy") if layout == "actionformer" else (TENSORS, "")
    os.truncate(copy / folder / f"video_test_0000003{suffix}", 200)
    (copy / folder / ".hidden").write_text("x")
    (report,) = verify(copy, layout)
    assert {name for name, _ in errors(report)} == {Path(file).name, f"video_test_0000003{suffix}", ".hidden"}
    assert report.fingerprint is None and report.feature_files == 65


def test_a_pack_of_other_files_is_noted_and_a_damaged_one_is_an_error(copy):
    index = pack_features(copy, "actionformer")
    assert not any("packed" in p.what for p in verify(copy, "actionformer")[0].problems)
    os.utime(copy / NPY / "video_test_0000003.npy", (1, 1))
    (note,) = (p for p in verify(copy, "actionformer")[0].problems if p.file == str(index))
    assert (note.severity, "other feature files" in note.what) == ("note", True)
    index.write_text("{")
    assert {name for name, _ in errors(verify(copy, "actionformer")[0])} == {index.name}


def test_a_pack_whose_rows_were_altered_is_an_error_and_not_used(copy):
    index = pack_features(copy, "actionformer")
    (rows,) = (copy / "packed").glob("*.bin")
    content = np.fromfile(rows, np.float32)
    content[:10] *= 5
    content.tofile(rows)
    assert {name for name, _ in errors(verify(copy, "actionformer")[0])} == {index.name}
    stat = rows.stat()
    os.utime(rows, (stat.st_atime, stat.st_mtime + 60))
    assert open_features(copy, "actionformer").source == copy / NPY


def test_a_set_without_an_action_to_train_on_or_to_score_is_no_sound_one(copy):
    def empty(content):
        for entry in content["database"].values():
            if entry["subset"] == "Validation":
                entry["annotations"] = []

    edit(copy / ACTIONFORMER_JSON, empty)
    assert (Path(ACTIONFORMER_JSON).name, "no training video holds an action") in errors(
        verify(copy, "actionformer")[0]
    )


def test_a_file_far_too_short_is_truncated(copy):
    path = copy / NPY / "video_test_0000003.npy"
    np.save(path, np.load(path)[:10])
    assert any(
        name == path.name and "truncated: 10 steps" in what for name, what in errors(verify(copy, "actionformer")[0])
    )


def test_a_fingerprint_that_no_longer_holds_is_removed(copy):
    assert CliRunner().invoke(main, ["data", "verify", str(copy)]).exit_code == 0
    assert (copy / FILE_NAME).is_file()
    (copy / NPY / "video_test_0000003.npy").write_bytes(b"")
    answer = CliRunner().invoke(main, ["data", "verify", str(copy), "--no-fingerprint"])
    assert answer.exit_code == 1 and (copy / FILE_NAME).is_file()
    answer = CliRunner().invoke(main, ["data", "verify", str(copy)])
    assert answer.exit_code == 1 and "the old one removed" in answer.stderr
    assert not (copy / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("damage", "remedy"),
    [
        (
            lambda path: path.symlink_to(path.name),
            "remove this link, which leads nowhere; the set is then known by its",
        ),
        (lambda path: path.write_text("{"), "remove it: the set is then known by its values"),
    ],
)
def test_what_names_a_synthetic_sets_generator_is_refused_by_verify_as_by_train(copy, tmp_path, damage, remedy):
    path = copy / "synthetic.json"
    path.unlink()
    damage(path)
    words = ["train", "--model", "temporalmaxer", "--data", str(copy), "--out", str(tmp_path / "r")]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2, refused.output
    what = refused.stderr.partition(f"{path}: ")[2].splitlines()[0]
    assert what and remedy in refused.stderr
    verified = CliRunner().invoke(main, ["data", "verify", str(copy)])
    assert verified.exit_code == 1 and verified.stdout.count(f"error: synthetic.json: {what} [{remedy}") == 2


def test_a_loop_in_the_place_of_the_fingerprint_is_told_and_written_anew(copy):
    path = copy / FILE_NAME
    path.symlink_to(path.name)
    answer = CliRunner().invoke(main, ["data", "verify", str(copy)])
    assert answer.exit_code == 0, answer.output
    assert f"warning: {path}: cannot be read (Too many levels of symbolic links); written anew" in answer.stderr
    assert json.loads(path.read_text())["layouts"] and not path.is_symlink()


def test_damage_in_one_layout_leaves_the_other_sound(copy):
    (copy / TADTR_JSON).write_text("{")
    broken = {report.layout.name: report.errors for report in verify(copy)}
    assert broken == {"actionformer": 0, "tadtr": 1}


def test_features_not_extracted_are_one_error(copy):
    (copy / NPY).rename(copy / "elsewhere")
    assert verify(copy, "actionformer")[0].errors >= 1


def test_a_set_that_is_not_thumos14_says_so(copy):
    for name in (ACTIONFORMER_JSON, TADTR_JSON, TADTR_INFO):
        edit(copy / name, lambda raw: raw.pop("synthetic"))
    notes = [p.what for p in verify(copy, "tadtr")[0].problems if p.where in ("train", "test")]
    assert len(notes) == 2 and "THUMOS14 has 200 with 3007" in notes[0]


def test_the_fingerprint_is_of_the_content_alone(copy, tmp_path):
    (report,) = verify(copy, "actionformer")
    moved = copy.rename(tmp_path / "moved")
    os.utime(moved / ACTIONFORMER_JSON, (1, 1))
    again = verify(moved, "actionformer")[0].fingerprint
    assert again == report.fingerprint and again.digest == report.fingerprint.digest
    path = moved / NPY / "video_test_0000003.npy"
    rows = np.load(path)
    rows[0, 0] += 1
    np.save(path, rows)
    changed = verify(moved, "actionformer")[0].fingerprint
    assert changed.digest != again.digest
    assert {name for name in again.files if again.files[name] != changed.files[name]} == {f"i3d_features/{path.name}"}


def test_the_fingerprint_is_written_and_read(copy):
    (report,) = verify(copy, "actionformer")
    assert recorded_fingerprint(copy, "actionformer") is None
    path = write_fingerprints(copy, report.dataset, [report.fingerprint])
    raw = json.loads(path.read_text())
    assert path.name == FILE_NAME and raw["synthetic"] is True
    name = "i3d_features/video_test_0000002.npy"
    assert raw["layouts"][0]["files"][name] == hash_file(copy / "data/thumos" / name)
    assert recorded_fingerprint(copy, "actionformer") == report.fingerprint.digest
    assert recorded_fingerprint(copy, "tadtr") is None
    path.write_text("{}")
    with pytest.raises(InputError, match="not a fingerprint"):
        recorded_fingerprint(copy, "actionformer")
