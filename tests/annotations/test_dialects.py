"""Every dialect of annotations in miniature, written by hand: the same actions of the same videos, or a named line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tal_repro.annotations import EntryReader, Source, read_actions, read_classes, read_document
from tal_repro.errors import InputError

TRAIN, TEST = "video_validation_0000051", "video_test_0000004"
ACTIONS = {
    TRAIN: [("Billiards", 67.5, 75.9), ("Diving", 1.5, 2.0), ("Ambiguous", 80.0, 81.0)],
    TEST: [("Diving", 0.2, 1.1)],
}
TEXTS = {
    "Billiards_val.txt": f"{TRAIN}  67.5 75.9\n",
    "Diving_val.txt": f"{TRAIN}  1.5 2.0\n\n",
    "Diving_test.txt": f"{TEST} 0.2 1.1\r\n",
    "Ambiguous_val.txt": f"{TRAIN} 80.0 81.0\n",
    "readme.txt": "THUMOS\nlines of no action\n",
}
AFSD = "video,type,type_idx,start,end,startFrame,endFrame\n"
ONE = AFSD + "v,x,0,1,2,0,0\n"
EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)
EPIC_ROW = "P01_11_{n},P01,{video},00:00:00.56,{start},{stop},1,113,take plate,take,{verb},plate,2,\"['plate']\",[2]\n"


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def afsd(video: str) -> str:
    return "".join(f"{video},{label},0,{start},{end},1,2\n" for label, start, end in ACTIONS[video])


def actions_of(source: Source | Path, **more: Any) -> dict[str, list[tuple[str, float, float]]]:
    """Return video -> actions; no line may be an error."""
    document = read_document(source if isinstance(source, Source) else Source(source, **more))
    reader = EntryReader(document.path, places=document.places)
    names = read_classes(document, reader).names
    read = {
        video: [(a.label, a.start_s, a.end_s) for a in read_actions(video, entry, names, 1e6, reader)]
        for video, entry in document.entries.items()
    }
    assert reader.errors == []
    return read


def sides(source: Source | Path) -> dict[str, Any]:
    document = read_document(source)
    return {video: entry.get("subset") for video, entry in document.entries.items()}


def sorted_actions(read: dict[str, Any]) -> dict[str, Any]:
    return {video: sorted(actions) for video, actions in sorted(read.items())}


@pytest.mark.parametrize("folders", [("", ""), ("annotations_val/", "annotations_test/")])
def test_thumos_text_files_are_read_with_their_subsets(tmp_path: Path, folders: tuple[str, str]) -> None:
    files = {folders["_test" in name] + name: text for name, text in TEXTS.items()}
    written(tmp_path, files | {"info.csv": f"video,duration\n{TRAIN},169.7\n{TEST},33.7\n"})
    assert sorted_actions(actions_of(tmp_path)) == sorted_actions(ACTIONS)
    assert read_document(tmp_path).entries[TRAIN]["duration"] == 169.7
    assert sides(tmp_path) == {TRAIN: "val", TEST: "test"}
    said = read_document(tmp_path).read_as
    assert said[0].startswith("read as THUMOS' text files") and "not read: readme.txt" in said


def test_multithumos_texts_have_the_subsets_of_their_ids(tmp_path: Path) -> None:
    written(tmp_path, {"Walk.txt": f"{TRAIN} 1 2\n{TEST} 3 4.5\n", "class_list.txt": "1 Walk\n"})
    assert actions_of(tmp_path) == {TRAIN: [("Walk", 1, 2)], TEST: [("Walk", 3, 4.5)]}
    assert sides(tmp_path) == {TRAIN: "validation", TEST: "test"}
    (tmp_path / "Walk.txt").write_text(f"{TRAIN} 1 2\nanother 3 4.5\n")
    assert set(sides(tmp_path).values()) == {None}, "one id that names none"


def test_multithumos_json_with_actions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "multithumos.json"
    path.write_text(json.dumps({TRAIN: {"subset": "training", "duration": 9, "actions": [[12, 1.5, 2], ["x", 3, 4]]}}))
    assert actions_of(path) == {TRAIN: [("12", 1.5, 2), ("x", 3, 4)]}


def test_tables_of_two_splits_are_a_folder_with_its_tables_of_videos(tmp_path: Path) -> None:
    info = "video,fps,sample_fps,count,sample_count\n"
    files = {
        "val_Annotation.csv": AFSD + afsd(TRAIN), "test_Annotation.csv": AFSD + afsd(TEST),
        "val_video_info.csv": f"{info}{TRAIN},30.0,10.0,5091.0,1697\n",
        "test_video_info.csv": f"{info}{TEST},30,10,1012,337\n",
        "other.csv": "a,b\n1,2,3\n",
    }  # fmt: skip
    written(tmp_path, files)
    assert actions_of(tmp_path) == ACTIONS
    document = read_document(tmp_path)
    assert document.entries[TRAIN]["duration"] == 169.7 and document.entries[TEST]["fps"] == 30
    assert sides(tmp_path) == {TRAIN: "validation", TEST: "test"}
    assert document.read_as[0] == "read as AFSD's and G-TAD's table (test_Annotation.csv, val_Annotation.csv)"
    assert "not read, of other columns: other.csv" in document.read_as


def test_tables_without_any_subset_have_that_of_their_name(tmp_path: Path) -> None:
    written(tmp_path, {"mine_a.csv": ONE, "mine_b.csv": AFSD + "w,x,0,1,2,0,0\n"})
    assert sides(tmp_path) == {"v": "mine_a", "w": "mine_b"}
    assert sides(tmp_path / "mine_a.csv") == {"v": None}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("video_id,start_s,end_s,label,subset,duration,fps", "v,1,2.5,x,train,9,25"),
        (",video-id,t-start,t-end,label,subset,duration,fps", "0,v,1,2.5,x,train,9,25"),
        ("video-name,t-init,t-end,video-duration,frame-rate,label-idx,split", "v,1,2.5,9,25,x,train"),
        ("video,type,start,end,subset,seconds,fps", '"v","x",0:0:01,"2.5",train,9,25'),
    ],
)
def test_one_table_may_state_everything(tmp_path: Path, header: str, row: str) -> None:
    (tmp_path / "all.csv").write_text(f"\ufeff{header}\n{row}\n", encoding="utf-8")
    assert read_document(tmp_path / "all.csv").entries == {
        "v": {"subset": "train", "duration": 9, "fps": 25, "annotations": [{"label": "x", "segment": [1, 2.5]}]}
    }


def test_the_ambiguous_class_of_a_numbered_table_is_minus_one(tmp_path: Path) -> None:
    (tmp_path / "gt.csv").write_text("video-name,t-init,t-end,label-idx\nv,0.0,1.4,-1\nv,2,3,7\n")
    assert actions_of(tmp_path / "gt.csv") == {"v": [("Ambiguous", 0, 1.4), ("7", 2, 3)]}


def epic(root: Path) -> Path:
    row = EPIC_ROW.format
    return written(root, {
        "EPIC_100_train.csv": EPIC + row(n=0, video="P01_01", start="00:01:02.50", stop="01:00:00.00", verb=1),
        "EPIC_100_validation.csv": EPIC + row(n=1, video="P01_11", start="00:00:00.00", stop="00:00:01.89", verb=0),
        "EPIC_100_video_info.csv": "video_id,duration,fps,resolution\nP01_01,4000.5,60,x\nP01_11,9,50,x\nP9,1,1,x\n",
        "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,take,\"['get']\",leave\n1,put,['put'],leave\n",
        "EPIC_100_tail_verbs.csv": "verb\n1\n",
    })  # fmt: skip


def test_epic_kitchens_is_read_by_the_chosen_column(tmp_path: Path) -> None:
    epic(tmp_path)
    assert actions_of(tmp_path, labels="verb") == {"P01_01": [("put", 62.5, 3600)], "P01_11": [("take", 0, 1.89)]}
    assert actions_of(tmp_path, labels="noun") == {"P01_01": [("2", 62.5, 3600)], "P01_11": [("2", 0, 1.89)]}
    document = read_document(Source(tmp_path, labels="verb"))
    assert document.subset_names == ["EPIC_100_train", "EPIC_100_validation"]
    assert read_classes(document, EntryReader(tmp_path)).names == ("take", "put")
    assert "1 videos of the table have neither action nor subset: left out" in document.read_as
    for labels in ("", "narration"):
        with pytest.raises(InputError, match="verb_class, noun_class") as refused:
            read_document(Source(tmp_path, labels=labels))
        assert '"verb" or "noun"' in str(refused.value.remedy)
    alone = tmp_path / "EPIC_100_train.csv"
    assert actions_of(alone, labels="verb") == {"P01_01": [("1", 62.5, 3600)]}


def test_a_table_of_videos_completes_any_dialect(tmp_path: Path) -> None:
    bare = {"v": {"duration_second": 8.0, "annotations": []}, "w": {"fps": 24.0, "annotations": []}}
    table = "video,numFrame,seconds,fps,rfps,subset,featureFrame\n" + "".join(
        f"{name},418,{seconds},30.0,29.7,{subset},400\n"
        for name, seconds, subset in (("v", 14.07, "training"), ("w", 92.18, "validation"), ("empty", 2, "validation"))
    )
    written(tmp_path, {"bsn.json": json.dumps(bare), "info.csv": table})
    entries = read_document(Source(tmp_path / "bsn.json", tmp_path / "info.csv")).entries
    assert sides(Source(tmp_path / "bsn.json", tmp_path / "info.csv")) == {
        "v": "training", "w": "validation", "empty": "validation"
    }  # fmt: skip
    assert (entries["v"]["duration_second"], entries["w"]["duration"], "duration" in entries["v"]) == (8, 92.18, False)
    assert (entries["v"]["fps"], entries["w"]["fps"]) == (30, 24), "what the actions' own file states stands"
    assert entries["empty"]["annotations"] == []


@pytest.mark.parametrize(
    ("files", "message", "place"),
    [
        ({"Diving_val.txt": "v 1 2\nv 3\n"}, r"Diving_val\.txt, line 2: 'v 3' is not VIDEO START END", ""),
        ({"Diving_val.txt": "v 1 2\nv one 3\n"}, r"Diving_val\.txt, line 2: 'v one 3' is not", ""),
        ({"Diving_val.txt": ""}, "no action in 1 text files", ""),
        ({"readme.txt": "x"}, "no action in 1 text files", ""),
        ({"Diving_val.txt": "v 1 2\n", "Golf_test.txt": "v 1 2\n"}, "line 1: subset .* but another in", ""),
        ({"Diving_val.txt": "v 1 2\n\n\xff", "latin": "1"}, "not UTF-8 text, first in line 3", "Diving_val.txt"),
        ({"a.csv": AFSD}, "no action: nothing but a header", "a.csv"),
        ({"a.csv": ""}, "no header", "a.csv"),
        ({"a.csv": AFSD + "v,x,0,1,2,0\n"}, "line 2: 6 fields, the header names 7", "a.csv"),
        ({"a.csv": AFSD + "v,x,0,one,2,0,0\n"}, r"a\.csv, line 2: start is 'one', not a time", ""),
        ({"a.csv": AFSD + "v,x,0,1,00:99:00,0,0\n"}, r"a\.csv, line 2: end is '00:99:00', not a time", ""),
        ({"a.csv": AFSD + ",x,0,1,2,0,0\n"}, r"a\.csv, line 2: no video", ""),
        ({"a.csv": AFSD + "v,,0,1,2,0,0\n"}, r"a\.csv, line 2: no class", ""),
        ({"a.csv": "video,type,start\nv,x,1\n"}, r"a folder without annotations.*a\.csv", ""),
        ({"a.csv": "video,type,start,end,end\nv,x,1,2,3\n"}, "repeated column 'end'", "a.csv"),
        ({"a.csv": "video,type,start,end,video_id,start_s,end_s,label\n"}, "two kinds of table", "a.csv"),
        ({"a.csv": "video,type,start,end,seconds,duration\nv,x,1,2,3,3\n"}, "two columns for one thing", "a.csv"),
        ({"a.csv": ONE, "b.csv": ONE}, "'v' is in two tables: a.csv and b.csv", ""),
        ({"a.csv": ONE, "b.csv": "video_id,start_s,end_s,label\n"}, "tables of several kinds", ""),
        ({"a.csv": ONE, "b.csv": "video,fps\nv,x\n"}, "line 2: fps is 'x', not a number", "b.csv"),
        ({"a.csv": ONE, "b.csv": "video,fps\nv,1\nv,2\n"}, "line 3: 'v' again", "b.csv"),
        ({"a.csv": "video,type,start,end,fps\nv,x,1,2,25\nv,x,1,2,30\n"}, "line 3: fps 30.0 of 'v', but", ""),
        ({"a.csv": "video,type,start,end,subset\nv,x,1,2,a\n", "b.csv": "video,subset\nv,b\n"}, "of subset 'a'", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_file_and_line(
    tmp_path: Path, files: dict[str, str], message: str, place: str
) -> None:
    latin = files.get("latin")
    for name, text in files.items():
        if name != "latin":
            (tmp_path / name).write_bytes(text.encode("latin-1" if latin else "utf-8"))
    with pytest.raises(InputError, match=message) as refused:
        read_document(tmp_path)
    assert str(tmp_path / place) in str(refused.value.where) and refused.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "no table of actions that the kit knows; its columns: 'a,b'"), ("x\0", "null byte")],
)
def test_one_table_of_other_columns_is_told_which_to_write(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        read_document(tmp_path / "t.csv")
    assert "video_id,start_s,end_s,label" in str(refused.value.remedy)


def test_a_choice_of_labels_is_refused_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ONE)
    with pytest.raises(InputError, match="no choice of labels 'verb'"):
        read_document(Source(tmp_path / "a.csv", labels="verb"))


def test_what_is_wrong_with_a_segment_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ONE + "v,x,0,5,2,0,0\n")
    document = read_document(tmp_path / "a.csv")
    reader = EntryReader(document.path, places=document.places)
    read_actions("v", document.entries["v"], ["x"], 9.0, reader)
    assert [problem.where for problem in reader.errors] == ["a.csv, line 3: v.segment"]


def test_frames_need_their_rate(tmp_path: Path) -> None:
    path = written(tmp_path, {"a.csv": AFSD + "v,x,0,50,100,0,0\n"}) / "a.csv"
    assert actions_of(path, unit="frames", fps=25.0) == {"v": [("x", 2, 4)]}
    assert actions_of(path, unit="milliseconds") == {"v": [("x", 0.05, 0.1)]}
    with pytest.raises(InputError, match="'v' states no fps, and its segments are in frames"):
        read_document(Source(path, unit="frames"))


@pytest.mark.parametrize(
    ("given", "ids", "names", "what"),
    [
        (("b", "a"), {}, ("b", "a"), ""),
        (("b", "a"), {"a": 0, "b": 1}, ("b", "a"), "'a' is 0 by its label_id and 1 in the definition"),
        (("b", "a"), {"a": 8, "b": 3}, ("b", "a"), ""),
        (("a",), {}, ("a",), "'b' is annotated, but not among the definition's"),
    ],
)
def test_the_callers_classes_are_checked_against_the_annotations(
    tmp_path: Path, given: tuple[str, ...], ids: dict[str, int], names: tuple[str, ...], what: str
) -> None:
    items = [{"label": x, "segment": [1, 2]} | ({"label_id": ids[x]} if ids else {}) for x in ("a", "b")]
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"database": {"v": {"subset": "test", "annotations": items}}}))
    reader = EntryReader(path)
    classes = read_classes(read_document(Source(path, classes=given)), reader)
    assert classes.names == names and classes.ids == dict(enumerate(names))
    assert [problem.what for problem in reader.errors[:1]] == ([what] if what else [])
