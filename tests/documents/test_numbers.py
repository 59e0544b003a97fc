"""Numbers with a unit are written by `make docs`, or are limits of the code that a test holds equal to it.

Documents of rules state limits in their sentences. How many numbers such a document has may fall and not rise; those
of LIMITS are compared with the code.
"""

from __future__ import annotations

import re

import pytest

from tal_repro import study_checks
from tal_repro.curves import decide, stacking
from tal_repro.curves.forecast import MAX_REACH
from tal_repro.data import fitting, geometry
from tal_repro.data.fetch.download import Patience
from tal_repro.data.fetch.unpack import Limits
from tal_repro.doctor import gpu as doctor_gpu
from tal_repro.engines.upstream import scores
from tal_repro.measure import linearity
from tal_repro.run import room, space
from tests.documents.reading import FENCE, GENERATED, NAMES, text_of

UNITS = (
    "%|s|ms|min|minutes?|hours?|h|GPU-hours|GiB|MiB|KiB|GB|MB|seconds?|days?|points|mAP|USD|"
    "lines|times|steps|videos|runs|seeds|curves|files|entries"
)
WITH_UNIT = re.compile(rf"\d ?(?:%|(?:{UNITS})\b)")
MARKED = re.compile(r"<!--=\w+-->.*?<!--/-->|<!-- coverage -->.*?<!-- /coverage -->", re.S)
# Documents of rules -> how many numbers with a unit they state. Every other document has none.
MOST = {
    "docs/adding-a-model.md": 8,
    "docs/claims.md": 14,
    "docs/containers.md": 1,
    "docs/curves.md": 34,
    "docs/data.md": 27,
    "docs/doctor.md": 6,
    "docs/gpu-check.md": 4,
    "docs/measuring.md": 18,
    "docs/running.md": 10,
    "docs/upstream.md": 28,  # 20 of them of DyFADet's gates, measured by hand
    "docs/your-data.md": 14,  # 7 of them counts of public annotations
}
OTHERS = ("CHANGELOG.md", "tal_repro/published", "results/reference", ".github")  # history, sources, reports of a day
PERCENT, GIB = 100, 2**30
LIMITS = [
    ("docs/running.md", "At most 1,000,000 runs", study_checks.MAX_RUNS),
    ("docs/running.md", "Below 64 MiB free", space.LEAST_FREE_MIB),
    ("docs/running.md", "fewer than 64 files (inodes)", space.LEAST_FREE_INODES),
    ("docs/doctor.md", "under 8 GiB free", doctor_gpu.FREE_MIB / 1024),
    ("docs/doctor.md", "4 GiB for each run", room.RUN_MEMORY_BYTES / GIB),
    ("docs/data.md", "differ by more than 5 % (and 8 steps)", PERCENT * geometry.SET_SHARE, geometry.SLACK_STEPS),
    ("docs/data.md", "(above 2 % and 8 steps)", PERCENT * geometry.SLACK_SHARE, geometry.SLACK_STEPS),
    ("docs/data.md", "Silence (60 s)", Patience().timeout_seconds),
    ("docs/data.md", "5,000 entries, 1 GiB a file or 32 GiB in all", Limits().files, Limits().file_bytes / GIB,
     Limits().total_bytes / GIB),
    ("docs/upstream.md", "more than 0.01 points apart", PERCENT * scores.AGREEMENT),
    ("docs/measuring.md", "*sublinear*: above 5 % and no chance", PERCENT * linearity.CURVED),
    ("docs/curves.md", "within 0.5 mAP of the last", decide.MARGIN),
    ("docs/curves.md", "fewer than 4 different percentages", stacking.MIN_POINTS),
    ("docs/curves.md", "more than 10 times the largest amount", MAX_REACH),
    ("docs/your-data.md", "until 95 % of the training actions", fitting.LONG),
    ("docs/your-data.md", "at most 2304", fitting.LONGEST_CLIP_STEPS),
    ("docs/your-data.md", "32, 64, 128 or 256 steps", *fitting.SLICES),
    ("docs/your-data.md", "(3,500; TadTR 6,500), at most 200 epochs", fitting.STEPS_OF_A_TRAINING,
     fitting.STEPS_ON_SLICES, fitting.MOST_EPOCHS),
    ("docs/your-data.md", "10, 20, 40, 60, 80, 100 %, where they hold 4 training videos", *fitting.SHARES,
     fitting.LEAST_UNITS),
]  # fmt: skip


def stated(name: str) -> list[str]:
    """Return the numbers with a unit that stand in a document's own sentences."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", MARKED.sub("", GENERATED.sub("", text_of(name)))))
    return [" ".join(text[max(0, m.start() - 30) : m.end() + 10].split()) for m in WITH_UNIT.finditer(text)]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(OTHERS)])
def test_no_number_is_typed_by_hand(name: str) -> None:
    found = stated(name)
    assert len(found) <= MOST.get(name, 0), f"let make docs write them (benchmarks/tables/values.py): {found}"


@pytest.mark.parametrize(("name", "quote", "values"), [(name, quote, values) for name, quote, *values in LIMITS])
def test_a_limit_is_the_one_of_the_code(name: str, quote: str, values: list[float]) -> None:
    assert quote in " ".join(text_of(name).split())
    assert [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d+\.\d+|\d", quote)] == pytest.approx(
        values
    )


def test_a_number_typed_by_hand_would_be_seen() -> None:
    assert WITH_UNIT.search("it takes 12 minutes") and WITH_UNIT.search("85.2 % held")
    assert not WITH_UNIT.search("THUMOS14 and T2.1") and not WITH_UNIT.search(MARKED.sub("", "<!--=x-->15 h<!--/-->"))
