"""From what upstream leaves behind to rows: pairing, losses and phases; hostile detections are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pandas as pd
import pytest

from tal_repro.detection.protocols import PROTOCOLS, GroundTruth
from tal_repro.engines.upstream import job, process, scores, units
from tal_repro.engines.upstream.scores import Evaluated
from tal_repro.errors import InputError


def event(time: float, kind: str, phase: str, index: int | None = None, **values: Any) -> dict[str, Any]:
    return {"time": time, "kind": kind, "phase": phase, "index": index, "values": values}


TWO_EPOCHS = [
    event(10.0, "run", "start"),
    event(11.0, "epoch", "start", 0),
    event(11.0, "train", "start", 0),
    event(11.5, "iteration", "start", 0),
    event(12.0, "iteration", "end", 0),
    event(12.25, "iteration", "start", 1),
    event(13.0, "iteration", "end", 1),
    event(13.0, "epoch", "metrics", 0, cls_loss=2.0, reg_loss=1.0, final_loss=3.0),
    event(13.0, "train", "end", 0),
    event(13.0, "eval", "start", 0),
    event(14.5, "eval", "end", 0),
    event(15.0, "epoch", "start", 1),
    event(15.0, "train", "start", 1),
    event(15.0, "iteration", "start", 0),
    event(16.0, "iteration", "end", 0),
    event(16.0, "epoch", "metrics", 1, cls_loss=1.0, reg_loss=0.5),
    event(16.0, "train", "end", 1),
    event(17.0, "run", "end"),
]


def test_epochs_hold_steps_so_far_losses_and_seconds() -> None:
    assert scores.epoch_rows([one for one in TWO_EPOCHS if one["kind"] != "run"]) == [
        {"epoch": 0, "train_seconds": 2.0, "eval_seconds": 1.5, "optimizer_steps": 2, "loss": 3.0,
         "loss_cls_loss": 2.0, "loss_reg_loss": 1.0},
        {"epoch": 1, "train_seconds": 1.0, "eval_seconds": 0.0, "optimizer_steps": 3, "loss": 1.5,
         "loss_cls_loss": 1.0, "loss_reg_loss": 0.5},
    ]  # fmt: skip


def test_phases_and_waiting_are_added_up() -> None:
    assert process.phase_seconds(TWO_EPOCHS) == {"iteration": 2.25, "train": 3.0, "eval": 1.5, "run": 7.0}
    assert process.data_wait_seconds(TWO_EPOCHS) == pytest.approx(0.5 + 0.25)


def written(folder: Path, *names: str, rows: str = "v,0.0,1.0,0,0.5\n") -> Path:
    for name in names:
        (folder / name).write_text("video_id,start_s,end_s,label,score\n" + rows)
    return folder


def test_evaluations_pair_detections_with_the_map_printed(tmp_path: Path) -> None:
    folder = written(tmp_path, "epoch_0000.csv", "epoch_0001.csv")
    events = [event(1, "epoch", "metrics", epoch, average_map=0.1 * epoch) for epoch in (0, 1)]
    events.insert(1, event(1, "epoch", "metrics", 0, final_loss=1.0))
    found = scores.evaluations(events, folder, "raw")
    assert [(one.epoch, one.weights, one.detections.name, one.printed_map) for one in found] == [
        (0, "raw", "epoch_0000.csv", 0.0), (1, "raw", "epoch_0001.csv", 0.1),
    ]  # fmt: skip


def test_an_epoch_said_after_the_evaluation_counts(tmp_path: Path) -> None:
    """TemporalMaxer's evaluation calls every epoch -1; its training loop says which it was."""
    folder = written(tmp_path, "epoch_0000.csv", "epoch_0001.csv")
    events = []
    for epoch in (30, 31):
        events += [event(1, "epoch", "metrics", -1, average_map=epoch / 100)]
        events += [event(1, "epoch", "metrics", epoch, average_map=epoch / 100)]
    assert [one.epoch for one in scores.evaluations(events, folder, "ema")] == [30, 31]
    alone = scores.evaluations(events[:1], folder_of_one(tmp_path), "ema")
    assert [one.epoch for one in alone] == [-1]  # eval.py: the job knows the epoch


def folder_of_one(parent: Path) -> Path:
    folder = parent / "one"
    folder.mkdir()
    return written(folder, "epoch_0000.csv")


def test_detections_without_a_map_are_not_paired_in_silence(tmp_path: Path) -> None:
    folder = written(tmp_path, "epoch_0000.csv", "epoch_0001.csv")
    with pytest.raises((ValueError, InputError)):
        scores.evaluations([event(1, "epoch", "metrics", 0, average_map=0.5)], folder, "raw")


@pytest.fixture
def truth() -> GroundTruth:
    table = pd.DataFrame({"video_id": ["v", "v"], "start_s": [0.0, 5.0], "end_s": [1.0, 6.0], "label": ["A", "B"]})
    return GroundTruth({"v": 10.0}, table, ("A", "B"), {0: "A", 1: "B"})


def test_the_kits_map_stands_beside_upstreams_print(tmp_path: Path, truth: GroundTruth) -> None:
    written(tmp_path, "epoch_0000.csv", rows="v,0.0,1.0,0,0.9\nv,5.0,6.0,1,0.8\n")
    right = Evaluated(3, "ema", tmp_path / "epoch_0000.csv", 1.0)
    rows, flags, compared = scores.metric_rows({("last", "ema"): right}, truth, "af-212")
    assert {row["protocol"] for row in rows} == set(PROTOCOLS)
    assert all(row["ap"] == 1.0 and row["epoch"] == 3 for row in rows if row["protocol"] == "af-212")
    assert flags == [] and compared[0]["agrees"]
    wrong = Evaluated(3, "ema", tmp_path / "epoch_0000.csv", 0.99)
    _, flags, compared = scores.metric_rows({("last", "ema"): wrong}, truth, "af-212")
    assert not compared[0]["agrees"]
    assert [flag.partition(":")[0] for flag in flags] == ["differs-from-upstream-print"]


