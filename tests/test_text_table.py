"""Tables on terminals of 60, 80 and 120 columns: golden texts, and what holds at any width."""

from __future__ import annotations

import pytest

from tal_repro.text_lines import LEAST_WIDTH, terminal_width
from tal_repro.text_table import table

ROWS = {
    "model": ["tadtr", "temporalmaxer"],
    "length (steps)": ["100", "2304"],
    "A (ms)": ["8.25", "1204.5"],
    "B / A": ["0.561", "-"],
    "95 % interval": ["0.550 to 0.570", "n < 5"],
    "measured with": ["all cores, float32, batches of 1", "one core"],
}
GOLDEN = {
    120: """\
model          length (steps)   A (ms)  B / A  95 % interval   measured with
tadtr                     100     8.25  0.561  0.550 to 0.570  all cores, float32, batches of 1
temporalmaxer            2304  1204.5   -      n < 5           one core
""",
    80: """\
model          length (steps)   A (ms)  B / A  95 % interval   measured with
tadtr                     100     8.25  0.561  0.550 to 0.570  all cores,
                                                               float32, batches
                                                               of 1
temporalmaxer            2304  1204.5   -      n < 5           one core
""",
    60: """\
                 length                  95 %      measured
model           (steps)   A (ms)  B / A  interval  with
tadtr               100     8.25  0.561  0.550 to  all
                                         0.570     cores,
                                                   float32,
                                                   batches
                                                   of 1
temporalmaxer      2304  1204.5   -      n < 5     one core
""",
}


@pytest.mark.parametrize("width", GOLDEN)
def test_golden(width: int) -> None:
    assert "\n".join(table(ROWS, width)) + "\n" == GOLDEN[width]


@pytest.mark.parametrize("width", range(LEAST_WIDTH, 130, 7))
def test_nothing_is_wider_and_no_word_is_broken(width: int) -> None:
    lines = table(ROWS, width)
    assert max(map(len, lines)) <= width
    words = {word for title, cells in ROWS.items() for text in (title, *cells) for word in text.split()}
    shown = " ".join(lines).replace(": ", " ").split()
    assert set(shown) == words


def test_columns_that_no_terminal_holds_become_blocks() -> None:
    wide = {"run": ["0123456789abcdef"], "where": ["x" * 50], "share (%)": ["12.5"]}
    assert table(wide, 60) == ["run: 0123456789abcdef", "  where: " + "x" * 50, "  share (%): 12.5"]


def test_the_width_is_that_of_columns_or_eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in (("72", 72), ("20", LEAST_WIDTH)):
        monkeypatch.setenv("COLUMNS", columns)
        assert terminal_width() == width
