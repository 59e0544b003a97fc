"""A test video without an action is run like any other: its detections are false positives, and count."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tal_repro.data import load_dataset
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.session import open_training
from tal_repro.engines.upstream import units
from tal_repro.errors import InputError

ANNOTATIONS = "data/thumos/annotations/thumos14.json"
TOO_SHORT = {"label": "BaseballPitch", "label_id": 0, "segment": [0.0, 0.0005]}  # af-212 leaves it out


def emptied(data_dir: Path, out: Path, instead: list[dict[str, Any]]) -> Path:
    """Copy a data set, with `instead` as the annotations of all test videos but the first eight."""
    shutil.copytree(data_dir, out)
    shutil.rmtree(out / "data/thumos14")  # TadTR, too, reads these
    document = json.loads((out / ANNOTATIONS).read_text())
    test = sorted(key for key, video in document["database"].items() if video["subset"].lower() == "test")
    for key in test[8:]:
        document["database"][key]["annotations"] = instead
    (out / ANNOTATIONS).write_text(json.dumps(document))
    return out


@pytest.fixture(scope="module")
def sets(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two data sets that say the same: videos without an annotation, and with one that does not count."""
    folder = tmp_path_factory.mktemp("background")
    return emptied(data_dir, folder / "without", []), emptied(data_dir, folder / "too-short", [TOO_SHORT])


@pytest.mark.parametrize("model", ["temporalmaxer", "tadtr"])
def test_videos_without_an_action_get_detections_and_one_map(
    context: Callable[..., RunContext], sets: tuple[Path, Path], model: str
) -> None:
    tables, scores = [], []
    for folder in sets:
        network, _, _, evaluator = open_training(replace(_of_any_data(context(model)), data_dir=folder))
        detections = evaluator.detect(network)
        tables.append(detections)
        scores.append(evaluator.score_all(detections, evaluator.score(detections, 0))["ap"]["af-212"])
        few = detections[detections["video_id"].isin(sorted(set(detections["video_id"]))[:8])]
        assert evaluator.score(few, 0)["counts"]["videos"] == evaluator.score(detections, 0)["counts"]["videos"]
    assert tables[0].equals(tables[1]) and scores[0] == scores[1]
    videos = load_dataset(sets[0], "actionformer").videos.values()
    assert set(tables[0]["video_id"]) == {video.id for video in videos if video.subset == "test"}


def _of_any_data(run: RunContext) -> RunContext:
    return replace(run, spec=replace(run.spec, data=None))


def test_a_video_that_holds_nothing_but_ambiguous_segments_is_not_run(data_dir: Path) -> None:
    """THUMOS14 has one, in TadTR's layout: no protocol counts it."""
    dataset = load_dataset(data_dir, "tadtr")
    ambiguous = {video.id for video in dataset.videos.values() if len(video.ambiguous_s) and not len(video.labels)}
    assert ambiguous == {"video_test_0001292"}
    assert [video.id for video in dataset.detected] == [video.id for video in dataset.test]


@pytest.mark.parametrize("broken", ["missing", "not finite"])
def test_both_engines_need_the_features_of_videos_without_an_action(
    context: Callable[..., RunContext], sets: tuple[Path, Path], tmp_path: Path, broken: str
) -> None:
    folder = shutil.copytree(sets[0], tmp_path / "broken")
    dataset = load_dataset(folder, "actionformer")
    video = next(video for video in dataset.detected if not len(video.labels))
    path = next(folder.rglob(f"{video.id}.npy"))
    rows = np.load(path)
    rows[2, 1] = np.nan
    path.unlink() if broken == "missing" else np.save(path, rows)
    run = replace(_of_any_data(context("temporalmaxer")), data_dir=folder)
    some = replace(run, subset_ids=tuple(video.id for video in dataset.train[:4]))
    for start in (lambda: open_training(run), lambda: units.asked_units(some, "actionformer", 4)):
        with pytest.raises(InputError, match=video.id):
            start()
