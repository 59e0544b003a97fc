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
    assert hooks.kept(["a", "b"]) == ["a", "b"]
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


def test_the_subset_restricts_training_units(monkeypatch, tmp_path):
    path = tmp_path / "subset.json"
    path.write_text(json.dumps({"unit": "video", "policy": "uniform", "percent": 1, "seed": 0, "ids": ["b"]}))
    monkeypatch.setenv(hooks.SUBSET_VARIABLE, str(path))
    assert hooks.kept(["a", "b", "c"]) == ["b"]
    assert hooks.keep("b")
    assert not hooks.keep("a")


def test_only_the_standard_library_is_imported():
    # Upstream environments may hold other versions of everything: the hooks must not pull any of it in.
    code = (
        "import sys, tal_repro.hooks; print([m for m in sys.modules if m.split('.')[0] in ('numpy','torch','click')])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert answer.stdout.strip() == "[]"
