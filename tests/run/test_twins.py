"""The authors' code with and without its patches: which differences are told, and which cannot be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tal_repro.engines.upstream.witness import EVALUATED
from tal_repro.errors import InputError
from tal_repro.run import twins
from tal_repro.run.evidence import Evidence, Undecided
from tal_repro.run.twin import Training, Twin
from tal_repro.run.twins import compare, difference, some_videos

LINES = ("tIoU 0.30: mAP = 12.25", "summary 11.50")
PLAIN = Twin((2.0, 1.5, math.nan), "\n".join(LINES))


def watched(*lines: str) -> Twin:
    """A training with patches, whose hook was told 11.5 %."""
    return Twin(PLAIN.losses, "\n".join((*lines, EVALUATED)), told=(0.115,))


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        (PLAIN, ""),
        (watched("mAP 0.25", *LINES), ""),  # a patch prints mAPs of its own, too
        (
            Twin((2.0, 1.5000001, math.nan), PLAIN.output),
            "at step 1 the loss is 1.5000001 with the patches, 1.5 without",
        ),
        (Twin((2.0, 1.5), PLAIN.output), "2 steps with the patches, 3 without them"),
        (watched(*LINES[::-1]), "without the patches the scripts print a mAP of 11.5, with"),
        (watched("tIoU 0.30: mAP = 12.26", LINES[1]), "print a mAP of 0.3, 12.25, with them they do not"),
        (dataclasses.replace(watched(LINES[0], "summary 11.00"), told=(0.11,)), "a mAP of 11.5, with them they do not"),
    ],
)
def test_a_difference_is_named(patched: Twin, said: str) -> None:
    """The last: the scripts do not print the word mAP, and what they print is not what the hook was told."""
    found = difference(patched, PLAIN)
    assert said in found and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (Twin(PLAIN.losses[:1], "", end="ended with exit code 1"), "end early: ended with"),
        (Twin((), ""), "no loss was seen"),
    ],
)
def test_what_cannot_be_compared_is_no_pass(plain: Twin, said: str) -> None:
    with pytest.raises(Undecided, match=said):
        difference(Twin(plain.losses, PLAIN.output), plain)


SOUND = {
    "patched": watched(*LINES),
    "plain": PLAIN,
    "patched-again": watched(*LINES),
    "patched-fewer": watched(*LINES),
    "another-seed": Twin((3.0, 1.5, 0.5), ""),
}
NOISE = Twin((2.0, 1.6, 1.0), "")


@pytest.mark.parametrize(
    ("others", "outcome", "said"),
    [
        ({}, None, "the same 3 losses, and 2 lines of mAPs"),
        ({"plain": Twin(PLAIN.losses, "")}, None, "no mAPs, for without them none are printed"),
        ({"patched": PLAIN}, Undecided, "nothing is evaluated"),
        ({"patched": NOISE}, Undecided, "same patches and seed differ, too: at step 1"),
        ({"patched": NOISE, "patched-again": NOISE}, Undecided, "otherwise than on a data set of these videos"),
        ({"patched": NOISE, "patched-again": NOISE, "patched-fewer": NOISE}, InputError, "at step 1 the loss is 1.6"),
        ({"another-seed": PLAIN}, InputError, "from seed 3 and from seed 4 the first 3 losses are the same"),
        ({"patched": dataclasses.replace(PLAIN, unread=("rate",))}, InputError, "never reads rate of its recipe"),
        ({"patched": dataclasses.replace(PLAIN, unasked=("decay",))}, InputError, "gives decay, for which no patch"),
    ],
)
def test_the_reason_of_a_difference_is_looked_for(
    others: dict[str, Twin],
    outcome: type[Exception] | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = (2.0, 1.5, 1.0)  # numbers: NaN is no seed's
    trainings = {name: dataclasses.replace(twin, losses=losses) if twin.losses == PLAIN.losses else twin
                 for name, twin in {**SOUND, **others}.items()}  # fmt: skip
    train: Callable[..., Twin] = lambda tree, training, folder: trainings[folder.name]  # noqa: E731
    monkeypatch.setattr(twins, "train", train)
    monkeypatch.setattr(twins, "with_videos", lambda data, layout, kept, out: out)
    training = Training("tetad", {}, tmp_path, tmp_path, ["a"])
    if outcome is None:
        assert said in compare(training, tmp_path, tmp_path, tmp_path)
    else:
        with pytest.raises(outcome, match=said):
            compare(training, tmp_path, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("used", "kept"),
    [({"a", "c"}, ["a", "c"]), ({"a_window_0_9", "b_window_0_9", "c_window_0_9"}, ["b", "c"])],
)
def test_some_videos_are_left_out(used: set[str], kept: list[str]) -> None:
    """Windows that are drawn may be of all videos."""
    evidence = Evidence([], [], {}, frozenset(used), [], frozenset("abc"), frozenset("t"), frozenset("t"))
    assert some_videos(evidence) == kept
