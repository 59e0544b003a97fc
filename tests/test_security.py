"""What the package must never do, read from its source; and docs/security.md, whose tests must be there."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.mutations import read_mutants

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("tal_repro", "env", "docker", "benchmarks")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
DOCUMENT = ROOT / "docs" / "security.md"
SURFACES = (
    "Archives of data", "Downloads", "Archives of runs", "Checkpoints", "Features", "Annotations and detections",
    "Patches", "The authors' code", "Study files", "Run folders", "Points of a curve", "A fifth model",
    "Container mounts", "Dependency locks", "Offline bundle", "Report", "Commands of other programs", "Notebooks",
    "Names of the machine",
    "Locks in a shared temporary folder",
    "Secrets",
)  # fmt: skip
# Names that run what they are given, whatever module they come from.
FORBIDDEN = {
    "eval": "runs text", "exec": "runs text", "os.system": "is a shell", "os.popen": "is a shell",
    "pickle.load": "runs code", "pickle.loads": "runs code", "pickle.Unpickler": "runs code",
    "marshal.loads": "runs code", "shelve.open": "runs code", "yaml.load": "runs code", "yaml.full_load": "runs code",
    "yaml.unsafe_load": "runs code", "tempfile.mktemp": "races", "subprocess.getoutput": "is a shell",
}  # fmt: skip
EXTRACTING = {"extract", "extractall"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a module with its dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    found = [one.value for one in call.keywords if one.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def sins(path: Path) -> list[str]:
    found = []
    for name, call in calls(path):
        if name in FORBIDDEN:
            found.append(f"{name} {FORBIDDEN[name]}")
        if keyword(call, "shell"):
            found.append(f"{name} with shell=True")
        if name == "torch.load" and keyword(call, "weights_only") is not True:
            found.append("torch.load without weights_only=True")
        if name.endswith(("np.load", "numpy.load")) and keyword(call, "allow_pickle"):
            found.append(f"{name} with allow_pickle=True")
        if name.rpartition(".")[2] in EXTRACTING and keyword(call, "filter") != "data":
            found.append(f"{name} without filter='data'")
    return found


def test_the_scan_sees_what_it_forbids(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import torch, os\neval('1')\nos.system('x')\ntorch.load('x')\ntorch.load('x', weights_only=False)\n"
        "subprocess.run('x', shell=True)\nnp.load('x', allow_pickle=True)\narchive.extractall('x')\n"
        "torch.load('x', weights_only=True)\nnp.load('x')\nmodel.eval()\narchive.extractall('x', filter='data')\n"
    )
    assert len(sins(bad)) == 7


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_runs_what_it_reads(path):
    assert sins(path) == []


def rows() -> list[list[str]]:
    """Return the cells of the table's rows."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_surface_has_threat_defence_and_test():
    table = rows()
    assert tuple(row[0] for row in table) == SURFACES
    assert all(len(row) == 4 and all(row) for row in table)


def named_tests(cell: str) -> list[str]:
    """Spell out `tests/x/test_y.py::test_z`, and `::test_z` for another of the file named before."""
    named, file = [], ""
    for text in re.findall(r"`([^`]*::\w+)`", cell):
        file = text.partition("::")[0] or file
        named.append(f"{file}::{text.partition('::')[2]}")
    return named


@pytest.mark.parametrize("row", rows() if DOCUMENT.is_file() else [], ids=lambda row: row[0])
def test_each_named_test_is_there(row):
    named = named_tests(row[3])
    assert named, f"{row[0]} names no test"
    for text in named:
        file, _, name = text.partition("::")
        assert (ROOT / file).is_file(), text
        assert re.search(rf"^\s*def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), text


def test_every_row_has_a_mutant_that_its_own_tests_must_see():
    mutants = [mutant for mutant in read_mutants() if mutant.room == "security"]
    assert {mutant.row for mutant in mutants} == set(SURFACES)
    tests = {row[0]: named_tests(row[3]) for row in rows()}
    for mutant in mutants:
        functions = {test.partition("[")[0] for test in mutant.tests}
        assert functions and functions <= set(tests[mutant.row]), mutant


def test_no_notebook_is_shipped():
    answer = subprocess.run(["git", "ls-files", "*.ipynb"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = answer.stdout.split() if answer.returncode == 0 else [str(path) for path in ROOT.glob("[!.]*/**/*.ipynb")]
    assert found == []
