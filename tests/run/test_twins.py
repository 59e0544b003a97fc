"""The authors' code with and without its patches: which differences are told, and which cannot be."""

from __future__ import annotations

import math

import pytest

from tal_repro.run.evidence import Undecided
from tal_repro.run.twins import Twin, _printed_maps, difference

PLAIN = Twin((2.0, 1.5, math.nan), ((0.3, 12.25), (11.5,)))


@pytest.mark.parametrize(
    ("patched", "said"),
    [
        (PLAIN, ""),
        (Twin(PLAIN.losses, ((0.25,), *PLAIN.printed, (11.5,))), ""),  # a patch prints mAPs of its own, too
        (
            Twin((2.0, 1.5000001, math.nan), PLAIN.printed),
            "at step 1 the loss is 1.5000001 with the patches, 1.5 without",
        ),
        (Twin((2.0, 1.5), PLAIN.printed), "2 steps with the patches, 3 without them"),
        (Twin(PLAIN.losses, ((11.5,), (0.3, 12.25))), "without the patches the scripts print a mAP of 11.5, with"),
        (Twin(PLAIN.losses, ((0.3, 12.26), (11.5,))), "print a mAP of 0.3, 12.25, with them they do not"),
    ],
)
def test_a_difference_is_named(patched: Twin, said: str) -> None:
    assert (said in difference(patched, PLAIN)) if said else difference(patched, PLAIN) == ""


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (Twin(PLAIN.losses[:1], (), "ended with exit code 1"), "end early: ended with"),
        (Twin((), ()), "no loss was seen"),
    ],
)
def test_what_cannot_be_compared_is_no_pass(plain: Twin, said: str) -> None:
    with pytest.raises(Undecided, match=said):
        difference(Twin(plain.losses, PLAIN.printed), plain)


def test_the_time_in_a_log_is_no_map() -> None:
    lines = "[11/29 20:48:51.123][INFO]: mAP_raw: 3.24\n12:01 |tIoU = 0.30: mAP = 1.00 (%)\nloss 0.55\nmAP soon\n"
    assert list(_printed_maps(lines)) == [(3.24,), (0.3, 1.0)]
