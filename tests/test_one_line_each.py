"""A new experiment and a new figure: one file and one line each, as CONTRIBUTING.md says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPERIMENT = '''"""How many weights a model has."""
from tal_repro.engines.adapter import Adapter, RunContext


def run(run: RunContext, adapter: Adapter) -> None:
    """Count the weights -> measurements.csv."""
    network = adapter.build_for_macs(run.spec.feature_lengths[0])
    count = sum(weights.numel() for weights in network.parameters())
    row = {"quantity": "weights", "feature_length": 0, "sample": 0, "value": count, "unit": "1"}
    run.record.write_measurements([row])
'''
FIGURE = '''"""Figure 7: how many weights each model has."""
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material


def draw(material: Material) -> Drawing:
    """Draw a bar a model."""
    with style.applied():
        figure, axes = style.canvas(style.COLUMN_INCHES, 1.5)
        runs = material.runs.of("weights")
        axes[0, 0].bar([run.model for run in runs], [1] * len(runs))
    return Drawing(figure, "Weights of the models.", runs=list(runs))
'''
STUDY = """
schema = "tal-repro/study/1"
name = "weights"
[data]
name = "none"
[[experiments]]
experiment = "weights"
models = ["temporalmaxer"]
feature_lengths = [64]
"""
# One process for all commands: importing torch takes longer than each of them.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from tal_repro.cli import main
from tal_repro.paper.report import content
content.FIGURES = {number: content.FIGURES[number] for number in (1, 7)}  # the others take seconds
answers = []
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, words)
    answers.append([result.exit_code, result.output + repr(result.exception)])
print(json.dumps(answers))
"""


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A copy of the kit with an experiment and a figure more."""
    folder = tmp_path / "kit"
    shutil.copytree(ROOT / "tal_repro", folder / "tal_repro", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitmodules", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "weights.toml").write_text(STUDY)
    (folder / "tal_repro/run/weights.py").write_text(EXPERIMENT)
    (folder / "tal_repro/paper/figures/weights.py").write_text(FIGURE)
    line = '    "weights": Experiment("tal_repro.run.weights:run", "lengths", seeded=False),\n'
    insert(folder / "tal_repro/experiments.py", "    # An experiment of your own, a line:", line)
    line = '    7: Entry("weights", "How many weights each model has"),\n'
    insert(folder / "tal_repro/paper/figures/__init__.py", "    # A figure of your own, a line:", line)
    return folder


def insert(path: Path, anchor: str, line: str) -> None:
    text = path.read_text()
    assert text.count(anchor) == 1
    path.write_text(text.replace(anchor, line + anchor))


def test_it_is_planned_run_drawn_and_reported(kit: Path) -> None:
    study = ["--study", "weights.toml"]
    many = [
        ["plan", *study, "--list"],
        ["run", *study, "--jobs", "1"],
        ["figure", "7", *study],
        ["report", *study, "--out", "report"],
        ["figure", "8"],
    ]
    environment = {**os.environ, "PYTHONPATH": str(kit), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMANDS, json.dumps(many)]
    answer = subprocess.run(command, cwd=kit, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    planned, ran, drawn, reported, unknown = json.loads(answer.stdout.splitlines()[-1])
    for code, said in (planned, ran, drawn, reported):
        assert code == 0, said
    assert "weights" in planned[1]
    (found,) = kit.glob("results/runs/weights/temporalmaxer/*/measurements.csv")
    assert "7117852" in found.read_text()
    assert "temporalmaxer" in (kit / "results/figures/figure-7.caption.md").read_text()
    page = (kit / "report/index.html").read_text()
    assert "Figure 7. How many weights each model has" in page and "Figures 1 to 7" in page
    assert unknown[0] == 2
