"""docs/data.md names no option that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


@pytest.mark.parametrize(
    "verb", ["data synth", "data verify", "data fetch", "data pack", "subset", "train", "evaluate"]
)
def test_every_option_in_the_text_exists(verb):
    lines = [line for line in PAGE.splitlines() if f"tal-repro {verb}" in line]
    assert lines
    known = CliRunner().invoke(main, [*verb.split(), "--help"]).output
    assert all(option in known for line in lines for option in re.findall(r"--[a-z-]+", line))
