"""The authors' code under the runner (marker `upstream`): a study of two models, killed, stopped, resumed, reused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tal_repro.engines.upstream.checkout import status
from tal_repro.runs.store import RunStore

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(3600)]
MODELS = ("tadtr", "actionformer")
STUDY = """
schema = "tal-repro/study/1"
name = "tiny-upstream"
[data]
name = "tiny"
synthesis = { videos = 20, test = 20, feature_dim = 2048, classes = 20, seconds = [20, 40], difficulty = 0.2, seed = 1 }
[defaults]
engines = ["upstream"]
device = "cpu"
alone = []
[[experiments]]
experiment = "baseline"
models = ["tadtr", "actionformer"]
[recipes.tadtr]
epochs = 2
lr_decay_epoch = 1
encoder_layers = 1
decoder_layers = 1
loader_workers = 1
[recipes.actionformer]
epochs = 3
warmup_epochs = 1
embed_dim = 32
mlp_dim = 128
head_dim = 32
max_seq_len = 576
loader_workers = 1
pre_nms_topk = 100
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for model in MODELS:
        if not status(model).present:
            pytest.skip("the checkouts are missing: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    path = tmp_path_factory.mktemp("study")
    (path / "tiny.toml").write_text(STUDY)
    return path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the study and leave it running; whatever is left is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def call(results: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tal_repro", "run", "--study", "tiny.toml", "--results", results]
        command += ["--data", "data", "--jobs", "1", *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes))
        return started[-1]

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def scripts_alive(folder: Path) -> list[list[str]]:
    """Return the authors' scripts that run for this test."""
    found = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [words for words in found if "tal_repro.engines.upstream.launcher" in words and str(folder) in str(words)]


def wait_for(condition: Callable[[], bool], seconds: float, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def training(folder: Path, results: str, model: str) -> Callable[[], bool]:
    """Return the question whether a model's training loop is under way."""

    def under_way() -> bool:
        paths = (folder / results).glob(f"baseline/{model}/*.partial/events.jsonl")
        return any('"train"' in path.read_text() for path in paths)

    return under_way


def test_killed_it_starts_over_and_says_so_then_is_reused(folder: Path, start: Callable[..., Any]) -> None:
    process = start("runs")
    wait_for(training(folder, "runs", "tadtr"), 300, process)
    assert scripts_alive(folder)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while scripts_alive(folder):
        assert time.monotonic() < deadline, "the authors' script outlived its runner"
        time.sleep(0.1)
    again = start("runs")
    said = again.communicate(timeout=1800)[0]
    assert again.returncode == 0, said
    store = RunStore(folder / "runs")
    records = list(store.records())
    assert [record.spec.model for record in records] == ["actionformer", "tadtr"]
    assert list(store.leftovers()) == []
    for record in records:
        assert record.damaged() == []
        assert all(one["agrees"] for one in record.metrics["upstream"]["own_print"])
    assert "starting over" in records[1].paths.log.read_text()
    assert records[1].status["attempts"] == 2
    third = start("runs")
    assert "2 finished runs reused" in third.communicate(timeout=120)[0]
    assert third.returncode == 0


def test_sigterm_ends_the_authors_script_within_ten_seconds(folder: Path, start: Callable[..., Any]) -> None:
    process = start("stopped", "--only", "model=actionformer")
    wait_for(training(folder, "stopped", "actionformer"), 300, process)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 143
    assert time.monotonic() - began < 10
    assert scripts_alive(folder) == []
    store = RunStore(folder / "stopped")
    assert list(store.records()) == [] and len(list(store.leftovers())) == 1
    shutil.rmtree(folder / "stopped")
