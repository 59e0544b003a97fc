"""A native model of one's own: one file, one line of the registry; the kit trains, scores, counts and times it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ANCHOR = "    # Native models of your own, a line each:"
# One process for all commands: importing torch takes longer than each of them.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from tal_repro.cli import main
answers = []
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, words)
    error = result.exception if isinstance(result.exception, Exception) else ""
    answers.append([result.exit_code, result.stdout, f"{result.stderr}{error!r}"])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the kit with one file and one line more."""
    folder = tmp_path_factory.mktemp("own") / "kit"
    shutil.copytree(ROOT / "tal_repro", folder / "tal_repro", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "patches", folder / "patches")
    for name in (".gitmodules", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copy(ROOT / "tests/worked_example/native.py", folder / "tal_repro/models/own/stepfinder.py")
    registry = folder / "tal_repro/models/registry.py"
    text = registry.read_text()
    assert text.count(ANCHOR) == 1
    registry.write_text(text.replace(ANCHOR, f'    own("stepfinder", "StepFinder"),\n{ANCHOR}'))
    return folder


def commands(kit: Path, *many: list[str]) -> list[tuple[int, str, str]]:
    environment = {**os.environ, "PYTHONPATH": str(kit), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMANDS, json.dumps(many)]
    answer = subprocess.run(command, cwd=kit, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return [(code, out, err) for code, out, err in json.loads(answer.stdout)]


def averages(kit: Path) -> dict[str, Any]:
    (metrics,) = kit.glob("runs/training/stepfinder/**/metrics.json")
    found: dict[str, Any] = json.loads(metrics.read_text())
    return found


def test_one_file_and_one_line_are_enough(kit: Path) -> None:
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_config import SyntheticConfig

    write_synthetic(kit / "data", SyntheticConfig(24, 20, 16, 20, (20.0, 40.0), difficulty=0.0, seed=5))
    train = ["train", "--model", "stepfinder", "--data", "data", "--set", "feature_dim=16", "--out", "runs"]
    timed = ["bench", "inference", "--model", "stepfinder", "--lengths", "64", "--samples", "1", "--results", "runs"]
    answers = commands(
        kit,
        ["models", "--no-macs", "--json"],
        [*train, "--set", "epochs=25"],
        ["macs", "--model", "stepfinder", "--length", "100", "--json"],
        [*timed, "--include", "post"],
        ["plan", "--study", "paper", "--only", "model=stepfinder", "--list"],
        ["train", "--model", "stepfinder", "--data", "data", "--set", "feature_dim=16", "--engine", "upstream"],
    )
    for code, _, err in answers[:-1]:
        assert code == 0, err
    listed, _, counted, _, planned, refused = (out for _, out, _ in answers)
    row = next(row for row in json.loads(listed)["models"] if row["name"] == "stepfinder")
    assert (row["native"], row["training_length"], row["unit"]) == (True, 2304, "video")
    macs = json.loads(counted)
    assert macs["macs"] == macs["native_macs"] == 100 * 3 * 64 * (2048 + 22)
    assert (macs["padded_length"], macs["max_seq_len"]) == (100, None)
    assert {line.split()[0] for line in planned.splitlines() if " stepfinder " in line} >= {"baseline", "macs"}
    metrics = averages(kit)
    rows = [row["ap"] for row in metrics["rows"] if row["selection"] == "last" and row["protocol"] == "af-212"]
    assert len(rows) == 5 and sum(rows) / 5 > 0.2, rows  # it learns: any sound model does on this set
    assert metrics["reported"] == {"weights": "raw", "protocol": "af-212"}
    assert answers[-1][0] != 0 and "stepfinder has no upstream engine" in answers[-1][2], refused


def test_a_change_of_its_file_gives_other_runs(kit: Path) -> None:
    script = "from tal_repro.engines.registry import engine_version as v; print(v('stepfinder', 'native', 'training'))"
    environment = {**os.environ, "PYTHONPATH": str(kit)}
    file = kit / "tal_repro/models/own/stepfinder.py"

    def version() -> str:
        return subprocess.run(
            [sys.executable, "-c", script], cwd=kit, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    first, text = version(), file.read_text()
    file.write_text(text + "\n# a comment\n")
    assert version() == first
    file.write_text(text.replace("hidden: int = 64", "hidden: int = 32"))
    assert version() != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import nobody_has_this\n", r"models/own/broken\.py: cannot be read(.|\n)*torch within build"),
        ("RECIPE = {}\n", r"models/own/broken\.py: RECIPE is no recipe of the native engine"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tal_repro.models.own as package
    from tal_repro.errors import InputError
    from tal_repro.models.registry import own

    monkeypatch.delitem(sys.modules, "tal_repro.models.own.broken", raising=False)
    (tmp_path / "broken.py").write_text(content)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    with pytest.raises(InputError, match=message):
        own("broken", "Broken")
