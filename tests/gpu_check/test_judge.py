"""What is made of a card's evidence: each trouble is a finding of its own, and memory decides how many runs fit."""

from __future__ import annotations

from typing import Any

import pytest

from tal_repro.gpu_check import judge
from tal_repro.machine.host import GIB
from tal_repro.models.registry import OF_AUTHORS
from tal_repro.run.room import Card, Host
from tests.gpu_check.cards import STEP_MIB, evidence

A10 = Card("NVIDIA A10", 23028.0, 5.0)
ROOMY = Host(64 * GIB, 8 * GIB, 16)


def judged(seen: Any, models: Any = OF_AUTHORS) -> dict[str, tuple[str, str]]:
    return {found.check: (found.status, found.what) for found in judge.findings(seen, models, on_gpu=True)}


def test_a_sound_card_is_ok_throughout() -> None:
    found = judged(evidence())
    assert {status for status, _ in found.values()} == {"ok"}
    assert found["energy"][1] == "4500 J in 30 s, 150 W"


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"product": {"relative_error": 4e-4}}, "product", "4e-04 from the CPU's"),
        ({"product": {"problem": "no kernel image is available"}}, "product", "no kernel image"),
        ({"native_tridet": {"problem": "CUDA out of memory"}}, "native tridet", "out of memory"),
        ({"native_tadtr": {"score_difference": 0.2}}, "detections", "0.2|2e-01"),
        ({"authors_tridet": {"problem": "No module named 'libs'"}}, "authors tridet", "No module"),
    ],
)
def test_what_goes_wrong_on_the_card_fails_by_name(changes: dict[str, Any], check: str, words: str) -> None:
    found = judged(evidence(**changes))
    assert {name for name, (status, _) in found.items() if status == "fail"} == {check}
    assert any(word in found[check][1] for word in words.split("|"))


def test_authors_code_outside_the_study_stops_nothing() -> None:
    assert judged(evidence(authors_dyfadet={"problem": "boom"}))["authors dyfadet"] == ("warn", "boom")


def test_authors_code_that_is_not_there_is_no_success() -> None:
    status, what = judged(evidence(), models=("tadtr",))["authors tridet"]
    assert (status, "not tried" in what) == ("warn", True)


@pytest.mark.parametrize(
    ("without", "check"), [("gpu_percent", "utilisation"), ("gpu_memory_mib", "card memory"), ("energy", "energy")]
)
def test_a_counter_that_the_card_lacks_is_a_warning(without: str, check: str) -> None:
    found = judged(evidence(without=(without,)))
    assert [name for name, (status, _) in found.items() if status != "ok"] == [check]


def test_a_counter_that_stands_still_is_a_warning() -> None:
    seen = evidence()
    seen.samples["gpu_percent"] = [0.0] * len(seen.samples["gpu_percent"])
    assert judged(seen)["utilisation"][0] == "warn"


@pytest.mark.parametrize(
    ("told", "status"),
    [({"error": "gave no sign of life"}, "fail"), ({"samples": 0}, "fail"), ({"samples": 10, "missed": 10}, "warn")],
)
def test_a_sampler_in_trouble(told: dict[str, Any], status: str) -> None:
    seen = evidence()
    seen.sampler.update(told)
    assert judged(seen)["sampler"][0] == status


def test_a_training_takes_what_it_raised_the_memory_by() -> None:
    steps = judge.step_mib(evidence())
    assert {model: steps["native"][model] for model in STEP_MIB} == STEP_MIB
    assert steps["upstream"]["tridet"] == STEP_MIB["tridet"]


def rooms(small: float, card: Card = A10, here: Host = ROOMY) -> tuple[str, str]:
    found = {one.check: one for one in judge.rooms(judge.step_mib(evidence(small)), card, here)}
    return found["room, the authors' code"].status, found["room, the authors' code"].what


def test_room_is_judged_by_the_largest_step() -> None:
    status, what = rooms(1.0)
    assert status == "ok"
    assert what.startswith("the largest step (tridet) takes 5.9 of 22.5 GiB: 2 fit; 3 do not fit (the card: 3 x 5.9")
    assert rooms(0.5)[1].endswith("2 fit; 3 fit; 4 fit")
    assert rooms(2.0)[0] == "warn"


@pytest.mark.parametrize(
    ("here", "lack"),
    [
        (Host(64 * GIB, 2 * GIB, 16), "shared memory: 3 GiB needed, 2.0"),
        (Host(9 * GIB, 8 * GIB, 16), "memory: 12 GiB needed, 9.0"),
        (Host(64 * GIB, 8 * GIB, 4), "cores: 6 needed, 4 there"),
    ],
)
def test_room_is_what_the_machine_around_the_card_has_too(here: Host, lack: str) -> None:
    assert f"2 fit; 3 do not fit ({lack}" in rooms(0.1, here=here)[1]


def test_nothing_measured_gives_no_room() -> None:
    assert {found.status for found in judge.rooms({}, A10, ROOMY)} == {"warn"}
