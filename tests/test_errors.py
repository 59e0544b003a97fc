"""Messages that a person acts on: inside a container they name commands that the host has."""

import click
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.errors import CONTAINER_VARIABLE, InputError, as_typed


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
    assert as_typed(inside, {CONTAINER_VARIABLE: "kit"}) == outside
    assert as_typed(inside, {}) == inside


def test_the_command_line_prints_it_so(monkeypatch):
    @click.command()
    def broken() -> None:
        raise InputError("TadTR's archive is gone", None, "tal-repro data derive-tadtr DIR")

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: broken)
    monkeypatch.setenv(CONTAINER_VARIABLE, "kit")
    answer = CliRunner().invoke(main, ["anything"])
    assert "remedy: docker/kit.sh --fetch -- data derive-tadtr DIR" in answer.output
