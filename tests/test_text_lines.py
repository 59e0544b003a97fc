"""Lines for a terminal: wrapped at spaces alone, never too wide; numbers keep their units, commands can be copied."""

from __future__ import annotations

import io
import os
import pty
import shlex
from contextlib import closing

import pytest

from tal_repro.text_lines import LEAST_WIDTH, fitted, step_lines, width_of, wrapped

SENTENCES = (
    "guessed: steps_per_second (fitted to 18 videos; say stride_frames and fps instead, where you know them)",
    "  data needed  for mAP 57.10: 108 % (even odds), over 800 % (90 % sure), which is 3 times as much as there is",
    "5.52 CPU-hours, 5.52 h of wall time with 1 at a time, 689 MiB of disk, of which 12.5 ± 0.4 GiB are free, n = 25",
)
STEP = "tal-repro run --study my-study.toml --scope core --results results/runs --only id=2767e32e3d7c75e8  # again"


@pytest.mark.parametrize("width", range(LEAST_WIDTH, 130, 7))
@pytest.mark.parametrize("sentence", SENTENCES)
def test_nothing_is_wider_and_no_word_or_number_is_broken(sentence: str, width: int) -> None:
    lines = fitted(sentence, width).split("\n")
    assert max(map(len, lines)) <= width
    assert " ".join(line.strip() for line in lines).split() == sentence.split()
    for kept in ("18 videos", "57.10", "108 %", "800 %", "5.52 h", "689 MiB", "12.5 ± 0.4 GiB", "n = 25"):
        assert (kept in sentence) == any(kept in line for line in lines)


def test_what_goes_on_stands_below_its_column() -> None:
    assert fitted(SENTENCES[1], 60).split("\n")[1].startswith(" " * 15 + "(90 % sure)")
    assert fitted(SENTENCES[0], 60).split("\n")[1].startswith(" " * 9 + "stride_frames")
    assert fitted("short\n\n  kept  as it is", 60) == "short\n\n  kept  as it is"


def test_a_word_that_is_too_long_stays_whole() -> None:
    path = "/".join(["folder"] * 20)
    assert fitted(f"written to {path}", 60).split() == ["written", "to", path]
    assert wrapped("", 60) == []


def test_a_command_in_a_sentence_keeps_its_words() -> None:
    lines = wrapped(
        "shares below that are not tested; for one more of them call tal-repro run --only seed=3 and look", 60
    )
    assert any("tal-repro run --only seed=3" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize(
    "step", [STEP, f"OMP_NUM_THREADS=1 {STEP}", STEP.replace("my-study", "'my own' --set 'a=b c'")]
)
def test_a_step_that_is_too_long_can_be_copied_as_it_stands(step: str, width: int) -> None:
    lines = step_lines(step, "next: ", width)
    assert max(map(len, lines)) <= width
    script = "\n".join(line[6:] for line in lines).replace("\\\n", "")
    assert shlex.split(script, comments=True) == shlex.split(step, comments=True)


def test_lines_stay_whole_where_nobody_reads_them_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert width_of(io.StringIO()) == 70
    reader, writer = os.pipe()
    with closing(os.fdopen(reader)), closing(os.fdopen(writer, "w")) as pipe:
        assert width_of(pipe) is None
    monkeypatch.delenv("COLUMNS")
    assert width_of(io.StringIO()) is None


def test_a_terminal_is_asked_how_wide_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl
    import struct
    import termios

    monkeypatch.delenv("COLUMNS", raising=False)
    master, slave = pty.openpty()
    with closing(os.fdopen(master)), closing(os.fdopen(slave, "w")) as terminal:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 97, 0, 0))
        assert width_of(terminal) == 97
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
        assert width_of(terminal) == LEAST_WIDTH


def test_a_command_in_a_sentence_that_is_wider_than_a_line_can_still_be_pasted() -> None:
    command = "tal-repro run --only experiment=data_sweep --scope full --results results/runs"
    lines = fitted(f"  remedy: run the sweep first: {command}, then again", 60).split("\n")
    assert len(lines) == 3 and all(len(line) <= 60 for line in lines)
    assert [line.endswith(" \\") for line in lines] == [False, True, False]
    assert f"{command}, then" in " ".join(" ".join(lines).replace(" \\", "").split())
