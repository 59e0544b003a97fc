"""The authors' code with and without its patches: which differences are told, and which cannot be."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tal_repro.run import twins
from tal_repro.run.evidence import Undecided
from tal_repro.run.twins import Twin, difference, printed_maps

LINES = ("tIoU 0.30: mAP = 12.25", "summary 11.50")
PLAIN = Twin((2.0, 1.5, math.nan), "\n".join(LINES))


def watched(*lines: str) -> Twin:
    """A training with patches, whose hook was told 11.5 %."""
    return Twin(PLAIN.losses, "\n".join(lines), told=(0.115,))


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        (PLAIN, ""),
        (watched("mAP 0.25", *LINES, "mAP 11.50"), ""),  # a patch prints mAPs of its own, too
        (
            Twin((2.0, 1.5000001, math.nan), PLAIN.output),
            "at step 1 the loss is 1.5000001 with the patches, 1.5 without",
        ),
        (Twin((2.0, 1.5), PLAIN.output), "2 steps with the patches, 3 without them"),
        (watched(*LINES[::-1]), "without the patches the scripts print a mAP of 11.5, with"),
        (watched("tIoU 0.30: mAP = 12.26", LINES[1]), "print a mAP of 0.3, 12.25, with them they do not"),
    ],
)
def test_a_difference_is_named(patched: Twin, said: str) -> None:
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


@pytest.mark.parametrize(
    ("told", "outcome"), [((0.115,), "2 lines of mAPs"), ((), "nothing is evaluated in 5 of .* 8")]
)
def test_a_training_without_an_evaluation_is_no_pass(
    told: tuple[float, ...], outcome: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """60 % of the epochs may end before the authors' script evaluates at all."""
    monkeypatch.setattr(twins, "unwatched", lambda model, out: (out, []))
    monkeypatch.setattr(twins, "prepare", lambda model: tmp_path)
    monkeypatch.setattr(twins, "train", lambda *given: Twin(PLAIN.losses, PLAIN.output, told))

    def compared() -> str:
        return twins.same_without_patches("tetad", {"epochs": 8}, 0.6, tmp_path, tmp_path)

    if told:
        assert outcome in compared()
    else:
        with pytest.raises(Undecided, match=outcome):
            compared()


def test_lines_of_maps_are_those_that_say_so_or_show_one_without_the_time() -> None:
    lines = [
        "[11/29 20:48:51.123][INFO]: mAP_raw: 3.24",
        "12:01 |tIoU = 0.30: mAP = 1.00 (%)",
        "loss 0.55, lr 0.115001",
        "average 11.50 of 20",
        "mAP soon",
        f"Namespace(iou=0.30, metric='mAP'{' ' * 300})",
    ]
    assert printed_maps("\n".join(lines), (0.115, 0.0055)) == [(3.24,), (0.3, 1.0), (11.5,)]
