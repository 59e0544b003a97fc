"""`models check` cannot be fooled: patches broken on purpose, on stand-in repositories of both families."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# fault -> the question that must fail for it
FAULTS = {
    "shifted by 7 s": "map",
    "labels shifted by one": "map",
    "scores negated": "map",
    "segments in frames": "map",
    "one video shifted": "detections",
    "restrict dropped": "subset",
    "losses of another step": "losses",
    "an epoch's events missing": "events",
    "wrong weights": "weights",
    "training set evaluated": "evaluation",
}
FAMILIES = ("stepnet", "slicenet")  # ActionFormer's layout, raw, evaluates itself; TadTR's, EMA, a script evaluates
QUICK = (
    "stepnet:nothing", "stepnet:shifted by 7 s", "stepnet:losses of another step", "stepnet:an epoch's events missing",
    "slicenet:nothing", "slicenet:restrict dropped", "slicenet:wrong weights", "slicenet:training set evaluated",
)  # fmt: skip
EVERY = tuple(f"{family}:{fault}" for family in FAMILIES for fault in FAULTS)


def check(cases: tuple[str, ...], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("faults.py")), str(folder), *cases]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    assert list(found) == list(cases)
    for case, answers in found.items():
        fault = case.partition(":")[2]
        outcomes = {question: outcome for question, (outcome, _) in answers.items()}
        if fault == "nothing":
            assert set(outcomes.values()) == {"ok"} and len(outcomes) == 7, (case, answers)
        else:
            assert outcomes.get(FAULTS[fault]) == "failed", (case, answers, answer.stderr)
            message = answers[FAULTS[fault]][1]
            assert "remedy: " in message, message


def test_sound_patches_pass_and_broken_ones_fail(tmp_path: Path) -> None:
    check(QUICK, tmp_path)


@pytest.mark.upstream  # needs no submodule; it takes half a minute
def test_every_fault_fails_on_both_families(tmp_path: Path) -> None:
    check(EVERY, tmp_path)
