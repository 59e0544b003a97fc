"""Messages that a person acts on: inside a container they name commands that the host has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tal_repro import errors
from tal_repro.cli import main
from tal_repro.errors import CONTAINER_VARIABLE, InputError, commands_for_host


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("tal-repro data derive-tadtr data/thumos14", "docker/kit.sh --fetch -- data derive-tadtr data/thumos14"),
        ("x; or tal-repro run --study paper", "x; or docker/kit.sh -- run --study paper"),
        ("set --executor slurm (tal-repro status)", "set --executor slurm (docker/kit.sh -- status)"),
        ("not of schema tal-repro/doctor/1", "not of schema tal-repro/doctor/1"),
        ("kept in .tal-repro-prepared.json", "kept in .tal-repro-prepared.json"),
    ],
)
def test_in_a_container_a_command_is_the_one_to_type_outside(inside, outside):
    assert commands_for_host(inside, {CONTAINER_VARIABLE: "kit"}) == outside
    assert commands_for_host(inside, {}) == inside


def test_the_command_line_prints_it_so(monkeypatch):
    @click.command()
    def broken() -> None:
        raise InputError("TadTR's archive is gone", None, "tal-repro data derive-tadtr DIR")

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: broken)
    monkeypatch.setenv(CONTAINER_VARIABLE, "kit")
    answer = CliRunner().invoke(main, ["anything"])
    assert "remedy: docker/kit.sh --fetch -- data derive-tadtr DIR" in answer.output


def strings(told: ast.AST) -> Iterator[str]:
    """Yield the texts of a call or an assignment, also those within f-strings and choices."""
    for node in ast.walk(told):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_remedy_tells_anybody_to_delete_what_may_be_his() -> None:
    """An error that is followed by the letter must not cost a file."""
    advice = re.compile(r"\b(delete|remove|erase)\b|\brm -", re.IGNORECASE)
    harmless = {"remove this link, which leads nowhere; "}  # a link in a circle, where the kit writes: it holds nothing
    said = []
    for path in Path(errors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "")
            told = isinstance(node, ast.Call) and (name in ("fail", "warn", "Problem") or name.endswith("Error"))
            kept = isinstance(node, ast.Assign) and any("remed" in ast.unparse(one).lower() for one in node.targets)
            if told or kept:
                texts = [text for text in strings(node) if advice.search(text) and text not in harmless]
                said += [f"{path.name}:{node.lineno}: {text}" for text in texts]
    assert said == []
