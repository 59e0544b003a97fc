"""`tal-repro evaluate` as its users meet it: the table, the JSON against its schema, and bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import tal_repro
from tal_repro.cli import main

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "evaluate.json").read_text(encoding="utf-8"))


@pytest.fixture
def files(tmp_path) -> tuple[str, str]:
    """Two classes in three videos: Diving is found, GolfSwing in one video of two."""
    rows = {"a": ("Diving", 0, 10), "b": ("GolfSwing", 5, 9), "c": ("GolfSwing", 5, 9)}
    database = {
        video: {"subset": "test", "duration": 60, "annotations": [{"label": label, "segment": [start, end]}]}
        for video, (label, start, end) in rows.items()
    }
    database["d"] = {"subset": "validation", "annotations": [{"label": "Billiards", "segment": [0, 1]}]}
    results = {
        "a": [{"label": "Diving", "score": 0.9, "segment": [0, 10]}],
        "b": [{"label": "GolfSwing", "score": 0.8, "segment": [5, 9]}],
        "d": [{"label": "GolfSwing", "score": 0.7, "segment": [5, 9]}],
    }
    paths = tmp_path / "detections.json", tmp_path / "annotations.json"
    for path, content in zip(paths, ({"results": results}, {"database": database}), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return str(paths[0]), str(paths[1])


def run(*arguments):
    return CliRunner().invoke(main, ["evaluate", *arguments], catch_exceptions=False)


def test_the_json_keeps_its_schema_and_the_known_answer(files) -> None:
    result = run(*files, "--json", "--per-class", "--errors", "--bootstrap", "20")
    report = json.loads(result.stdout)
    jsonschema.validate(report, SCHEMA)
    assert report["schema"] == "tal-repro/evaluate/1"
    assert report["map"] == dict.fromkeys(["0.3", "0.4", "0.5", "0.6", "0.7"], 0.75)
    assert report["average_map"] == 0.75
    assert (report["videos"], report["instances"], report["detections"]) == (3, 3, 2)
    assert report["ignored"] == {"detections: video not in the subset": 1}
    assert report["missing_classes"] == ["Billiards"]
    assert report["per_class"]["GolfSwing"]["average_ap"] == 0.5
    assert report["errors"]["counts"]["missed"] == 1
    assert "warning: not scored, no ground truth: Billiards" in result.stderr


def test_options_left_out_are_not_in_the_json(files) -> None:
    report = json.loads(run(*files, "--json").stdout)
    jsonschema.validate(report, SCHEMA)
    assert not {"per_class", "bootstrap", "errors"} & set(report)


def test_the_table_says_what_was_left_out(files) -> None:
    result = run(*files, "--protocol", "tadtr-210", "--per-class", "--bootstrap", "20", "--errors")
    assert result.exit_code == 0
    assert "protocol tadtr-210: 3 videos, 3 instances, 2 detections" in result.stdout
    assert "left out, detections: video not in the subset: 1" in result.stdout
    assert "75.00" in result.stdout
    assert "20 resamples" in result.stdout
    assert "SYNTHETIC" not in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_synthetic_annotations_are_said_to_be_so(files) -> None:
    path = Path(files[1])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"synthetic": True}))
    assert json.loads(run(*files, "--json").stdout)["synthetic"] is True
    assert run(*files).stdout.startswith("SYNTHETIC DATA")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda d: [d["results"][v][0].update(label="Skating") for v in "ab"], "label 'Skating' is not a class"),
        (lambda d: [d["results"][v][0].update(segment=[9, 1]) for v in "ab"], "ends before it starts"),
        (lambda d: d.pop("results"), "no object"),
    ],
)
def test_bad_input_exits_2_without_a_traceback(files, change, what) -> None:
    path = Path(files[0])
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    result = run(*files, "--json")
    assert result.exit_code == 2
    assert what in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_detection_that_ends_before_it_starts_counts_as_false(files) -> None:
    path = Path(files[0])
    content = json.loads(path.read_text())
    content["results"]["b"][0]["segment"] = [9, 5]
    path.write_text(json.dumps(content))
    result = run(*files, "--json", "--errors", "--bootstrap", "20")
    report = json.loads(result.stdout)
    assert (report["average_map"], report["detections"]) == (0.5, 2)  # Diving alone
    assert "warning: 1 of 2 detections end before they start" in result.stderr


@pytest.mark.parametrize(
    ("results", "what"),
    [
        ({}, "no detection at all"),
        ({"a": []}, "no detection at all"),
        ({"1": [{"label": "Diving", "score": 0.9, "segment": [0, 10]}]}, "they are of '1', .* are 'a', 'b', 'c'"),
        ({"d": [{"label": "Diving", "score": 0.9, "segment": [0, 10]}]}, "they are of 'd', .* are 'a', 'b', 'c'"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_map_of_no_detections_is_refused(files, results, what, options) -> None:
    Path(files[0]).write_text(json.dumps({"results": results}))
    result = run(*files, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.search(what, result.stderr) and "remedy: " in result.stderr


def test_an_instance_beyond_its_videos_end_is_said(files) -> None:
    assert "beyond" not in run(*files).stderr
    path = Path(files[1])
    content = json.loads(path.read_text())
    content["database"]["c"]["annotations"][0]["segment"] = [5, 1e5]
    path.write_text(json.dumps(content))
    result = run(*files, "--json")
    assert json.loads(result.stdout)["instances"] == 3
    assert "beyond their video's end: 1, the farthest at 100000 s in 'c' of 60 s" in result.stderr
    assert "beyond" not in run(*files, "--protocol", "opentad-211").stderr


def test_videos_without_any_detection_are_said(files) -> None:
    """Half a file of detections, too, has a mAP: who scores one should know."""
    result = run(*files, "--json")
    assert "no detection in 1 of 3 scored videos, their instances count as missed: 'c'" in result.stderr
    path = Path(files[0])
    content = json.loads(path.read_text())
    content["results"]["c"] = [{"label": "GolfSwing", "score": 0.1, "segment": [0, 1]}]
    path.write_text(json.dumps(content))
    assert "no detection in" not in run(*files).stderr


def test_a_subset_without_a_counted_instance_is_refused(files) -> None:
    result = run(*files, "--subset", "train")
    assert result.exit_code == 2
    assert "name another with --subset; in the file: 'test', 'validation'" in result.stderr


def test_unknown_protocol_lists_the_known(files) -> None:
    result = run(*files, "--protocol", "mine")
    assert result.exit_code == 2
    assert "opentad-211" in result.output


def test_rows_of_a_larger_vocabulary_change_no_ap_and_are_told(files) -> None:
    path = Path(files[0])
    content = json.loads(path.read_text())
    before = json.loads(run(*files, "--json").stdout)
    content["results"]["a"] += [{"label": "Swim", "score": 1, "segment": [0, 10]}] * 2
    content["results"]["b"] += [{"label": "17", "score": 1, "segment": [0, 10]}]
    path.write_text(json.dumps(content))
    result = run(*files, "--json", "--errors")
    assert (result.exit_code, json.loads(result.stdout)["map"]) == (0, before["map"])
    assert "3 of 6 detections are of 2 classes that the annotations do not have" in result.stderr
    assert "'Swim' (2), '17' (1)" in result.stderr and "no ground truth: Swim" not in result.stderr
    content["results"]["a"] += [{"label": "Swim", "score": 1, "segment": [0, 10]}]
    path.write_text(json.dumps(content))
    assert run(*files).exit_code == 2  # most rows


def test_frames_for_seconds_are_told_with_their_factor(files) -> None:
    path = Path(files[0])
    assert "beyond" not in run(*files).stderr
    rows = [{"label": "GolfSwing", "score": 0.5, "segment": [30.0 * at, 30.0 * at + 90]} for at in range(57)]
    path.write_text(json.dumps({"results": dict.fromkeys("abc", rows)}))
    result = run(*files)
    assert result.exit_code == 0
    assert "162 of 171 detections start beyond their video's end: times reach to about 29.5 times" in result.stderr
    path.write_text(json.dumps({"results": {video: [*rows[:1], rows[0] | {"segment": [61, 62]}] for video in "abc"}}))
    assert "3 of 6 detections start beyond their video's end\n" in run(*files).stderr


def test_any_thresholds_and_the_official_order_are_scored(files) -> None:
    report = json.loads(run(*files, "--json", "--protocol", "activitynet", "--tie", "official").stdout)
    jsonschema.validate(report, SCHEMA)
    assert list(report["map"]) == ["0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
    assert (report["protocol"], report["tie"]) == ("activitynet", "official")
    report = json.loads(run(*files, "--json", "--tiou", "0.1,0.2", "--errors", "--per-class").stdout)
    jsonschema.validate(report, SCHEMA)
    assert (list(report["map"]), report["tie"], report["errors"]["tiou"]) == (["0.1", "0.2"], "first", 0.2)
    assert list(report["per_class"]["Diving"]["ap"]) == list(report["recall"]["5x"]) == ["0.1", "0.2"]
    refused = run(*files, "--tiou", "50:95:5")
    assert (refused.exit_code, refused.stdout) == (2, "") and "--tiou" in refused.stderr


def test_the_report_ends_with_what_to_do_next(files) -> None:
    assert run(*files).stderr.splitlines()[-1].startswith("next: the same with --per-class")
    assert "--per-class" not in run(*files, "--per-class", "--errors", "--bootstrap", "20").stderr
    assert "equals ordered as the official evaluators do" in run(*files, "--tie", "official").stdout
