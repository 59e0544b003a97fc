"""A mAP that the hook was told must stand in what the authors' scripts print, at its evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from tal_repro.engines.upstream.witness import EVALUATED
from tal_repro.errors import InputError
from tal_repro.run.prints import check_printed

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
