"""Every command that a document names exists, and is run by a test or marked as one that cannot run here."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tests.documents.reading import NAMES, ROOT, commands, text_of, words_of
from tests.screens.screens import workplace

TABLE = tomllib.loads(Path(__file__).with_name("commands.toml").read_text(encoding="utf-8"))
HISTORY = "CHANGELOG.md"  # it names what there was
ROWS = [(kind, pattern, row) for kind, rows in TABLE.items() for row in rows for pattern in row["commands"]]
NAMED = sorted({command for name in NAMES if name != HISTORY for command in commands(text_of(name))})
# What stands for something of the reader's, and what stands for what was left out.
LEFT_OUT = re.compile(r"<Tab>|\.\.\.|\[|\]|> \S+$|\\?\| source$")
EXAMPLES = {"stepnet": "tadtr", "mine": "tadtr"}  # models that a document adds; each stands for one that is there


def _fits(command: str, pattern: str) -> bool:
    return fnmatchcase(command, pattern.replace("[", "[[]"))


def test_every_command_of_a_document_is_covered_or_marked() -> None:
    unlisted = [command for command in NAMED if not any(_fits(command, pattern) for _, pattern, _ in ROWS)]
    assert not unlisted, "say in tests/documents/commands.toml how each is covered"
    assert not [pattern for _, pattern, _ in ROWS if not any(_fits(command, pattern) for command in NAMED)]


def test_what_covers_a_command_is_there() -> None:
    named = [
        path for _, _, row in ROWS for path in [*row.get("by", ()), *([row["nearest"]] if "nearest" in row else [])]
    ]
    assert not [path for path in named if not (ROOT / path).exists()]
    assert all(row["reason"] for kind, _, row in ROWS if kind == "cannot")


@pytest.mark.parametrize("command", [command for command in NAMED if "tal-repro" in words_of(command)[:1]])
def test_every_option_and_choice_in_a_command_exists(command: str) -> None:
    words = words_of(re.sub(r"<[^>]*>", "0" * 40, LEFT_OUT.sub("", command)))[1:]
    words = [EXAMPLES.get(word, word if "=" in word else word.split("|")[0]) for word in words]
    words = ["verify" if word == "VERB" else word for word in words]
    group: click.Command = main
    with contextlib.suppress(click.MissingParameter):  # a document may name a command without its arguments
        context = click.Context(main, info_name="tal-repro", **main.context_settings)
        while isinstance(group, click.Group) and words:
            name = words.pop(0)
            found = group.get_command(context, name)
            assert found is not None, f"no command {name!r}"
            group = found
        if not isinstance(group, click.Group) and words:
            _parse(group, words, context)


def _parse(command: click.Command, words: list[str], context: click.Context) -> None:
    """Parse as the program does; files that are not there and placeholders where a choice stands are no fault."""
    try:
        command.make_context(command.name, words, context)
    except click.BadParameter as error:
        placeholder = re.search(r"'[A-Z_]+' is not (one of|a valid)", error.message)
        if isinstance(error, click.MissingParameter) or not (placeholder or "does not exist" in error.message):
            raise
    except click.exceptions.Exit:
        pass


def test_make_would_do_each_command() -> None:
    asked = [
        command for command in NAMED if words_of(command)[0] == "make" and not re.search(r"NAME|DIR\b.*=", command)
    ]
    assert len(asked) > 40
    script = "\n".join(
        f"{command} --dry-run --no-print-directory > /dev/null || echo {shlex.quote(command)}" for command in asked
    )
    answer = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert not answer.stdout, answer.stderr


def test_each_benchmark_that_is_named_exists() -> None:
    modules = {word for command in NAMED for word in re.findall(r"(?:bench-|benchmarks\.)([a-z_]+)", command)}
    assert len(modules) > 10
    assert not [name for name in modules if importlib.util.find_spec(f"benchmarks.{name}") is None]


def test_the_commands_marked_here_run_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = [pattern for kind, pattern, _ in ROWS if kind == "here"]
    in_order = [command for pattern in patterns for command in NAMED if _fits(command, pattern)]
    monkeypatch.setenv("TAL_REPRO_GRID", "")
    with workplace():
        _lay_out()
        for command in in_order:
            words = words_of(re.sub(r" > \S+$", "", command))[1:]
            result = CliRunner().invoke(main, words)
            assert result.exit_code in ((0, 1) if words[0] == "doctor" else (0,)), (command, result.output)


def _lay_out() -> None:
    """Give the workplace what the documents' commands name: DIR, results/runs."""
    synth = "data synth --layout actionformer --videos 6 --test 4 --feature-dim 8 --set seconds=20-30 --out DIR"
    assert CliRunner().invoke(main, synth.split()).exit_code == 0
    Path("results").mkdir()
    Path("runs").rename("results/runs")
