"""What goes to a terminal: the one place that prints, and that lets no control character of a file through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

import click

from tal_repro.errors import as_typed
from tal_repro.interrupt import drop
from tal_repro.untrusted import printable

Styled = tuple[str, str | None]  # text, and bold, dim or a colour


def echo(text: Any = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text of whatever origin; `err`: to standard error."""
    _print(printable(str(text)), err=err, nl=nl)


def tell_next(*steps: str) -> None:
    """Say on standard error what to do next: how a command ends that was not asked for JSON. One line a step."""
    for number, step in enumerate(steps):
        echo(f"{'next:' if number == 0 else '     '} {as_typed(step)}", err=True)


def echo_progress(text: Any, *, ended: bool, terminal: bool) -> None:
    """Print a line of progress to standard error; on a terminal in place of the one before it."""
    _print(("\r\033[K" if terminal else "") + printable(str(text)), err=True, nl=ended or not terminal)


def echo_styled(parts: Iterable[Styled], *, err: bool = False) -> None:
    """Print one line whose parts have a style each (click removes it where the output is not a terminal)."""
    _print("".join(_styled(printable(text), style) for text, style in parts).rstrip(), err=err)


def write(stream: TextIO, text: str) -> None:
    """Write progress: what a study need not have. Where nobody reads it any more the study goes on."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):  # a broken pipe, a terminal that is gone, a full disk; a closed file
        drop(2)


def _print(text: str, *, err: bool, nl: bool = True) -> None:
    try:
        click.echo(text, err=err, nl=nl)
    except OSError:
        if not err:
            raise
        drop(2)


def _styled(text: str, style: str | None) -> str:
    if style is None or not text:
        return text
    if style in ("bold", "dim"):
        return click.style(text, bold=style == "bold" or None, dim=style == "dim" or None)
    colour, _, weight = style.partition(" ")
    return click.style(text, fg=colour, bold=True if weight == "bold" else None)
