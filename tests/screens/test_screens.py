"""What commands print is what is kept for terminals of 60, 80 and 120 columns; what should fit them does."""

from __future__ import annotations

import difflib
from pathlib import Path

import click
import pytest

from tal_repro.cli import VERBS, main
from tests.screens.screens import GOLDEN, SCREENS, WIDTHS, golden, screens

# Long words (commands, paths) may reach beyond a narrow terminal; these screens have none.
FITTING = ("help", "verify", "verify-claim", "table-2", "forecast-help", "doctor-help")
UPDATE = "look at the change; if it is meant: python -m tests.screens.screens"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_screen_is_the_one_that_is_kept(width: int) -> None:
    for name, text in screens(width):
        kept = golden(name, width).read_text(encoding="utf-8") if golden(name, width).is_file() else ""
        changed = difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "printed", lineterm="", n=1)
        assert text == kept, f"{name} at {width} columns: {UPDATE}\n" + "\n".join(changed)
        if name in FITTING:
            assert max(map(len, text.splitlines()[1:])) <= width


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
