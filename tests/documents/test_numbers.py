"""Numbers with a unit are written by `make docs`; the few that are not each have a reason.

Limits of the code have a name in `benchmarks/tables/constants.toml`, and `tests/tables` holds documents equal to it.
"""

from __future__ import annotations

import re

import pytest

from tests.documents.reading import FENCE, GENERATED, NAMES, text_of

UNITS = (
    "%|s|ms|min|minutes?|hours?|h|GPU-hours|GiB|MiB|KiB|GB|MB|seconds?|days?|points|mAP|USD|"
    "lines|times|steps|videos|runs|seeds|curves|files|entries"
)
WITH_UNIT = re.compile(rf"\d ?(?:%|(?:{UNITS})\b)")
MARKED = re.compile(r"<!--=\w+-->.*?<!--/-->|<!-- coverage -->.*?<!-- /coverage -->", re.S)
# Document -> how many numbers with a unit its own sentences state, and why; may fall and not rise. Others have none.
MOST = {
    "docs/claims.md": (2, "both quote the paper: trained 5 times, and a miss of 13 %"),
    "docs/your-data.md": (7, "counts of public annotations, which are read where they lie and not kept here"),
}
OTHERS = ("CHANGELOG.md", "tal_repro/published", "results/reference", ".github")  # history, sources, reports of a day


def stated(name: str) -> list[str]:
    """Return the numbers with a unit that stand in a document's own sentences."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", MARKED.sub("", GENERATED.sub("", text_of(name)))))
    return [" ".join(text[max(0, m.start() - 30) : m.end() + 10].split()) for m in WITH_UNIT.finditer(text)]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(OTHERS)])
def test_no_number_is_typed_by_hand(name: str) -> None:
    found = stated(name)
    most, _ = MOST.get(name, (0, ""))
    assert len(found) <= most, f"let make docs write them (benchmarks/tables/constants.toml or values.py): {found}"


def test_a_number_typed_by_hand_would_be_seen() -> None:
    assert WITH_UNIT.search("it takes 12 minutes") and WITH_UNIT.search("85.2 % held")
    assert not WITH_UNIT.search("THUMOS14 and T2.1") and not WITH_UNIT.search(MARKED.sub("", "<!--=x-->15 h<!--/-->"))
