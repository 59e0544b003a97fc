"""Completion of the shell: verbs, claims, runs and studies, asked of click and once of a real Bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tal_repro.cli import VERBS, main
from tests.paper.made_up_runs import training


def offered(*words: str) -> list[str]:
    """Return what is offered for the last of the words."""
    complete = ShellComplete(main, {}, "tal-repro", "_TAL_REPRO_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_verbs_are_offered() -> None:
    assert offered("") == list(VERBS)
    assert offered("ver") == ["verify"]


def test_claims_are_offered_by_id() -> None:
    assert offered("verify", "--claim", "T2.") == [f"T2.{number}" for number in range(1, 10)]
    assert offered("verify", "--claim", "t1.1") == ["T1.1"]
    assert offered("verify", "--claim", "no such") == []


def test_runs_are_offered_from_the_folder_that_is_named(tmp_path: Path) -> None:
    first, second = (training(tmp_path, "tadtr", 50, seed=seed).spec.run_id for seed in (0, 1))
    assert sorted(offered("show", "--results", str(tmp_path), "")) == sorted([first, second])
    assert offered("show", "--results", str(tmp_path), first[:9]) == [first]
    assert offered("show", "--results", str(tmp_path / "none"), "") == []


def test_shipped_studies_are_offered() -> None:
    assert offered("plan", "--study", "p")[0] == "paper"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here: install it")
def test_a_real_bash_completes_a_claim(tmp_path: Path) -> None:
    installed = "import sys; sys.argv[0] = 'tal-repro'; from tal_repro.__main__ import start; start()"
    (tmp_path / "tal-repro").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{installed}" "$@"\n')
    (tmp_path / "tal-repro").chmod(0o755)
    script = (
        'eval "$(_TAL_REPRO_COMPLETE=bash_source tal-repro)"; COMP_WORDS=(tal-repro verify --claim T2.4); '
        'COMP_CWORD=3; _tal_repro_completion tal-repro; echo "${COMPREPLY[@]}"'
    )
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout.strip() == "T2.4"
