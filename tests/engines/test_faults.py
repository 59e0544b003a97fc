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
    "segments turned round": "map",
    "one video shifted": "detections",
    "restrict dropped": "subset",
    "losses of another step": "losses",
    "an epoch's events missing": "events",
    "wrong weights": "weights",
    "training set evaluated": "evaluation",
    "a test video left out": "map",
    "iterations counted twice": "events",
    "epochs counted twice": "events",
    "evaluations of the epoch after": "events",
    "an epoch trained twice": "events",
    "every unit twice": "subset",
    "losses sevenfold": "losses",
    "features of other videos": "subset",
    "detections before they are thinned": "map",
    "mAP of its own": "map",
    "the evaluation before": "map",
    "a rate of its own": "unpatched",
    "fewer detections alike": "unpatched",
    "losses halved": "losses",
    "an epoch more": "events",
    "an epoch fewer": "events",
    "larger batches": "subset",
    "iterations end before the step": "events",
    "iterations with their wait": "events",
    "another order of a subset": "unpatched",
    "seed dropped": "unpatched",
    "rate dropped": "unpatched",
    "setting misspelt": "unpatched",
}
INCONCLUSIVE = ("an epoch fewer", "another order of a subset")  # sound code may do so, too
FAMILIES = ("stepnet", "slicenet")  # ActionFormer's layout, raw, evaluates itself; TadTR's, EMA, a script evaluates
QUICK = (
    "stepnet:nothing", "stepnet:shifted by 7 s", "stepnet:losses of another step", "stepnet:an epoch's events missing",
    "slicenet:nothing", "slicenet:restrict dropped", "slicenet:wrong weights", "slicenet:training set evaluated",
    "stepnet:mAP of its own", "stepnet:the evaluation before", "stepnet:every unit twice",
    "slicenet:features of other videos", "slicenet:nothing alike", "slicenet:fewer detections alike",
    "stepnet:a rate of its own", "stepnet:evaluations of the epoch after", "slicenet:another order of a subset",
    "stepnet:seed dropped", "slicenet:an epoch more",
)  # fmt: skip
NONE = (
    "slicenet:the evaluation before", "slicenet:evaluations of the epoch after",  # it evaluates once, at the end
    "slicenet:larger batches", "slicenet:setting misspelt",  # its script knows neither
    "stepnet:iterations with their wait",  # it has no loader
)  # fmt: skip
RELEASED = "slicenet:released"
Answers = dict[str, dict[str, list[str]]]
EVERY = tuple(f"{family}:{fault}" for family in FAMILIES for fault in FAULTS if f"{family}:{fault}" not in NONE)


def call(folder: Path, *cases: str) -> tuple[Answers, str]:
    """Return what the process answered for each case, and its error output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("faults.py")), str(folder), *cases]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: Answers = json.loads(answer.stdout.splitlines()[-1])
    assert list(found) == list(cases)
    return found, answer.stderr


def judge(found: Answers, errors: str) -> None:
    for case, answers in found.items():
        fault = case.partition(":")[2]
        outcomes = {question: outcome for question, (outcome, _) in answers.items()}
        if fault == "nothing":
            assert set(outcomes.values()) == {"ok"} and len(outcomes) == 7, (case, answers)
        elif fault == "nothing alike":
            assert outcomes == {"unpatched": "ok"}, (case, answers)
        else:
            outcome = "inconclusive" if fault in INCONCLUSIVE else "failed"
            assert outcomes.get(FAULTS[fault]) == outcome, (case, answers, errors)
            assert outcome == "inconclusive" or "remedy: " in answers[FAULTS[fault]][1], answers


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, str]:
    """The answers to the quick cases and to `released`, of one process."""
    return call(tmp_path_factory.mktemp("faults"), *QUICK, RELEASED)


def test_sound_patches_pass_and_broken_ones_fail(quick: tuple[Answers, str]) -> None:
    found, errors = quick
    judge({case: found[case] for case in QUICK}, errors)


def test_a_released_checkpoint_of_an_added_model_is_scored_beside_its_published_map(quick: tuple[Answers, str]) -> None:
    """SliceNet's authors trained without the kit; of a second checkpoint every bias says that nothing is there."""
    found, errors = quick
    assert len(found[RELEASED]) == 4, errors
    (engine, scored), (_, silent), *agrees = found[RELEASED].values()
    assert engine == "upstream"
    assert json.loads(scored)[0] > 50 and json.loads(scored)[1:] == [54.3, "README"]
    assert json.loads(silent)[0] == 0
    assert agrees == [["own print", "true"]] * 2


@pytest.mark.timeout(1200)
@pytest.mark.upstream  # needs no submodule; it takes a minute
def test_every_fault_fails_on_both_families(tmp_path: Path) -> None:
    judge(*call(tmp_path, *EVERY))
