"""The annotation readers: one DataSet from either layout, every bad entry named, nothing but InputError on garbage."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tal_repro.data import ground_truth, load_dataset
from tal_repro.data.annotations import read_dataset
from tal_repro.data.layouts import find_layout
from tal_repro.data.windows import cut_windows
from tal_repro.errors import InputError

from .conftest import ACTIONFORMER_JSON, TADTR_INFO, TADTR_JSON, edit


def handmade(folder, **changes):
    """Write a two-video ActionFormer layout without features."""
    action = {"label": "Diving", "segment": [1.0, 2.5], "label_id": 1}
    other = {"label": "CliffDiving", "segment": [1.0, 2.5], "label_id": 0}
    database = {
        "video_validation_0000001": {"subset": "Validation", "duration": 20.0, "fps": 30.0, "annotations": [action]},
        "video_test_0000002": {"subset": "Test", "duration": 10.0, "fps": 25, "annotations": [action, other]},
    }
    database["video_validation_0000001"].update(changes)
    path = folder / "annotations/thumos14.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": "by hand", "database": database}))
    return folder


def test_a_handmade_data_set_is_read(tmp_path):
    dataset = load_dataset(handmade(tmp_path))
    assert dataset.name == f"custom-{dataset.annotation_hash[:8]}", "THUMOS14 is what hashes to it"
    assert (dataset.version, dataset.synthetic) == ("by hand", False)
    assert dataset.classes == ("CliffDiving", "Diving")
    (train,), (test,) = dataset.train, dataset.test
    assert train.segments_s.tolist() == [[1.0, 2.5]] and train.labels.tolist() == [1]
    assert train.segments_s.dtype == np.float64 and not train.has_features
    assert train.feature_length == (600 - 16) // 4 + 1  # estimated: no file
    assert test.labels.tolist() == [1, 0] and test.feature_fps == 25 / 4


def test_ground_truth_is_a_table_of_class_names(tmp_path):
    table = ground_truth(load_dataset(handmade(tmp_path)), "test")
    assert table.to_dict("records") == [
        {"video_id": "video_test_0000002", "start_s": 1.0, "end_s": 2.5, "label": "Diving"},
        {"video_id": "video_test_0000002", "start_s": 1.0, "end_s": 2.5, "label": "CliffDiving"},
    ]


def test_ambiguous_segments_are_kept_apart(small):
    dataset = load_dataset(small, "tadtr")
    only = dataset.videos["video_test_0001292"]
    assert len(only.labels) == 0 and len(only.ambiguous_s) == 3
    assert only not in dataset.test
    assert "Ambiguous" not in set(ground_truth(dataset, "test")["label"])


def test_the_hash_depends_on_the_actions_and_on_nothing_else(copy):
    before = load_dataset(copy).annotation_hash
    path = copy / ACTIONFORMER_JSON
    database = json.loads(path.read_text())["database"]
    reordered = dict(reversed(database.items()))
    path.write_text(json.dumps({"version": "x", "synthetic": True, "database": reordered}, indent=3))
    assert load_dataset(copy).annotation_hash == before

    def later(raw):
        next(iter(raw["database"].values()))["annotations"][0]["segment"][0] += 0.001

    edit(path, later)
    assert load_dataset(copy).annotation_hash != before, "a millisecond counts"


BAD = {
    "swapped segment": ({"annotations": [{"label": "Diving", "label_id": 1, "segment": [5, 2]}]}, "before it starts"),
    "negative start": ({"annotations": [{"label": "Diving", "label_id": 1, "segment": [-1, 2]}]}, "before the video"),
    "text": ({"annotations": [{"label": "Diving", "label_id": 1, "segment": ["1 s", 2]}]}, "not a finite number"),
    "huge": ({"annotations": [{"label": "Diving", "label_id": 1, "segment": [10**400, 2]}]}, "not a finite number"),
    "three bounds": ({"annotations": [{"label": "Diving", "label_id": 1, "segment": [1, 2, 3]}]}, "not \\[start, end"),
    "no segment": ({"annotations": [{"label": "Diving", "label_id": 1}]}, "segment: missing"),
    "label without id": ({"annotations": [{"label": "Golf", "segment": [1, 2]}]}, "label_id: missing"),
    "label is a list": ({"annotations": [{"label": ["x"], "label_id": 1, "segment": [1, 2]}]}, "outside the"),
    "two ids": ({"annotations": [{"label": "Diving", "label_id": 3, "segment": [1, 2]}]}, "label_id"),
    "gap in ids": ({"annotations": [{"label": "Golf", "label_id": 7, "segment": [1, 2]}]}, "not 0..2"),
    "action is text": ({"annotations": ["dive"]}, "not an object"),
    "no annotations": ({"annotations": None}, "not a list"),
    "subset": ({"subset": "trainval"}, "none of"),
    "duration": ({"duration": 0}, "not above 0"),
    "duration missing": ({"duration": None}, "not a finite number"),
    "fps": ({"fps": "30 fps"}, "not a finite number"),
    "endless": ({"duration": 1e308}, r"duration: 1e\+308 is above 1e\+06"),
    "standstill": ({"fps": 5e-324}, r"fps: 4.9\d*e-324 is not above 0\.1"),
    "flicker": ({"fps": 1e308}, r"fps: 1e\+308 is above 1000"),
    "never ends": ({"annotations": [{"label": "Diving", "label_id": 1, "segment": [1, 1e308]}]}, "is above 1e"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_entry_is_named(tmp_path, case):
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(handmade(tmp_path, **changes))
    assert caught.value.where == str(tmp_path / "annotations/thumos14.json")
    assert "data verify" in str(caught.value)


def test_the_annotations_that_contradict_the_others_are_named(tmp_path):
    """Most are right: two Divings of 1 against one of 3, and a Golf that takes the number of Diving."""
    actions = [
        {"label": "Diving", "label_id": number, "segment": [at, at + 1]} for at, number in ((1, 1), (3, 3), (5, 1))
    ]
    actions.append({"label": "Golf", "label_id": 1, "segment": [7, 8]})
    _, problems = read_dataset(find_layout(handmade(tmp_path, annotations=actions)))
    told = {problem.where.partition(".")[2]: problem.what for problem in problems if problem.severity == "error"}
    assert told["annotations[1].label_id"] == "Diving is 3 here and 1 elsewhere"
    assert told["annotations[3].label_id"] == "'Golf' has the class index 1, which is Diving's"
    assert set(told) == {"annotations[1].label_id", "annotations[3].label_id"}


def test_where_as_many_say_one_thing_as_another_a_free_number_is_right_or_all_are_named(tmp_path):
    """Golf is 2 once and 1, which is Diving's, once; then Golf and Polo both claim 2."""
    golf = [{"label": "Golf", "label_id": number, "segment": [at, at + 1]} for at, number in ((1, 1), (3, 2))]
    diving = [{"label": "Diving", "label_id": 1, "segment": [at, at + 1]} for at in (5, 7)]
    told = _told(handmade(tmp_path / "a", annotations=[*golf, *diving]))
    assert told == {"annotations[0].label_id": "Golf is 1 here and 2 elsewhere"}
    polo = {"label": "Polo", "label_id": 2, "segment": [9, 10]}
    told = _told(handmade(tmp_path / "b", annotations=[golf[1], polo, *diving]))
    assert told == {
        "annotations[0].label_id": "'Golf' has the class index 2, which is Polo's",
        "annotations[1].label_id": "'Polo' has the class index 2, which is Golf's",
    }


