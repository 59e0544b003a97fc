"""What goes to a terminal: the one place that prints, fits lines to its width, and stops control characters."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

import click

from tal_repro.errors import commands_for_host
from tal_repro.interrupt import drop
from tal_repro.text_lines import fitted, step_lines, width_of
from tal_repro.untrusted import printable

Styled = tuple[str, str | None]  # text, and bold, dim or a colour


def echo(text: Any = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text of whatever origin for a person, no wider than the terminal; `err`: to standard error."""
    _print(fit(printable(str(text)), err=err), err=err, nl=nl)


def fit(text: str, *, err: bool = False) -> str:
    """Return text as `echo` breaks its lines, for those who colour it."""
    width = _width(err)
    return text if width is None else fitted(text, width)


def emit(text: Any, *, err: bool = False, nl: bool = True) -> None:
    """Print what programs read and people copy (JSON, CSV, code, ids, paths): its lines stay as they are."""
    _print(printable(str(text)), err=err, nl=nl)


def echo_command(label: str, command: str) -> None:
    """Print a command after a label, so that it can be copied from the terminal however narrow that is."""
    for line in step_lines(printable(command), label, _width(err=False)):
        _print(line, err=False)


def tell_next(*steps: str) -> None:
    """Say on standard error what to do next: how a command ends that was not asked for JSON.

    A step is a sentence, or a command, perhaps with "  # " and what it does after it.
    """
    for number, step in enumerate(steps):
        shown = printable(commands_for_host(step))
        for line in step_lines(shown, "next: " if number == 0 else "      ", _width(err=True)):
            _print(line, err=True)


def echo_progress(text: Any, *, ended: bool, terminal: bool) -> None:
    """Print a line of progress to standard error; on a terminal in place of the one before it, cut to its width."""
    shown, width = printable(str(text)), _width(err=True)
    if terminal and width is not None:
        shown = shown[: width - 1]
    _print(("\r\033[K" if terminal else "") + shown, err=True, nl=ended or not terminal)


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


def _width(err: bool) -> int | None:
    return width_of(sys.stderr if err else sys.stdout)


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
