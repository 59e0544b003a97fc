"""`tal-repro demo` from nothing, interrupted and resumed; what it draws with is tested with those commands."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main


def test_the_demo_resumes_and_says_that_it_is_synthetic(
    start: Callable[..., subprocess.Popen[str]],
    tal: Callable[..., subprocess.CompletedProcess[str]],
    stand_in: Callable[..., None],
    tmp_path: Path,
) -> None:
    stand_in(epochs=2, epoch_seconds=0.3)
    only = ("--only", "experiment=baseline", "--out", str(tmp_path / "demo"))
    process = start("demo", *only)
    end = time.monotonic() + 30
    while not list((tmp_path / "demo").glob("runs/baseline/*/*/metrics.json")):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert "the same command goes on from here" in (process.stdout.read() if process.stdout else "")
    stand_in(epochs=2, epoch_seconds=0.01)
    answer = tal("demo", *only)
    assert answer.returncode == 0, answer.stderr
    assert "reused from" in answer.stderr
    assert answer.stderr.count("SYNTHETIC DATA") == 2
    specs = [json.loads(path.read_text()) for path in (tmp_path / "demo").glob("runs/baseline/*/*/spec.json")]
    assert len(specs) == 8
    assert all(spec["data"]["synthetic"] for spec in specs)


def test_without_torch_nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 2
    assert "torch is not installed here" in result.stderr
    assert "make setup" in result.stderr
    assert not (tmp_path / "demo").exists()
