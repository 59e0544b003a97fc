"""What `models check` makes of the evidence: a mAP that is not the print, scaled losses, epochs that lack."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tal_repro.errors import InputError
from tal_repro.run.evidence import Evidence, Undecided, events, losses, same_map


def of_map(kit: float, printed: float, **averages: float) -> Evidence:
    row: dict[str, Any] = {"selection": "last", "weights": "raw", "kit_map": kit, "upstream_printed_map": printed}
    row["agrees"] = kit == printed
    by_protocol = {("last", "raw", name.replace("_", "-")): value for name, value in averages.items()}
    by_protocol["best-on-test", "raw", "tadtr-210"] = printed  # of another selection: says nothing
    return Evidence([], [], {}, frozenset(), [row], frozenset(), frozenset(), frozenset(), averages=by_protocol)


def test_a_protocol_that_has_the_print_is_named() -> None:
    with pytest.raises(InputError, match=r"is 15\.44%, its own print says 15\.14%") as caught:
        same_map(of_map(0.1544, 0.1514, opentad_211=0.1544, af_212=0.1515))
    assert caught.value.remedy == (
        "under af-212 it is what they print: PROTOCOL, or the annotations that lay_out writes"
    )


def test_where_none_has_it_the_columns_are_named() -> None:
    with pytest.raises(InputError) as caught:
        same_map(of_map(0.31, 0.30, opentad_211=0.31, af_212=0.32))
    assert "labels or scores" in str(caught.value.remedy)


def of_losses(backward: list[float], told: list[float], steps: int, epochs: int = 0) -> Evidence:
    notes: list[dict[str, Any]] = [{"kind": "phase", "phase": "train", "at": "train start"}]
    notes += [{"kind": "backward", "phase": "train", "loss": loss} for loss in backward]
    notes += [{"kind": "told", "phase": "train", "loss": loss} for loss in told]
    notes += [{"kind": "step", "phase": "train", "iteration": True}] * steps
    mean = sum(told) / len(told)
    return Evidence(notes, [], {0: mean}, frozenset(), [], frozenset(), frozenset(), frozenset(), epochs=epochs)


@pytest.mark.parametrize(
    ("backward", "told", "steps"),
    [
        ([2.0, 1.0, 0.5], [2.0, 1.0, 0.5], 3),
        ([2.0 * 2**16, 1.0 * 2**16, 0.5 * 2**15], [2.0, 1.0, 0.5], 2),  # mixed precision, after an overflow
        ([1.0, 0.5, 0.25], [2.0, 1.0, 0.5], 1),  # two steps share a gradient, and a third is left
        ([1.5, 0.5, 0.75, 0.25], [2.0, 1.0], 2),  # parts with graphs of their own
    ],
)
def test_a_loss_may_be_scaled_shared_or_in_parts(backward: list[float], told: list[float], steps: int) -> None:
    assert losses(of_losses(backward, told, steps)).startswith(f"what was told at {len(told)} steps")


@pytest.mark.parametrize("factor", [0.5, 2.0, 4.0, 1 / 32.5])
def test_another_multiple_is_a_mistake(factor: float) -> None:
    with pytest.raises(InputError, match="times what was back-propagated, at every step"):
        losses(of_losses([2.0, 1.0, 0.5], [2.0 * factor, factor, 0.5 * factor], 3))


def test_fewer_epochs_are_no_answer_unless_the_code_stops_early() -> None:
    fewer = Evidence([], [], {}, frozenset(), [], frozenset(), frozenset(), frozenset(), epochs=3)
    with pytest.raises(Undecided, match="STOPS_EARLY = True"):
        events(fewer)
    assert events(dataclasses.replace(fewer, stops_early=True)).startswith("0 epochs of 3 (it stops early)")