def _told(root):
    _, problems = read_dataset(find_layout(root))
    return {problem.where.partition(".")[2]: problem.what for problem in problems if problem.severity == "error"}


def test_a_label_that_nothing_numbers_is_named(tmp_path):
    action = {"label": "Javelin", "segment": [1, 2]}
    told = _told(handmade(tmp_path, annotations=[action]))
    assert told == {"annotations[0].label_id": "missing, and no other annotation numbers this label"}


def test_a_missing_label_does_not_hide_a_missing_segment(tmp_path):
    _, problems = read_dataset(find_layout(handmade(tmp_path, annotations=[{"label_id": 1}])))
    told = [(problem.where.rpartition(".")[2], problem.what) for problem in problems]
    assert ("label", "missing") in told and ("segment", "missing") in told


def test_all_bad_entries_are_listed_not_the_first(tmp_path):
    actions = [{"label": "Diving", "label_id": 1, "segment": [5, start]} for start in (1, 2, 3, 7)]
    _, problems = read_dataset(find_layout(handmade(tmp_path, annotations=actions, fps=-1)))
    errors = [problem for problem in problems if problem.severity == "error"]
    assert len(errors) == 4
    assert [error.where for error in errors][1:] == [
        f"video_validation_0000001.annotations[{i}].segment" for i in range(3)
    ]


