"""A mAP that the hook was told must stand in what the authors' scripts print, at its evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from tal_repro.engines.upstream.witness import EVALUATED
from tal_repro.errors import InputError
from tal_repro.run.prints import check_printed, map_lines, shapes_of

AFTER = f"epoch 0: 1.25 s\nAverage mAP: 31.46 (%)\n{EVALUATED}\nepoch 1: 1.31 s\nmAP 0.4002\n{EVALUATED}\n"
BEFORE = f"epoch 0: 1.25 s\n{EVALUATED}\nAverage mAP: 31.46 (%)\nepoch 1: 1.31 s\n{EVALUATED}\nmAP 0.4002\n"


def told(*pairs: tuple[int, float]) -> list[dict[str, Any]]:
    return [{"index": index, "average_map": value} for index, value in pairs]


@pytest.mark.parametrize("output", [AFTER, BEFORE])
def test_shares_and_percents_are_known_to_their_printed_digits(output: str) -> None:
    check_printed(told((0, 0.314562), (1, 0.40024)), output)
    check_printed(told((0, 0.0004), (1, 0.40024)), output)  # one near 0 says nothing


def test_what_a_loop_says_again_for_an_evaluation_that_does_not_know_its_epoch_counts_once() -> None:
    output = AFTER.replace(EVALUATED, f"{EVALUATED}\n{EVALUATED}")
    check_printed(told((-1, 0.3146), (0, 0.3146), (-1, 0.4002), (1, 0.4002)), output)
    with pytest.raises(InputError, match=r"31\.46%"):
        check_printed(told((-1, 0.3146), (0, 0.3146), (-1, 0.4002), (1, 0.3146)), output)


@pytest.mark.parametrize(("pairs", "said"), [
    (((0, 0.3146), (1, 0.4102)), "41.02%"),
    (((0, 0.3146), (1, 0.3146)), "31.46%"),
    (((0, 0.0), (1, 0.3146)), "31.46%"),
])  # fmt: skip
def test_another_number_or_that_of_another_epoch_is_refused(pairs: tuple[tuple[int, float], ...], said: str) -> None:
    with pytest.raises(InputError, match=f"told {said}, which the authors' scripts do not print") as caught:
        check_printed(told(*pairs), AFTER)
    assert "03-metrics.patch" in str(caught.value) and "variable that they print" in caught.value.remedy


def test_lines_of_maps_are_those_that_say_so_or_look_like_one_that_shows_what_was_told() -> None:
    """Beside the time, the lines of another loss that show the same number by chance, and configurations."""
    lines = [
        "Time 0.11 (0.12)",
        "loss 0.55, lr 0.115001",
        "average 11.50 of 20",
        EVALUATED,
        "loss 0.11",
    ]
    shapes = shapes_of("\n".join(lines), (0.115,))
    assert shapes == {"average # of #"}
    others = [
        "[11/29 20:48:51.123][INFO]: mAP_raw: 3.24",
        "12:01 |tIoU = 0.30: mAP = 1.00 (%) in 3.21 s",
        "average 9.25 of 20",
        "eval_time: 4.25",
        "mAP soon",
        f"Namespace(iou=0.30, metric='mAP'{' ' * 300})",
    ]
    assert map_lines("\n".join([*lines, *others]), shapes) == [(11.5,), (3.24,), (0.3, 1.0), (9.25,)]


def test_a_map_near_0_has_no_line() -> None:
    assert shapes_of(f"average 0.55\n{EVALUATED}", (0.0055,)) == set()
