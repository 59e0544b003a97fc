"""The command table: every verb exists, help is light, and no input ends in a traceback."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tal_repro.cli import VERBS, main
from tal_repro.errors import InputError


def test_help_lists_every_verb():
    answer = CliRunner().invoke(main, ["--help"])
    assert answer.exit_code == 0
    assert all(f"  {verb} " in answer.output for verb in VERBS)


# A verb has eight options at most; these say what to run, where, and on what, and were counted one by one.
OPTIONS = {"plan": 13, "run": 11, "doctor": 9, "train": 10, "report": 9, "forecast": 11}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_few_options(verb):
    answer = CliRunner().invoke(main, [verb, "--help"])
    assert answer.exit_code == 0, answer.output
    command = main.get_command(click.Context(main), verb)
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in commands:
        options = [p for p in each.params if isinstance(p, click.Option)]
        assert len(options) <= OPTIONS.get(verb, 8), f"{verb} {each.name}: {[o.name for o in options]}"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here: run it on Linux")
@pytest.mark.parametrize("words", [["--version"], ["macs", "--help"], ["verify", "--json"]])
def test_an_output_that_is_full_is_told_in_a_line(words):
    command = [sys.executable, "-m", "tal_repro", *words]
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert answer.returncode == 2
    assert "cannot be written (No space left on device)" in answer.stderr and "Traceback" not in answer.stderr


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from tal_repro.cli import main; main(['--help'], standalone_mode=False); "
        "print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib', 'scipy') if m in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "[]"


def test_an_input_error_is_a_message_and_exit_code_2(monkeypatch):
    @click.command()
    def broken() -> None:
        raise InputError("percentage 0", "points.csv line 3", "use a number above 0")

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: broken)
    answer = CliRunner().invoke(main, ["anything"])
    assert answer.exit_code == 2
    assert "points.csv line 3: percentage 0" in answer.output
    assert "remedy: use a number above 0" in answer.output
    assert "Traceback" not in answer.output


def test_an_unknown_verb_is_refused():
    assert CliRunner().invoke(main, ["explode"]).exit_code == 2


@pytest.mark.parametrize("package", ["torch", "fvcore"])
def test_a_package_that_the_light_environment_lacks_is_told_with_its_remedy(monkeypatch, package):
    @click.command()
    def needy() -> None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: needy)
    answer = CliRunner().invoke(main, ["macs"])
    assert answer.exit_code == 2
    assert package in answer.output
    assert "make setup" in answer.output
