"""Tables and texts as the annotations of a defined set: described, trained from, verified and scored as JSON is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data import load_dataset
from tal_repro.data.definition import read_definition
from tal_repro.data.definition_text import definition_text
from tal_repro.errors import InputError
from tests.data.made_up_set import write_set

SIDES = {"training": "train", "validation": "test"}


def tal(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def as_table(root: Path, videos: bool = True) -> tuple[Path, Path, dict[str, Any]]:
    """Write the made-up set with tables of actions and of videos; return the first, features and the JSON's content."""
    annotations, features = write_set(root, "npy", channels=8)
    content = json.loads(annotations.read_text())
    rows, facts = ["video,type,type_idx,start,end,startFrame,endFrame"], ["video,duration,subset"]
    for video_id, entry in content["database"].items():
        facts.append(f"{video_id},{entry['duration']},{SIDES[entry['subset']]}")
        for action in entry["annotations"]:
            rows.append(f"{video_id},{action['label']},0,{action['segment'][0]},{action['segment'][1]},0,0")
    table = root / "tables" / "actions.csv"
    table.parent.mkdir()
    table.write_text("\n".join(rows) + "\n")
    (table.parent if videos else root).joinpath("videos.csv").write_text("\n".join(facts) + "\n")
    return table, features, content


def test_a_folder_of_tables_makes_the_set_that_json_makes(tmp_path: Path) -> None:
    table, features, _ = as_table(tmp_path)
    out = tmp_path / "my-data.toml"
    result = tal("data", "describe", str(table.parent), str(features), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "read as AFSD's and G-TAD's table (actions.csv)" in result.stdout
    assert "durations, fps and subsets from videos.csv" in result.stdout
    plain = tmp_path / "plain.toml"
    assert (
        tal("data", "describe", str(tmp_path / "annotations.json"), str(features), "--out", str(plain)).exit_code == 0
    )
    first, second = load_dataset(out), load_dataset(plain)
    assert first.annotation_hash == second.annotation_hash and first.classes == second.classes
    assert [v.duration_s for v in first.train] == [v.duration_s for v in second.train]
    result = tal("data", "verify", str(out))
    assert result.exit_code == 0, result.output
    files = json.loads((tmp_path / "my-data.fingerprint.json").read_text())["layouts"][0]["files"]
    assert {"annotations/actions.csv", "annotations/videos.csv"} <= set(files)


def test_durations_are_those_of_the_features_where_nothing_states_them(tmp_path: Path) -> None:
    table, features, _ = as_table(tmp_path, videos=False)
    info = tmp_path / "videos.csv"
    lines = info.read_text().splitlines()
    info.write_text("\n".join(line.split(",")[0] + "," + line.split(",")[2] for line in lines) + "\n")
    words = ["data", "describe", str(table), str(features), "--set", f"videos={info}"]
    result = tal(*words)
    assert result.exit_code == 2 and "video,duration,fps" in result.stderr and "steps_per_second=N" in result.stderr
    result = tal(*words, "--set", "steps_per_second=5", "--out", str(tmp_path / "d.toml"))
    assert result.exit_code == 0, result.output
    assert "18 videos state none" in result.stdout
    assert {video.duration_s for video in load_dataset(tmp_path / "d.toml").train} == {12.0}
    (features / "video 002.npy").unlink()
    with pytest.raises(InputError, match=r"video 002\.duration: missing, and its features do not tell it"):
        load_dataset(tmp_path / "d.toml")


def test_what_no_table_states_is_asked_for(tmp_path: Path) -> None:
    table, features, _ = as_table(tmp_path, videos=False)
    result = tal("data", "describe", str(table), str(features))
    assert result.exit_code == 2 and "video,subset: --set videos=FILE.csv" in result.stderr
    (tmp_path / "other.csv").write_text("video,fps\nunknown,25\n")
    words = ["--train", "a", "--test", "b", "--set", "steps_per_second=5"]
    result = tal("data", "describe", str(table), str(features), "--set", f"videos={tmp_path / 'other.csv'}", *words)
    assert result.exit_code == 2 and "no video of subset 'a'" in result.stderr


def test_a_definition_keeps_what_is_said_of_its_annotations(tmp_path: Path) -> None:
    table, features, _ = as_table(tmp_path, videos=False)
    out = tmp_path / "d.toml"
    words = ["data", "describe", str(table), str(features), "--set", f"videos={tmp_path / 'videos.csv'}"]
    assert tal(*words, "--out", str(out)).exit_code == 0
    text = out.read_text()
    assert 'videos = "videos.csv"' in text
    names = [f"class{number:02d}" for number in (1, 0, 2, 3, 4)]
    out.write_text(text.replace("\n[splits]", f'labels = ""\nclasses = {names}\n\n[splits]'))
    assert list(load_dataset(out).classes) == names
    definition = read_definition(out)
    out.write_text(definition_text(definition))
    assert read_definition(out) == definition
    for wrong, message in (('["class00", "class00"]', "list each class once"), ('["Ambiguous"]', "Ambiguous"),
                           ('["a"]', "'class00' is annotated, but not among"), ("3", "list")):  # fmt: skip
        (tmp_path / "e.toml").write_text(text.replace("\n[splits]", f"classes = {wrong}\n\n[splits]"))
        with pytest.raises(InputError, match=message):
            load_dataset(tmp_path / "e.toml")


def test_detections_are_scored_against_a_definition(tmp_path: Path) -> None:
    """Its test subsets, its classes and its unit of time are those that count."""
    table, features, content = as_table(tmp_path)
    out, rows = tmp_path / "d.toml", ["video_id,start_s,end_s,label,score"]
    assert tal("data", "describe", str(table.parent), str(features), "--out", str(out)).exit_code == 0
    for video_id, entry in content["database"].items():
        if entry["subset"] == "validation":
            rows += [f"{video_id},{a['segment'][0]},{a['segment'][1]},{a['label']},1" for a in entry["annotations"]]
    (tmp_path / "found.csv").write_text("\n".join(rows) + "\n")
    result = tal("evaluate", str(tmp_path / "found.csv"), str(out), "--protocol", "activitynet", "--json")
    report = json.loads(result.stdout)
    assert (report["average_map"], report["videos"]) == (1.0, 6)
    assert "read as AFSD's" in result.stderr
    out.write_text(out.read_text().replace('unit = "seconds"', 'unit = "milliseconds"'))
    result = tal("evaluate", str(tmp_path / "found.csv"), str(out), "--protocol", "activitynet", "--json")
    assert json.loads(result.stdout)["average_map"] == 0


def test_a_table_may_not_be_a_link_out_of_its_folder(tmp_path: Path) -> None:
    table, features, _ = as_table(tmp_path)
    out = tmp_path / "d.toml"
    assert tal("data", "describe", str(table.parent), str(features), "--out", str(out)).exit_code == 0
    table.rename(tmp_path / "away.csv")
    table.symlink_to(tmp_path / "away.csv")
    with pytest.raises(InputError, match="a link that leads out of the data folder"):
        load_dataset(out)
