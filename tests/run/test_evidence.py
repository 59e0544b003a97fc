"""What `models check` says of a mAP that is not the authors' print."""

from __future__ import annotations

from typing import Any

import pytest

from tal_repro.errors import InputError
from tal_repro.run.evidence import Evidence, same_map


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
