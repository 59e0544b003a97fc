"""docs/data.md holds what the kit prints: the statistics are the generator's, the options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data import load_dataset
from tal_repro.data.summary import comparison
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_the_table_of_statistics_is_what_the_generator_gives(tmp_path):
    root = write_synthetic(tmp_path / "d", SyntheticConfig(), "annotations")
    assert comparison(load_dataset(root, "tadtr")) in PAGE


@pytest.mark.parametrize(
    "verb", ["data synth", "data verify", "data fetch", "data pack", "subset", "train", "evaluate"]
)
def test_every_option_in_the_text_exists(verb):
    lines = [line for line in PAGE.splitlines() if f"tal-repro {verb}" in line]
    assert lines
    known = CliRunner().invoke(main, [*verb.split(), "--help"]).output
    assert all(option in known for line in lines for option in re.findall(r"--[a-z-]+", line))
