"""An installed wheel gives the run ids and verdicts of the clone it was built from; what needs a clone says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.tables.pins import pins_text
from tal_repro.cli import main
from tal_repro.engines.registry import PINS
from tal_repro.kit import require_checkout
from tal_repro.models.registry import MODELS
from tal_repro.published.load import FOLDER

ROOT = require_checkout("testing")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
UPSTREAM = ("plan", "--study", "paper", "--scope", "full", "--set", "engine=native,upstream", "--list", "--json")

Verb = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Verb:
    """Build the wheel from a copy of what goes into it, unpack it as pip does, and run its verbs somewhere else."""
    source, out, site, elsewhere = (tmp_path_factory.mktemp(name) for name in ("source", "out", "site", "elsewhere"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "tal_repro", source / "tal_repro", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, check=True, capture_output=True)
    (wheel,) = out.glob("tal_repro-*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def verb(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tal_repro", *words]
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)

    return verb


def in_the_clone(*words: str) -> Any:
    return json.loads(CliRunner().invoke(main, words, catch_exceptions=False).stdout)


def test_the_plan_and_the_verdicts_are_those_of_the_clone(installed: Verb, tmp_path: Path) -> None:
    nothing = ("--results", str(tmp_path))
    for words in (UPSTREAM, ("verify", "--json")):
        answer = installed(*words, *nothing)
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout) == in_the_clone(*words, *nothing)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models", "new", "x2", "--repository", "https://e.org/B", "--commit", "a" * 40), "models new needs a clone"),
        (("upstream", "diff", "tadtr"), "needs a clone"),
    ],
)
def test_what_needs_a_clone_says_so(installed: Verb, words: tuple[str, ...], said: str) -> None:
    answer = installed(*words)
    assert answer.returncode == 2 and said in answer.stderr and "remedy: clone the repository" in answer.stderr


def test_the_published_numbers_have_a_single_home() -> None:
    assert (ROOT / "results" / "published").resolve() == FOLDER.resolve()
    assert not [path for path in ROOT.glob("tal_repro/**/thumos14_classes.csv") if path.parent != FOLDER]


def test_the_pins_are_those_of_the_patches_and_the_submodules() -> None:
    assert PINS.read_text(encoding="utf-8") == pins_text(), "patches/ changed: make docs"
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: run it in a clone")
    command = ["git", "-C", str(ROOT), "ls-files", "--stage", "third_party"]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    gitlinks = {row.split()[3]: row.split()[1] for row in rows if row.startswith("160000")}
    assert gitlinks == {f"third_party/{entry.submodule}": entry.commit for entry in MODELS.values()}
