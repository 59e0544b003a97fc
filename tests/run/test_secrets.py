"""The kit needs no secret; one that lies about in the environment of a study reaches no file and no output of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tal_repro.study import Study

SECRET = "hunter2-9f1c"


def test_a_secret_of_the_environment_is_in_no_result(
    mini: Study, tal: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://user:{SECRET}@proxy" if name == "HTTPS_PROXY" else SECRET)
    results = tmp_path / "runs"
    done = tal("run", "--study", str(mini.path), "--results", str(results), "--jobs", "2")
    assert done.returncode == 0, done.stderr
    archive = tmp_path / "runs.tar.gz"
    said = [done, tal("show", next(iter(mini.runs())).run_id, "--results", str(results), "--json")]
    said += [tal("doctor", "--study", str(mini.path), "--results", str(results), "--json")]
    said += [tal("results", "export", str(archive), "--results", str(results))]
    assert archive.is_file() and json.loads(said[1].stdout)
    files = [path for path in results.rglob("*") if path.is_file()]
    assert len(files) > 6 * 4
    found = [path for path in files if SECRET.encode() in path.read_bytes()]
    assert found == []
    assert not any(SECRET in one.stdout + one.stderr for one in said)
