"""The one reader of annotations: `data` and `evaluate` count the same instances of the same file."""

from __future__ import annotations

import copy
import json
import random

import pytest

from tal_repro.annotations import read_document
from tal_repro.data.annotations import read_dataset
from tal_repro.data.layouts import Layout, is_safe_id
from tal_repro.detection.detections_io import read_ground_truth
from tal_repro.errors import InputError


def action(start, end, label="a", **more):
    return {"label": label, "segment": [start, end], **more}


def written(root, content):
    path = root / "annotations/thumos14.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def video(*actions, subset="test", **more):
    return {"subset": subset, "duration": 20.0, "fps": 30.0, "annotations": list(actions)} | more


def counts(root, content):
    """Return how many test instances each reader takes, those that `evaluate` left out, and the notes of `data`."""
    path = written(root, content)
    dataset, problems = read_dataset(Layout("actionformer", root, root))
    truth = read_ground_truth(path)
    assert not [problem for problem in problems if problem.severity == "error"]
    trained = sum(len(one.labels) for one in dataset.videos.values() if one.subset == "test")
    scored = sum(label != "Ambiguous" for label in truth.instances["label"])
    return trained, scored, dict(truth.left_out), [problem.what for problem in problems]


@pytest.mark.parametrize(
    ("odd", "kept", "left_out"),
    [
        (action(3, 3), 1, {"action of no length": 1}),
        (action(25, 20.05), 1, {"action beyond the video's end, clamped to it": 1}),
        (action(1, 2), 2, {}),  # repeated
        (action(19, 25), 2, {}),  # reaches beyond the end
        (action(19, 20.2), 2, {}),  # by more than annotations are rounded to
        (action(21, 25), 2, {}),  # beyond the end
        (action("3.0", " 4e0"), 2, {}),  # numbers as text
        (action(3, 4, "Ambiguous"), 1, {}),
    ],
)
def test_both_readers_keep_and_leave_out_the_same_actions(tmp_path, odd, kept, left_out) -> None:
    trained, scored, counted, notes = counts(tmp_path, {"database": {"v": video(action(1, 2), odd)}})
    assert (trained, scored, counted) == (kept, kept, left_out)
    assert len(notes) == (1 if odd["label"] == "Ambiguous" else 2)  # one of the classes, one of the odd action


@pytest.mark.parametrize("bad", [action(5, 2), action(-1, 2), action("five", 6), action(1, 10**7), {"label": "a"}])
def test_both_readers_refuse_the_same_actions_and_advise_no_swap(tmp_path, bad) -> None:
    path = written(tmp_path, {"database": {"v": video(action(1, 2), bad)}})
    _, problems = read_dataset(Layout("actionformer", tmp_path, tmp_path))
    (error,) = [problem for problem in problems if problem.severity == "error"]
    with pytest.raises(InputError, match=r"v\.annotations\[1\]\.segment") as refused:
        read_ground_truth(path)
    assert error.where == "v.annotations[1].segment" and refused.value.remedy == error.remedy
    assert not {"swap", "remove", "delete"} & set(error.remedy.split())


def test_classes_are_numbered_by_id_else_by_the_list_else_by_name(tmp_path) -> None:
    labelled = {"v": video(action(1, 2, "b", label_id=0), action(1, 2, "a", label_id=1), action(3, 4, "a"))}
    unlabelled = {"v": video(action(1, 2, "b"), action(1, 2, "a"))}
    for content, names, ids in (
        ({"database": labelled}, ("b", "a"), {0: "b", 1: "a"}),
        ({"database": unlabelled, "classes": ["b", "a", "Ambiguous"]}, ("b", "a"), {0: "b", 1: "a"}),
        ({"database": unlabelled}, ("a", "b"), {}),
    ):
        path = written(tmp_path, content)
        dataset, problems = read_dataset(Layout("actionformer", tmp_path, tmp_path))
        truth = read_ground_truth(path)
        assert (dataset.classes, truth.classes, truth.class_ids) == (names, names, ids)
        assert ["in the order of their names" in problem.remedy for problem in problems] == [True] * (not ids)


@pytest.mark.parametrize("name", ["-2VzSMAdzl4", "_02DdtVKaU", "barbell curl_1", "跳水", "e\u0301", "a" * 200, "v.1,2"])
def test_an_id_of_any_script_can_name_a_file(name) -> None:
    assert is_safe_id(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\0", "a\nb", "\x1b[2J", "a\u202eb", " a", "a ", "\ud800",
     "a" * 201, "é" * 101, "v_window_0_128"],
)  # fmt: skip
def test_an_id_that_leads_elsewhere_or_is_a_slice_can_not(name) -> None:
    assert not is_safe_id(name)


def test_ids_that_are_no_file_names_are_told_as_such(tmp_path) -> None:
    written(tmp_path, {"database": {"../a": video(action(1, 2, label_id=0))}})
    with pytest.raises(InputError, match=r"no video id is a plain file name, the first: '\.\./a'"):
        read_dataset(Layout("actionformer", tmp_path, tmp_path))


def test_a_folder_of_other_files_is_told_how(tmp_path) -> None:
    with pytest.raises(InputError, match="a folder"):
        read_document(tmp_path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv(.|\n)*name the JSON file itself"):
        read_document(tmp_path)


def mutated_annotations_are_read_or_refused(root, chance: random.Random) -> None:
    """Change a few values of a sound file for odd ones; both readers read it or name it."""
    content = {
        "version": "x",
        "classes": ["a", "b"],
        "database": {
            "v": video(action(1, 2, label_id=0), action(1, 3, "b", label_id=1)),
            "w": video(action(1, 2), subset="validation"),
        },
    }
    odd = [
        None,
        True,
        -1,
        0,
        1e308,
        10**400,
        "",
        "1",
        "nan",
        "\u202e",
        [],
        {},
        [[1]],
        "a",
        ["a", "a"],
        "test",
        float("nan"),
    ]
    for _ in range(chance.randint(1, 3)):
        spot = content
        while True:
            keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            key = chance.choice(keys)
            inner = spot[key]
            if not (isinstance(inner, dict | list) and inner) or chance.random() < 0.2:
                break
            spot = inner
        if chance.random() < 0.1 and isinstance(spot, dict):
            spot[chance.choice(["x", "../x", "annotations", ""])] = spot.pop(key)
        else:
            spot[key] = copy.deepcopy(chance.choice(odd))
        if not isinstance(content, dict):
            break
    path = written(root, json.dumps(content))
    for read in (lambda: read_ground_truth(path), lambda: read_dataset(Layout("actionformer", root, root))):
        try:
            read()
        except InputError as error:
            assert str(path) in str(error) and error.remedy


def test_mutated_annotations_are_read_or_refused(tmp_path) -> None:
    chance = random.Random(3)
    for _ in range(150):
        mutated_annotations_are_read_or_refused(tmp_path, chance)
