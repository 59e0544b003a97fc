"""The hooks patched upstream code calls: silent unless driven, then one JSON line an event."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tal_repro import hooks


@pytest.fixture(autouse=True)
def _fresh():
    hooks.reset()
    yield
    hooks.reset()


def test_not_driven_means_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv(hooks.EVENTS_VARIABLE, raising=False)
    monkeypatch.delenv(hooks.SUBSET_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    hooks.event("run", "start")
    hooks.metrics(0, {"loss": 1.0})
    hooks.add_losses({"loss": 1.0})
    hooks.end_losses(0)
    hooks.detections(0, {})
    assert hooks.restrict(["a", "b"]) == ["a", "b"]
    assert list(tmp_path.iterdir()) == []


def test_events_are_json_lines_with_plain_numbers(monkeypatch, tmp_path):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(hooks.EVENTS_VARIABLE, str(path))
    hooks.event("epoch", "start", 3)
    hooks.event("iteration", "end", 7, {"loss": np.float32(0.5), "per_iou": [np.int64(1)]})
    hooks.metrics(3, {"average_map": 0.25})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["kind"], line["phase"], line["index"]) for line in lines] == [
        ("epoch", "start", 3), ("iteration", "end", 7), ("epoch", "metrics", 3),
    ]  # fmt: skip
    assert lines[1]["values"] == {"loss": 0.5, "per_iou": [1]}
    assert all(line["time"] > 1e9 for line in lines)


def test_a_setting_is_the_recipes_where_it_says_one_else_the_authors_own(monkeypatch):
    monkeypatch.delenv(hooks.SETTINGS_VARIABLE, raising=False)
    assert hooks.setting("ema_decay", 0.999) == 0.999
    monkeypatch.setenv(hooks.SETTINGS_VARIABLE, json.dumps({"ema_decay": 0.9}))
    assert hooks.setting("ema_decay", 0.999) == 0.9 and hooks.setting("other", 3) == 3


def test_the_subset_restricts_training_units(monkeypatch, tmp_path):
    path = tmp_path / "subset.json"
    path.write_text(json.dumps({"unit": "video", "policy": "uniform", "percent": 1, "seed": 0, "ids": ["b"]}))
    monkeypatch.setenv(hooks.SUBSET_VARIABLE, str(path))
    assert hooks.keep("b")
    assert not hooks.keep("a")
    assert hooks.restrict([{"id": "a"}, {"id": "b"}], lambda unit: unit["id"]) == [{"id": "b"}]


def test_a_slice_belongs_to_its_video_and_the_ids_used_are_recorded(monkeypatch, tmp_path):
    subset, events = tmp_path / "subset.json", tmp_path / "events.jsonl"
    subset.write_text(json.dumps({"ids": ["video_validation_0000001", "video_validation_0000002_window_32_160"]}))
    monkeypatch.setenv(hooks.SUBSET_VARIABLE, str(subset))
    monkeypatch.setenv(hooks.EVENTS_VARIABLE, str(events))
    slices = [f"video_validation_000000{video}_window_{first}_{first + 128}" for video in (1, 2) for first in (0, 32)]
    assert hooks.restrict(slices) == [slices[0], slices[1], slices[3]]
    assert json.loads(events.read_text())["values"]["ids"] == [slices[0], slices[1], slices[3]]


def test_losses_are_averaged_over_an_epoch(monkeypatch, tmp_path):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(hooks.EVENTS_VARIABLE, str(path))
    for loss in (1.0, 3.0):
        hooks.add_losses({"loss": np.float64(loss)})
    hooks.end_losses(4)
    hooks.end_losses(5)  # nothing was added: nothing is recorded
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["index"], line["values"]) for line in lines] == [(4, {"loss": 2.0})]


def test_an_id_that_is_not_there_is_refused_by_name(monkeypatch, tmp_path):
    path = tmp_path / "subset.json"
    path.write_text(json.dumps({"ids": ["a", "z", "zz"]}))
    monkeypatch.setenv(hooks.SUBSET_VARIABLE, str(path))
    with pytest.raises(ValueError, match=r"2 of 3 units .* the first: z$"):
        hooks.restrict(["a", "b"])


class Tensor:
    """Counts what a GPU would have to be waited for."""

    reads = 0

    def __init__(self, value):
        self.value = value

    def detach(self):
        return self

    def __add__(self, other):
        return Tensor(self.value + other.value)

    def tolist(self):
        Tensor.reads += 1
        return self.value


def test_an_iteration_costs_no_disk_and_no_device_read(monkeypatch, tmp_path):
    """Two short strings into a buffer: everything dear happens once an epoch (timed in benchmarks/hooks.py)."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(hooks.EVENTS_VARIABLE, str(path))
    hooks.event("train", "start", 0)
    before = path.stat().st_size
    for iteration in range(20):
        hooks.event("iteration", "start", iteration)
        hooks.add_losses({"cls_loss": Tensor(1.0), "final_loss": Tensor(2.0)})
        hooks.event("iteration", "end", iteration)
    assert path.stat().st_size == before
    assert Tensor.reads == 0
    hooks.end_losses(0)
    assert Tensor.reads == 2
    assert path.read_text().count('"iteration"') == 40


def test_detections_are_written_whole(monkeypatch, tmp_path):
    monkeypatch.setenv(hooks.DETECTIONS_VARIABLE, str(tmp_path))
    columns = {"video_id": ["v,1"], "start_s": [0.5], "end_s": [1.0], "label": [3], "score": [0.25]}
    hooks.detections(2, columns)
    assert (tmp_path / "epoch_0002.csv").read_text() == 'video_id,start_s,end_s,label,score\n"v,1",0.5,1.0,3,0.25\n'
    with pytest.raises(ValueError, match=r"longer|shorter"):
        hooks.detections(3, {**columns, "score": []})
    assert [path.name for path in tmp_path.glob("*.csv")] == ["epoch_0002.csv"]


def test_single_precision_is_written_in_full(monkeypatch, tmp_path):
    """0.4 as a float32 is above 0.4: by its shortest decimal an authors' tIoU of just 0.4 fell below the threshold."""
    monkeypatch.setenv(hooks.DETECTIONS_VARIABLE, str(tmp_path))
    single = np.array([0.4], np.float32)
    hooks.detections(0, {"video_id": ["v"], "start_s": single, "end_s": single, "label": [1], "score": single})
    row = (tmp_path / "epoch_0000.csv").read_text().splitlines()[1].split(",")
    assert [float(row[at]) for at in (1, 2, 4)] == [float(single[0])] * 3 and float(row[1]) != 0.4


def test_only_the_standard_library_is_imported():
    # Upstream environments may hold other versions of everything: the hooks must not pull any of it in.
    code = (
        "import sys, tal_repro.hooks; print([m for m in sys.modules if m.split('.')[0] in ('numpy','torch','click')])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert answer.stdout.strip() == "[]"
