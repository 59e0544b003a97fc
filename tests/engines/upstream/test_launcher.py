"""One run of a stand-in upstream through launcher, shims, hooks and process: what the four do, in a few lines each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tal_repro import hooks
from tal_repro.engines.adapter import RunContext, StopRequested
from tal_repro.engines.upstream import process, shims
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

# As three of the four begin: a package called `libs`, a compiled NMS, np.float, a callable map_location, no CUDA.
STAND_IN = {
    "libs/__init__.py": "",
    "libs/data.py": """
import numpy as np
from tal_repro import hooks as tal_hooks

class Videos:
    def __init__(self, names):
        self.names = tal_hooks.restrict(names)
        self.durations = np.zeros(len(self.names), dtype=np.float)
""",
    "train.py": """
import argparse, sys
import nms_1d_cpu
import torch
from torch.utils.tensorboard import SummaryWriter
from libs.data import Videos
from tal_repro import hooks as tal_hooks

tal_hooks.event('run', 'start')
videos = Videos(['a', 'b', 'c'])
SummaryWriter('logs').add_scalar('loss', 1.0, 0)
for epoch in range(2):
    tal_hooks.event('epoch', 'start', epoch)
    tal_hooks.event('train', 'start', epoch)
    for number, name in enumerate(videos.names):
        tal_hooks.event('iteration', 'start', number)
        tal_hooks.add_losses({'final_loss': torch.tensor(float(epoch + number))})
        torch.cuda.synchronize()
        tal_hooks.event('iteration', 'end', number)
    tal_hooks.end_losses(epoch)
    tal_hooks.event('train', 'end', epoch)
torch.save({'options': argparse.Namespace(a=1), 'state_dict': {'w': torch.ones(1)},
            'state_dict_ema': {'w': torch.zeros(1)}}, 'last.pth.tar')
saved = torch.load('last.pth.tar', map_location=lambda storage, place: storage.cuda('cuda:0'))
kept = nms_1d_cpu.nms(torch.tensor([[0., 2.], [0., 2.1], [5., 6.]]), torch.tensor([.9, .8, .7]), 0.5)
print('ema weight', saved['state_dict_ema']['w'].item(), 'kept', sorted(kept.tolist()), 'asked', sys.argv[1:],
      'input', repr(sys.stdin.read()))
