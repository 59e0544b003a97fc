"""The Makefile's recipes as Make would run them: which program, in which kind of container, with which words."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FETCH = "data fetch thumos14 --layout tadtr --out"
IN_IMAGE = "docker/kit.sh  --target kit --"


def recipe(*words: str, **settings: str) -> str:
    command = ["make", "--dry-run", "--no-print-directory", *words]
    environment = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("fetch-tadtr", "RUNTIME=docker"), f"docker/kit.sh --fetch -- {FETCH}"),
        (("fetch-tadtr", "RUNTIME=none"), f".venv/bin/tal-repro {FETCH}"),
        (("verify", "RUNTIME=podman"), f"{IN_IMAGE} verify"),
        (("smoke", "RUNTIME=docker", "TARGET=upstream", "GPU=1"), "docker/kit.sh --gpu --target upstream -- run"),
        (("gpu-check", "RUNTIME=docker"), "docker/kit.sh --gpu --target upstream -- gpu-check --out results/reference"),
        (("gpu-check", "RUNTIME=none"), ".venv/bin/tal-repro gpu-check --out results/reference"),
        (("ablation-curves", "RUNTIME=docker"), f'--entrypoint python3" {IN_IMAGE} -m tal_repro.paper'),
    ],
)  # fmt: skip
def test_a_target_runs_where_it_is_asked_to(words, wanted):
    """Fetching needs the one kind of container that has a network and may write data."""
    printed = recipe(*words)
    assert wanted in printed
    assert (".venv" in printed) == ("RUNTIME=none" in words)


def test_a_bundle_takes_data_along_only_where_it_is_asked_to(tmp_path):
    assert "--data" not in recipe("bundle", f"OUT={tmp_path}")
    assert '--data "elsewhere"' in recipe("bundle", "DATA=elsewhere")


@pytest.mark.parametrize("target", ["setup", "setup-light", "setup-upstream", "setup-slurm", "bundle"])
def test_an_environment_is_made_whatever_the_runtime_is(target):
    """RUNTIME may be exported for a whole session: what is set up is set up all the same."""
    assert "env/" in recipe(target, f"VENV={target}-venv", RUNTIME="podman")


def test_clean_deletes_nothing_that_took_longer_than_seconds():
    deleted = recipe("clean").split()
    assert {"results/figures", "results/tables", "results/report"} <= set(deleted)
    assert not [word for word in deleted if word.startswith(("results/bench", "results/runs", "results/ref", "data"))]
    kept = {"results", "results/runs", "results/bench", "results/reference", "data"}
    assert not kept & set(recipe("distclean").split())
