"""The probe against a training loop whose waits and work are known, and in a script run by the launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import torch

import tal_repro
from tal_repro.engines.upstream.probe import VARIABLE, Probe

WAIT_S, WORK_S = 0.03, 0.01
SCRIPT = """
import time
import torch
from tal_repro import hooks as tal_hooks

class Samples(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.ones(4)

weight = torch.nn.Parameter(torch.ones(4))
for epoch in range(1000):
    tal_hooks.event('train', 'start', epoch)
    for number, batch in enumerate(torch.utils.data.DataLoader(Samples(), batch_size=2)):
        tal_hooks.event('iteration', 'start', number)
        (batch * weight).sum().backward()
        tal_hooks.event('iteration', 'end', number)
    tal_hooks.event('train', 'end', epoch)
raise SystemExit('nobody stopped me')
"""


class SlowSamples:
    """A data set whose reading takes a while, in a function with a name."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        time.sleep(0.02)
        return index


def loop(probe: Probe, epochs: int, steps: int) -> None:
    """Train as the hooks of an upstream tell it; the first batch of an epoch takes five times as long."""
    for epoch in range(epochs):
        probe.event("train", "start", epoch)
        for step in range(steps):
            time.sleep(WAIT_S * (5 if step == 0 else 1))
            probe.event("iteration", "start", step)
            time.sleep(WORK_S)
            torch.ones(50, 50) @ torch.ones(50, 50)
            probe.event("iteration", "end", step)
        probe.event("train", "end", epoch)


def test_waits_and_work_are_told_apart_and_the_first_step_of_an_epoch_is_left_out(tmp_path: Path) -> None:
    probe = Probe(str(tmp_path / "out.json"), "cpu", warmup=1, steps=5, profiled=2)
    probe.loader = SimpleNamespace(dataset=SlowSamples())
    with pytest.raises(SystemExit) as ended:
        loop(probe, epochs=10, steps=4)
    assert ended.value.code == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["steps"] == 5
    assert sum(found["host"].values()) == pytest.approx(1)
    assert found["host"]["data_wait"] == pytest.approx(WAIT_S / (WAIT_S + WORK_S), abs=0.1)  # not of the first steps
    assert found["epoch_start_wait_ms"] >= 1000 * 5 * WAIT_S
    assert found["loader_functions"][0][0] == "test_probe.SlowSamples.__getitem__"
    assert found["operators"][0][0] in ("aten::mm", "aten::fill_", "aten::ones")  # ones are filled
    assert "waiting for the loader: most in test_probe.SlowSamples.__getitem__" in found["verdict"]


def test_a_script_is_watched_through_its_hooks_and_ended(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    order = {"model": "tridet", "tree": str(tmp_path), "script": "train.py", "arguments": [], "last_words": "words"}
    asked = {"out": str(tmp_path / "out.json"), "device": "cpu", "warmup": 1, "steps": 3, "profiled": 2}
    environment = {**os.environ, VARIABLE: json.dumps(asked), "PYTHONPATH": str(Path(tal_repro.__file__).parents[1])}
    command = [sys.executable, "-m", "tal_repro.engines.upstream.launcher", json.dumps(order)]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert found["steps"] == 3 and found["host"]["data_wait"] > 0.2
    assert found["loader_functions"][0][0] == "train.Samples.__getitem__"
    schema = json.loads((Path(tal_repro.__file__).parent / "schemas" / "attribution.json").read_text())
    head = {"schema": "tal-repro/attribution/1", "model": "tridet", "engine": "upstream", "device": "cpu"}
    jsonschema.validate({**head, **found}, schema)
