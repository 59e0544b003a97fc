"""The readers of detections and annotations: both upstream layouts, every kind of bad file, and arbitrary JSON."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tal_repro.detection.detections_io import read_detections, read_ground_truth
from tal_repro.detection.protocols import GroundTruth
from tal_repro.errors import InputError

TRUTH = GroundTruth({"v": 60.0}, {}, ("Diving", "GolfSwing"), {7: "Diving", 9: "GolfSwing"})


def annotation(label="Diving", segment=(1, 2.5), **more):
    return {"label": label, "segment": list(segment), **more}


def document(*annotations, subset="Test", **more):
    return {"database": {"v": {"subset": subset, "duration": 60.5, "annotations": list(annotations)}}, **more}


def written(folder, content, name="file.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_actionformers_layout_is_read(tmp_path) -> None:
    content = document(annotation(label_id=7), annotation("GolfSwing", label_id=9, **{"segment(frames)": [1, 2]}))
    content["database"]["w"] = {"subset": "Validation", "annotations": [annotation("Billiards", label_id=3)]}
    truth = read_ground_truth(written(tmp_path, content))
    assert truth.durations_s == {"v": 60.5}
    assert truth.instances["label"].tolist() == ["Diving", "GolfSwing"]
    assert truth.instances["end_s"].tolist() == [2.5, 2.5]
    assert truth.classes == ("Billiards", "Diving", "GolfSwing")
    assert truth.class_ids == {3: "Billiards", 7: "Diving", 9: "GolfSwing"}
    assert not truth.synthetic


def test_tadtrs_layout_is_read(tmp_path) -> None:
    content = document(annotation(), annotation("Ambiguous"), subset="test", classes=["GolfSwing", "Diving"])
    truth = read_ground_truth(written(tmp_path, content | {"synthetic": True}))
    assert truth.classes == ("GolfSwing", "Diving")
    assert truth.class_ids == {0: "GolfSwing", 1: "Diving"}
    assert truth.instances["label"].tolist() == ["Diving", "Ambiguous"]
    assert truth.synthetic


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"database": {"v": {}, "v": {}}}', "key 'v' appears twice"),
        (json.dumps(document(annotation())).replace("2.5", "NaN"), "segment.1. is not a finite number"),
        (json.dumps(document(annotation())).replace("2.5", "1e999"), "segment.1. is not a finite number"),
        ("[]", "not a JSON object"),
        ({"results": {}}, "no object 'database'"),
        (document(annotation(segment=(3, 2))), "v\\.annotations\\[0\\]\\.segment: ends at 2 s before it starts at 3 s"),
        (document(annotation(segment=(-1, 2))), "starts at -1 s, before the video"),
        (document(annotation(segment=(1,))), "is not .start, end"),
        (document(annotation(segment=("1", "2 s"))), "'2 s' is not a finite number"),
        (document(annotation(segment=(True, 2))), "True is not a finite number"),
        (document(annotation(label=5)), "label: 5 is outside the 0 classes"),
        (document(annotation(), subset="validation"), "no video of subset 'test'"),
        ({"database": {"v": {"annotations": []}}}, "no subset"),
        ({"database": {"v": {"subset": "test", "duration": -1}}}, "v.duration: -1 is not above 0"),
        ({"database": {"v": {"subset": "test", "annotations": {}}}}, "not a list"),
        (document(annotation(), classes="Diving"), "classes is not a list"),
        (document(annotation(), classes=[]), "classes is empty"),
        (
            document(annotation("Golf"), classes=["Diving"]),
            r"v\.annotations\[0\]\.label: 'Golf' is outside the 1 classes",
        ),
        (document(annotation(segment=(0, 1e308))), r"segment: 1e\+308 is above"),
        ({"database": {"v": {"subset": "test", "duration": 1e308}}}, "v.duration: 1e.308 is above"),
        (document(annotation(label_id=1), annotation("GolfSwing", label_id=1)), "class index 1, which is GolfSwing's"),
    ],
)
def test_bad_annotations_are_named(tmp_path, content, what) -> None:
    with pytest.raises(InputError, match=what):
        read_ground_truth(written(tmp_path, content))


def test_all_bad_annotations_are_counted(tmp_path) -> None:
    with pytest.raises(InputError, match=r"annotations\[4\].*\n.*and 4 more"):
        read_ground_truth(written(tmp_path, document(*[annotation(segment=(3, 2))] * 9)))


DETECTION = {"label": "Diving", "score": 0.5, "segment": [1, 2]}


def test_numbered_detections_are_not_guessed_at(tmp_path) -> None:
    """Without label_id and without a list of classes the file's order of classes is anybody's guess."""
    truth = read_ground_truth(written(tmp_path, document(annotation(), annotation("GolfSwing"))))
    assert truth.class_ids == {}
    detections = written(tmp_path, {"results": {"v": [DETECTION | {"label": 0}]}}, "d.json")
    with pytest.raises(InputError, match=r"label '0' is not a class.*\n.*the annotations do not number them"):
        read_detections(detections, truth)


@pytest.mark.parametrize("label", ["Diving", 7, "7"])
def test_activitynet_detections_are_read_with_names_or_numbers(tmp_path, label) -> None:
    path = written(tmp_path, {"version": "x", "results": {"v": [DETECTION | {"label": label}]}, "external_data": {}})
    assert read_detections(path, TRUTH).to_dict("list") == {
        "video_id": ["v"], "start_s": [1], "end_s": [2], "label": ["Diving"], "score": [0.5]
    }  # fmt: skip


def test_detections_in_a_compressed_csv_are_read(tmp_path) -> None:
    path = tmp_path / "odd name \n é.csv.gz"
    rows = 'video_id,start_s,end_s,label,score,note\nv,-0.5,2,GolfSwing,1e-3,x\n"v, 2",1,1,9,0.5,\n'
    path.write_bytes(gzip.compress(rows.encode()))
    table = read_detections(path, TRUTH)
    assert table["video_id"].tolist() == ["v", "v, 2"]
    assert table["label"].tolist() == ["GolfSwing", "GolfSwing"]
    assert table["start_s"].tolist() == [-0.5, 1]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("video_id,start_s,end_s,label\n", "line 1: missing column 'score'"),
        ("video_id,start_s,end_s,label,score,score\nv,0,1,Diving,1,0\n", "line 1: repeated column 'score'"),
        ("video_id,start_s,end_s,label,score\nx,v,0,1,Diving,0.5\n", "line 2: 6 fields, the header names 5"),
        ("video_id,start_s,end_s,label,score\nv,0,1,Diving,0.5,\n", "line 2: 6 fields, .*\n.*commas too many"),
        ("video_id,start_s,end_s,label,score\nv,0,1,Diving\n", "line 2: 4 fields"),
        ("video_id,start_s,end_s,label,score\n\n\nv,0,1,Diving,0.5\n\nv,3,1,Diving,0.5\n", "line 6: ends before"),
        ("video_id,start_s,end_s,label,score\nv,-1e308,1e308,Diving,0.5\n", "line 2: a time is beyond"),
        ("", "not a CSV"),
        ("video_id,start_s,end_s,label,score\nv,0,1,Diving,0.5\nv,0,x,Diving,0.5\n", "line 3: a number is missing"),
        ("video_id,start_s,end_s,label,score\nv,0,1,Diving,nan\n", "line 2: a number is missing"),
        ("video_id,start_s,end_s,label,score\nv,0,1,Diving,inf\n", "line 2: a number is missing"),
        ("video_id,start_s,end_s,label,score\nv,3,1,Diving,0.5\n", "line 2: ends before it starts"),
        ("video_id,start_s,end_s,label,score\nv,0,1,Skating,0.5\n", "line 2: label 'Skating' is not a class"),
        ("video_id,start_s,end_s,label,score\n1,2,3,4,5,6,7\n1,2\n", "line 2: 7 fields.*line 3: 2 fields"),
    ],
)
def test_bad_csv_names_its_line(tmp_path, content, what) -> None:
    with pytest.raises(InputError, match=what):
        read_detections(written(tmp_path, content, "d.csv"), TRUTH)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"results": []}, "no object 'results'"),
        ({"results": {"v": {}}}, "video 'v': not a list"),
        ({"results": {"v": [DETECTION, {"label": "Diving"}]}}, "video 'v', detection 1: needs"),
        ({"results": {"v": [DETECTION | {"score": "high"}]}}, "needs"),
        ({"results": {"v": [DETECTION | {"segment": [10**400, 1]}]}}, "needs"),
        ({"results": {"v": [DETECTION, DETECTION | {"segment": [2, 1]}]}}, "video 'v', detection 1: ends before"),
        ({"results": {"v": [DETECTION | {"label": 3}]}}, "label '3' is not a class"),
        ({"results": {"v": [DETECTION | {"segment": [-1e308, 1e308]}]}}, "detection 0: a time is beyond"),
    ],
)
def test_bad_json_names_its_detection(tmp_path, content, what) -> None:
    with pytest.raises(InputError, match=what):
        read_detections(written(tmp_path, content), TRUTH)


@pytest.mark.parametrize(("share", "kept"), [(0.0, False), (0.3, False), (0.5, True), (1.0, True)])
def test_segments_that_end_before_they_start_are_kept_up_to_a_share(tmp_path, share, kept) -> None:
    path = written(tmp_path, {"results": {"v": [DETECTION, DETECTION | {"segment": [2, 1]}]}})
    if not kept:
        with pytest.raises(InputError, match="detection 1: ends before it starts"):
            read_detections(path, TRUTH, backwards=share)
    else:
        assert read_detections(path, TRUTH, backwards=share)["end_s"].tolist()[1] == 1


@pytest.mark.parametrize("segment", ["[1, 2]", "[1.0,2.0]", ["1", "2"]])
def test_segments_and_scores_as_text_are_the_numbers_they_spell(tmp_path, segment) -> None:
    path = written(tmp_path, {"results": {"v": [DETECTION | {"segment": segment, "score": "0.5"}]}})
    assert read_detections(path, TRUTH)[["start_s", "end_s", "score"]].to_numpy().tolist() == [[1, 2, 0.5]]


def test_a_column_of_segments_is_start_and_end(tmp_path) -> None:
    rows = ',video-id,segment,label,score\n0,v,"[1.5, 2]",Diving,0.5\n'
    assert read_detections(written(tmp_path, rows, "d.csv"), TRUTH).to_dict("list") == {
        "video_id": ["v"], "start_s": [1.5], "end_s": [2], "label": ["Diving"], "score": [0.5]
    }  # fmt: skip
    for text in ("[1]", "1 2", "[a, b]", ""):
        bad = rows.replace("[1.5, 2]", text)
        with pytest.raises(InputError, match="line 2: a number is missing"):
            read_detections(written(tmp_path, bad, "d.csv"), TRUTH)


@pytest.mark.parametrize(("name", "how"), [("d.pkl", "read_pickle"), ("d.pth", "torch.load"), ("d.npy", "numpy.load")])
def test_pickles_are_refused_with_the_line_that_converts_them(tmp_path, name, how) -> None:
    with pytest.raises(InputError, match="unknown kind of file") as refused:
        read_detections(written(tmp_path, "", name), TRUTH)
    assert how in str(refused.value) and "to_csv('OUT.csv'" in str(refused.value)


def test_the_line_that_converts_a_pickle_gives_what_is_read(tmp_path) -> None:
    """Act it out on the dictionary of arrays that ActionFormer's evaluation keeps."""
    kept = {name: np.array(values) for name, values in (("t-start", [1.0]), ("t-end", [2.0]), ("score", [0.5]))}
    pd.to_pickle({"video-id": ["v"], "label": np.array([9]), **kept}, tmp_path / "IN")
    with pytest.raises(InputError) as refused:
        read_detections(written(tmp_path, "", "d.pkl"), TRUTH)
    code = str(refused.value).split('python -c "')[1].split('"')[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert read_detections(tmp_path / "OUT.csv", TRUTH)["label"].tolist() == ["GolfSwing"]


def test_many_bad_detections_are_refused_in_one_pass(tmp_path) -> None:
    """Naming a row took a walk over all before it: an hour here, now part of a second."""
    bad = DETECTION | {"segment": [2, 1]}
    with pytest.raises(InputError, match=r"'w', detection 3: ends before.*\n.*and 99996 more"):
        read_detections(written(tmp_path, {"results": {"v": [DETECTION, bad], "w": [bad] * 100_000}}), TRUTH)


def test_unreadable_files_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown kind of file"):
        read_detections(written(tmp_path, "", "d.pkl"), TRUTH)
    with pytest.raises(InputError, match="No such file"):
        read_ground_truth(tmp_path / "absent.json")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NEARLY_RIGHT = st.fixed_dictionaries(
    {
        "database": st.dictionaries(
            st.text(max_size=5),
            st.fixed_dictionaries(
                {"subset": st.sampled_from(["test", "Test", "val"]) | JSON_VALUES},
                optional={
                    "duration": st.floats(0, 100) | JSON_VALUES,
                    "annotations": st.lists(
                        st.fixed_dictionaries(
                            {
                                "label": st.sampled_from(["a", "b", "Ambiguous"]) | JSON_VALUES,
                                "segment": st.tuples(st.floats(0, 9), st.floats(9, 20)).map(list) | JSON_VALUES,
                            },
                            optional={"label_id": st.integers(0, 3) | JSON_VALUES},
                        )
                        | JSON_VALUES,
                        max_size=3,
                    )
                    | JSON_VALUES,
                },
            )
            | JSON_VALUES,
            max_size=3,
        )
    },
    optional={"classes": st.lists(st.sampled_from("ab"), max_size=2) | JSON_VALUES},
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NEARLY_RIGHT | JSON_VALUES)
def test_any_json_is_read_whole_or_refused_by_name(tmp_path, content) -> None:
    try:
        truth = read_ground_truth(written(tmp_path, content))
    except InputError as error:
        assert "file.json" in str(error)
    else:
        assert truth.durations_s
        starts, ends = truth.instances["start_s"], truth.instances["end_s"]
        assert ((starts >= 0) & (ends >= starts)).all()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_arbitrary_bytes_are_refused_as_detections(tmp_path, content) -> None:
    assume(b"video_id" not in content)  # a header alone is a file of no detections
    for name in ("d.csv", "d.json", "d.csv.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_detections(tmp_path / name, TRUTH)