def test_harmless_oddities_are_notes(tmp_path):
    action = {"label": "Diving", "label_id": 1, "segment": [1.0, 2.5]}
    late = {"label": "Diving", "label_id": 1, "segment": [19.0, 25.0]}
    empty = {"label": "Diving", "label_id": 1, "segment": [3.0, 3.0]}
    dataset, problems = read_dataset(find_layout(handmade(tmp_path, annotations=[action, action, late, empty])))
    assert [problem.severity for problem in problems] == ["note"] * 3
    assert ["repeats" in problems[0].what, "beyond" in problems[1].what, "empty" in problems[2].what] == [True] * 3
    assert len(dataset.train[0].labels) == 3  # the empty one is left out, the others stay


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON, line 1"),
        ('{"database": {"a": 1,}}', "not JSON, line 1"),
        ("[]", "not a JSON object"),
        ("{}", "no object 'database'"),
        ('{"database": []}', "no object 'database'"),
        ('{"database": {}}', "no annotation"),
        ('{"database": {"a": {}, "a": {}}}', "appears twice"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        (
            '{"database": {"../../etc/passwd": {}, "v_0_1": {"annotations": [{"label": "x", "label_id": 0}]}}}',
            "file name",
        ),
    ],
)
def test_a_file_that_is_no_annotation_is_refused(tmp_path, text, message):
    path = handmade(tmp_path) / "annotations/thumos14.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = handmade(tmp_path) / "annotations/thumos14.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(InputError, match="not UTF-8"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("folder", ["missing", "a file", "empty"])
def test_a_folder_without_data_is_refused(tmp_path, folder):
    (tmp_path / "a file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no such data folder|no annotations"):
        load_dataset(tmp_path / folder)


def test_tadtr_needs_its_feature_lengths_and_classes(copy):
    edit(copy / TADTR_INFO, lambda raw: raw.pop("video_test_0000002"))
    edit(copy / TADTR_INFO, lambda raw: raw["video_test_0000003"].update(feature_length=10.5))
    with pytest.raises(InputError, match=r"video_test_0000002: annotated, but no feature length") as caught:
        load_dataset(copy, "tadtr")
    assert "video_test_0000003.feature_length: 10.5 is not a number of steps" in str(caught.value)
    edit(copy / TADTR_JSON, lambda raw: raw.update(classes=[]))
    with pytest.raises(InputError, match="classes is empty"):
        load_dataset(copy, "tadtr")


def test_a_link_out_of_the_data_folder_is_refused(copy, tmp_path):
    path = copy / ACTIONFORMER_JSON
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match="leads out of the data folder"):
        load_dataset(copy)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    ("database",),
    ("database", "video_validation_0000001"),
    *[("database", "video_validation_0000001", key) for key in ("subset", "duration", "fps", "annotations")],
    ("database", "video_validation_0000001", "annotations", 0),
    *[("database", "video_validation_0000001", "annotations", 0, key) for key in ("label", "segment", "label_id")],
    ("database", "video_validation_0000001", "annotations", 0, "segment", 1),
    ("version",),
    ("synthetic",),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=json_values)
def test_any_json_value_anywhere_is_read_or_refused(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp("fuzz")
    path = handmade(folder) / "annotations/thumos14.json"
    raw = json.loads(path.read_text())
    target = raw
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    path.write_text(json.dumps(raw))
    try:
        dataset = load_dataset(folder)
    except InputError:
        return
    for video in dataset.videos.values():
        assert np.isfinite(video.segments_s).all() and (video.segments_s[:, 1] > video.segments_s[:, 0]).all()
        assert ((video.labels >= 0) & (video.labels < len(dataset.classes))).all()
        if video.feature_length < 10_000:
            assert all(np.isfinite(window.segments_s).all() for window in cut_windows(video, "train"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layout=st.sampled_from([ACTIONFORMER_JSON, TADTR_JSON, TADTR_INFO]), data=st.data())
def test_mutated_bytes_are_read_or_refused(small, tmp_path_factory, layout, data):
    folder = tmp_path_factory.mktemp("bytes")
    for name in (ACTIONFORMER_JSON, TADTR_JSON, TADTR_INFO):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content = bytearray((small / name).read_bytes())
        if name == layout:
            for _ in range(data.draw(st.integers(1, 8))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
            if data.draw(st.booleans()):
                del content[data.draw(st.integers(0, len(content))) :]
        (folder / name).write_bytes(bytes(content))
    with contextlib.suppress(InputError):
        load_dataset(folder, "actionformer" if layout == ACTIONFORMER_JSON else "tadtr")
