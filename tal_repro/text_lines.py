"""Lines of words for a terminal: the one place that wraps them, at spaces alone, under the indentation that they have.

A number keeps its unit, and a command in a sentence its words. A single word that is too long (a path) stays whole.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from typing import TextIO

LEAST_WIDTH, USUAL_WIDTH = 60, 80
DEEPEST_SHARE = 0.5  # of the width, that later lines may be indented by to stand below a column
COMMENT = "  # "  # in a step: what the command before it does
CONTINUED = " \\"  # at the end of a line: the command goes on below
_HARD = "\u00a0"  # a space that no line is broken at
_UNITS = "%|(?:min|ms|s|h|mAP|KiB|MiB|GiB|MB|GB|bytes|USD|points|hours|runs|videos|steps)\\b"
_KEPT = re.compile(rf"(?<=\d) (?={_UNITS})|(?<=\d) (?=± )|(?<=±) (?=\d)|(?<=\w) (?== )|(?<= =) (?=\w)")
_PROGRAMS = r"(?:tal-repro|make|docker/kit\.sh|git)"
_COMMAND = re.compile(rf"(?<![\w/-]){_PROGRAMS}(?: [a-z][\w-]*)(?: --?[\w-]+(?:[ =][^\s,;:()]+)?)*")
_QUOTED = re.compile(r"'[^']*'")
_WITH_VALUE = re.compile(r"(?<= )--?[\w-]+ [^\s-]\S*")
_HANGING = re.compile(r"\s*(?:\S+(?: \S+)*?  +|[\w./-]+(?: [\w./-]+)?: +)")


def width_of(stream: TextIO) -> int | None:
    """Return how wide a stream's terminal is, by COLUMNS or its own word; None for a file or a pipe: no line is cut."""
    given = _columns()
    try:
        if not stream.isatty():
            stream.fileno()
            return None
        return max(LEAST_WIDTH, given or os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH)
    except (OSError, ValueError):  # held in memory, or closed
        return max(LEAST_WIDTH, given) if given else None


def terminal_width(usual: int = USUAL_WIDTH) -> int:
    """Return how wide what is laid out for standard output shall be: as its terminal, else by COLUMNS, else `usual`."""
    return width_of(sys.stdout) or max(LEAST_WIDTH, _columns() or usual)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() else 0


def words(text: str) -> list[str]:
    """Return the pieces of a text that no line is broken within: words, and numbers with their units."""
    return [word.replace(_HARD, " ") for word in _KEPT.sub(_HARD, text).split(" ") if word]


def wrapped(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    """Return a paragraph as lines of at most `width` characters, after `first` and `later`; none for no words."""
    held = _COMMAND.sub(lambda match: _command(match[0], width - len(later)), _KEPT.sub(_HARD, text))
    lines = textwrap.wrap(held, width, initial_indent=first, subsequent_indent=later, break_long_words=False,
                          break_on_hyphens=False)  # fmt: skip
    return [line.replace(_HARD, " ") for line in lines]


def fitted(text: str, width: int) -> str:
    """Return text whose lines are no wider; what goes on stands below where the line's words began, or a bit deeper."""
    return "\n".join(part for line in text.split("\n") for part in _fitted_line(line, width))


def step_lines(step: str, lead: str, width: int | None) -> list[str]:
    """Return the lines of what to do next: a command, perhaps with COMMENT and what it does, or a sentence.

    A command that is too long goes on after a backslash, so that it can be copied as it stands.
    """
    below = " " * len(lead)
    if width is None or len(lead + step) <= width:
        return [lead + step]
    command, _, why = step.partition(COMMENT)
    if not re.match(rf"(?:\w+=\S* )*{_PROGRAMS} ", command):
        return wrapped(step, width, lead, below)
    held = _QUOTED.sub(lambda match: match[0].replace(" ", _HARD), command)
    longest = width - len(below) - 4
    held = _WITH_VALUE.sub(lambda match: match[0].replace(" ", _HARD) if len(match[0]) <= longest else match[0], held)
    lines = textwrap.wrap(held, width - 2, initial_indent=lead, subsequent_indent=f"{below}  ",
                          break_long_words=False, break_on_hyphens=False)  # fmt: skip
    lines = [line.replace(_HARD, " ") for line in lines]
    lines = [f"{line}{CONTINUED}" for line in lines[:-1]] + lines[-1:]
    return lines + (wrapped(why, width, f"{below}  # ", f"{below}  # ") if why else [])


def _fitted_line(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip())
    match = _HANGING.match(line)
    deep = len(match[0]) if match and len(match[0]) <= DEEPEST_SHARE * width else indent + 2
    return wrapped(line.lstrip(), width, line[:indent], " " * deep)


def _command(command: str, width: int) -> str:
    """Return a command that no line is broken within; one that is too wide goes on after a backslash."""
    pieces = [""]
    for word in _WITH_VALUE.sub(lambda match: match[0].replace(" ", _HARD), command).split(" "):
        if pieces[-1] and len(pieces[-1]) + 1 + len(word) > width - (len(command) > width) * len(CONTINUED):
            pieces.append(word)
        else:
            pieces[-1] += (_HARD if pieces[-1] else "") + word
    return f"{CONTINUED.replace(' ', _HARD)} ".join(pieces)