def test_equal_scores_stand_beside_the_print_in_its_own_order(tmp_path: Path, truth: GroundTruth) -> None:
    """The authors' evaluators turn a sort round: of two equal scores the later row comes first, and it is a miss."""
    written(tmp_path, "epoch_0000.csv", rows="v,0.0,1.0,0,0.9\nv,8.0,9.0,0,0.9\nv,5.0,6.0,1,0.8\n")
    printed = Evaluated(3, "ema", tmp_path / "epoch_0000.csv", 0.75)  # AP 0.5 and 1
    rows, flags, compared = scores.metric_rows({("last", "ema"): printed}, truth, "af-212")
    assert flags == [] and compared[0]["kit_map"] == 0.75
    assert {row["ap"] for row in rows} == {1.0}  # the kit's own order, the same on every machine: the file's


def test_a_segment_that_ends_before_it_starts_is_false_as_in_the_print(tmp_path: Path, truth: GroundTruth) -> None:
    """A model that regresses both bounds may cross them; the authors' evaluators count such a row as a miss."""
    written(tmp_path, "epoch_0000.csv", rows="v,1.0,0.0,0,0.95\nv,0.0,1.0,0,0.9\nv,5.0,6.0,1,0.8\n")
    printed = Evaluated(3, "ema", tmp_path / "epoch_0000.csv", 0.75)  # AP 0.5 and 1
    _, flags, compared = scores.metric_rows({("last", "ema"): printed}, truth, "af-212")
    assert flags == [] and compared[0]["kit_map"] == 0.75


def test_a_protocol_that_counts_a_video_upstream_drops_is_left_out(tmp_path: Path) -> None:
    """TadTR's evaluation drops the detections of three videos: they would pass for missed actions elsewhere."""
    dropped = "video_test_0000270"
    table = pd.DataFrame({"video_id": ["v", dropped], "start_s": [0.0, 5.0], "end_s": [1.0, 6.0], "label": ["A", "A"]})
    truth = GroundTruth({"v": 10.0, dropped: 10.0}, table, ("A",), {0: "A"})
    written(tmp_path, "epoch_0000.csv", rows="v,0.0,1.0,0,0.9\n")
    one = {("last", "raw"): Evaluated(0, "raw", tmp_path / "epoch_0000.csv", 1.0)}
    rows, flags, compared = scores.metric_rows(one, truth, "tadtr-210")
    assert {row["protocol"] for row in rows} == {"tadtr-210", "opentad-211"}  # of 212 videos it is one
    assert flags == [] and compared[0]["agrees"]
    written(tmp_path, "epoch_0000.csv", rows=f"v,0.0,1.0,0,0.9\n{dropped},5.0,6.0,0,0.8\n")
    rows, _, _ = scores.metric_rows(one, truth, "tadtr-210")
    assert {row["protocol"] for row in rows} == set(PROTOCOLS)  # nothing was dropped


@pytest.mark.parametrize(
    "rows",
    [
        "v,nan,1.0,0,0.5\n",
        "v,2.0,1e308,0,0.5\n",
        "v,0.0,1.0,7,0.5\n",
        "v,0.0,1.0,0,inf\n",
        "v,0.0,1.0,0\n",
        "v,__import__('os'),1.0,0,0.5\n",
    ],
)
def test_hostile_detections_are_refused(tmp_path: Path, truth: GroundTruth, rows: str) -> None:
    written(tmp_path, "epoch_0000.csv", rows=rows)
    one = Evaluated(0, "raw", tmp_path / "epoch_0000.csv", 0.0)
    with pytest.raises(InputError, match=r"epoch_0000\.csv"):
        scores.metric_rows({("last", "raw"): one}, truth, "af-212")


def test_units_used_must_be_those_asked_for() -> None:
    units.check_used(("a", "b"), ["b", "a"])
    units.check_used(("v1", "v2"), ["v1_window_0_128", "v1_window_32_160", "v2_window_0_128"])
    units.check_used(("v1_window_0_128",), ["v1_window_0_128"])
    for asked, used, message in (
        (("a", "b"), ["a"], "without b"),
        (("a",), ["a", "c"], "and on c"),
        (("a",), [], "without a"),
        (("v1_window_0_128", "v1_window_32_160"), ["v1_window_0_128"], "without v1_window_32_160"),
        (("v1", "v2"), ["v1_window_0_128"], "without v2"),
    ):
        with pytest.raises(InputError, match=message):
            units.check_used(asked, used)


def test_of_equal_evaluations_the_first_is_the_best_and_the_newest_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Evaluated(epoch, "raw", tmp_path, value) for epoch, value in enumerate((0.1, 0.3, 0.3, 0.2))]
    monkeypatch.setattr(job.process, "launch", lambda *_: 1.0)
    monkeypatch.setattr(job.process, "read_events", lambda _: [])
    monkeypatch.setattr(job.scores, "evaluations", lambda *_: made)
    training = job.Job(MagicMock(), None, tmp_path, MagicMock(), tmp_path)
    training.train("train.py", [], "raw")
    assert {name: evaluated.epoch for (name, _), evaluated in training.chosen.items()} == {"best-on-test": 1, "last": 3}
