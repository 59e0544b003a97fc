"""What commands print is what is kept for terminals of 60, 80 and 120 columns; what should fit them does."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tal_repro.cli import VERBS, main
from tests.screens.screens import GOLDEN, SCREENS, WIDTHS, golden, measured, screens

UPDATE = "look at the change; if it is meant: python -m tests.screens.screens"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_screen_is_the_one_that_is_kept(width: int) -> None:
    for name, text in screens(width):
        kept = golden(name, width).read_text(encoding="utf-8") if golden(name, width).is_file() else ""
        changed = difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "printed", lineterm="", n=1)
        assert text == kept, f"{name} at {width} columns: {UPDATE}\n" + "\n".join(changed)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_that_is_kept_is_wider_than_the_terminal(width: int) -> None:
    wide = {
        name: too_wide(golden(name, width).read_text(encoding="utf-8").split("\n", 1)[1], width) for name in SCREENS
    }
    assert not {name: lines for name, lines in wide.items() if lines}


def test_no_line_that_is_not_kept_is_wider_than_the_terminal() -> None:
    wide = {command: too_wide(text, WIDTHS[0]) for command, text in measured(WIDTHS[0])}
    assert len(wide) > 5 and not {command: lines for command, lines in wide.items() if lines}


def test_a_line_that_is_too_wide_would_be_seen() -> None:
    assert too_wide("x" * 50 + " yes " + "x" * 50, 60) and not too_wide(f"next: {'x' * 70}\n  {'x' * 70}\nshort", 60)


def too_wide(text: str, width: int) -> list[str]:
    """Return the lines that could have been broken: a single long word, perhaps after a short label, cannot."""
    return [line for line in text.splitlines() if len(line) > width and not re.fullmatch(r"\s*(\w+: )?\S+", line)]


@pytest.mark.parametrize("width", WIDTHS[:2])
def test_every_help_fits(width: int) -> None:
    wide = {}
    for names in every_command():
        text = CliRunner().invoke(main, [*names, "--help"], prog_name="tal-repro", terminal_width=width).output
        assert text.startswith("Usage: tal-repro") and not re.search(r"(?m)\w-$|^ +[}\]|]", text), names
        wide[" ".join(names)] = too_wide(text, width)
    assert len(wide) > 40 and not {name: lines for name, lines in wide.items() if lines}


def every_command(command: click.Command = main, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words that call every verb and what stands below it."""
    yield names
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, (*names, name))


def test_no_screen_is_kept_that_nothing_prints() -> None:
    assert {path.name for path in GOLDEN.glob("*.txt")} == {golden(n, w).name for n in SCREENS for w in WIDTHS}


def test_every_command_says_what_to_do_next() -> None:
    root = Path(__file__).resolve().parents[2]
    silent = []
    for verb in VERBS:
        command = main.get_command(click.Context(main), verb)
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            assert leaf.callback is not None
            where = root / (leaf.callback.__module__.replace(".", "/") + ".py")
            if "tell_next(" not in where.read_text(encoding="utf-8"):
                silent.append(f"{verb} {leaf.name}")
    assert not silent