tal_hooks.event('run', 'end')
""",
    "waits.py": "import time\nprint('waiting', flush=True)\ntime.sleep(600)\n",
    "complains.py": "raise AttributeError('np.float is gone\\nuse float\\n    https://example.org/notes')\n",
    "dies.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
}


@pytest.fixture
def tree(weird_path: Path) -> Path:
    """The stand-in, in a folder of a name that no shell would survive."""
    for name, content in STAND_IN.items():
        (weird_path / name).parent.mkdir(exist_ok=True)
        (weird_path / name).write_text(content)
    return weird_path


@pytest.fixture
def run(tmp_path: Path, spec: RunSpec) -> RunContext:
    import dataclasses

    spec = dataclasses.replace(spec, model="actionformer", engine="upstream")
    return RunContext(spec, RunStore(tmp_path / "runs").writer(spec), None, "cpu")


def launch(run: RunContext, tree: Path, script: str, work: Path, ids: tuple[str, ...] = (), **more: str) -> float:
    work.mkdir(exist_ok=True)
    environment = dict(more)
    if ids:
        subset = work / "subset.json"
        subset.write_text(json.dumps({"ids": ids}))
        environment[hooks.SUBSET_VARIABLE] = str(subset)
    return process.launch(run, tree, script, ["--epochs", "2 ; rm -rf /"], work, environment)


def test_a_script_of_2023_runs_and_its_hooks_are_heard(
    run: RunContext, tree: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wall = launch(run, tree, "train.py", tmp_path / "work", ("a", "c"))
    said = capfd.readouterr().out
    assert "kept [0, 2]" in said  # the kit's NMS stood in for the compiled one
    assert "ema weight 0.0" in said
    assert "asked ['--epochs', '2 ; rm -rf /']" in said  # no shell in between
    assert "input ''" in said  # a question would get no answer instead of waiting for ever
    events = process.read_events(run.record.paths.events)
    assert [event["values"]["ids"] for event in events if event["kind"] == "subset"] == [["a", "c"]]
    losses = [event["values"]["final_loss"] for event in events if event["phase"] == "metrics"]
    assert losses == [0.5, 1.5]
    seconds = process.phase_seconds(events)
    assert 0 < seconds["train"] <= seconds["run"] <= wall
    assert 0 <= process.data_wait_seconds(events) <= seconds["train"]


def test_raw_weights_take_the_place_of_the_ema(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch, "load", torch.load)  # puts the real one back afterwards
    shims.torch_load()
    path = tmp_path / "last.pth.tar"
    torch.save({"state_dict": {"w": torch.ones(1)}, "state_dict_ema": {"w": torch.zeros(1)}}, path)
    cuda: Any = lambda storage, place: storage.cuda("cuda:0")  # noqa: E731 (as three upstreams write it)
    assert torch.load(path, map_location=cuda)["state_dict_ema"]["w"].item() == 0
    monkeypatch.setenv(shims.WEIGHTS_VARIABLE, "raw")
    assert torch.load(path, map_location=cuda)["state_dict_ema"]["w"].item() == 1


def test_a_failing_script_fails_the_run_with_its_last_words(run: RunContext, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"ended with exit code 1: ValueError: 1 of 2 units of the subset .* the first: zebra"
    ):
        launch(run, tree, "train.py", tmp_path / "work", ("a", "zebra"))


def test_the_first_line_of_a_long_complaint_is_told(run: RunContext, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 1: AttributeError: np\.float is gone$"):
        launch(run, tree, "complains.py", tmp_path / "work")


def test_a_killed_script_fails_the_run(run: RunContext, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"dies.py ended with exit code -9: see the log"):
        launch(run, tree, "dies.py", tmp_path / "work")


def test_a_wish_to_stop_ends_the_process(run: RunContext, tree: Path, tmp_path: Path) -> None:
    beats: list[float] = []
    run.heartbeat = lambda: beats.append(time.monotonic())
    run.should_stop = lambda: "now" if beats else ""
    with pytest.raises(StopRequested):
        launch(run, tree, "waits.py", tmp_path / "work")
    assert beats
    assert not [pid for pid in _launched() if str(tree) in pid]


def test_the_script_dies_with_the_process_that_started_it(tree: Path, tmp_path: Path) -> None:
    """A killed worker leaves nobody on the device."""
    order = {"model": "actionformer", "tree": str(tree), "script": "waits.py", "arguments": [], "last_words": "w"}
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "tal_repro.engines.upstream.launcher", {json.dumps(order)!r}],
                         stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and _state(child) != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists() or _state(child) == "Z"


@pytest.mark.parametrize("model", MODELS)
def test_each_shim_has_a_reason_and_goes_only_where_it_is_needed(model: str) -> None:
    wanted = shims.needed(model)
    assert wanted and all(shim.reason for shim in wanted)
    names = {shim.name for shim in wanted}
    assert ("compiled_roi_align" in names) == (model == "tadtr")
    assert ("compiled_nms" in names) == (model in (*shims.PYRAMID, "dyfadet", "tetad"))


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        "3",
        '{"time": 1.0, "kind": "run"}',
        '{"time": "soon", "kind": "run", "phase": "start"}',
        '{"time": NaN, "kind": "run", "phase": "start"}',
        '{"time": 1.0, "kind": "rm -rf", "phase": "start"}',
        '{"time": 1.0, "kind": "epoch", "phase": "start", "index": "0"}',
        '{"time": 1.0, "kind": "epoch", "phase": "metrics", "index": 0, "values": [1]}',
        "[" * 100_000,
    ],
)
def test_a_hostile_event_file_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"time": 1.0, "kind": "run", "phase": "start"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"events\.jsonl: not an event file"):
        process.read_events(path)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"time": 1.0, "kind": "run", "phase": "start"}\n{"time": 2.0, "ki')
    assert [event["time"] for event in process.read_events(path)] == [1.0]
    assert process.read_events(tmp_path / "none.jsonl") == []


def _launched() -> list[str]:
    import psutil

    found: list[Any] = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [" ".join(words) for words in found if "tal_repro.engines.upstream.launcher" in words]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"
