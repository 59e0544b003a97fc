"""A fifth model from nothing to a figure: docs/adding-a-model.md, acted out on a copy of the kit and a repository."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tal_repro.engines.upstream.template import NewModel, write_new
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "worked_example"
MOST_LINES = 110  # of an adapter file
STUDY = """
schema = "tal-repro/study/1"
name = "fifth"
[data]
name = "made-up"
synthesis = { videos = 20, test = 20, feature_dim = 16, seconds = [20, 30], difficulty = 0.0, seed = 2 }
[[experiments]]
experiment = "baseline"
[[experiments]]
experiment = "data_sweep"
models = ["stepnet"]
percentages = [40, 70]
[[experiments]]
experiment = "macs"
models = ["stepnet"]
feature_lengths = [100]
[recipes.stepnet]
feature_dim = 16
epochs = 5
[recipes] # of the others, as wide as the data
tadtr = { feature_dim = 16 }
actionformer = { feature_dim = 16 }
tridet = { feature_dim = 16 }
temporalmaxer = { feature_dim = 16 }
dyfadet = { feature_dim = 16 }
tetad = { feature_dim = 16 }
"""


pytestmark = pytest.mark.timeout(900)  # commands of a user, one process each


class Kit:
    """A copy of the kit whose commands run as a user's would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "kit"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tal_repro", self.folder / "tal_repro", ignore=ignore)
        shutil.copytree(ROOT / "patches", self.folder / "patches")
        for name in (".gitmodules", "pyproject.toml"):
            shutil.copy(ROOT / name, self.folder)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "TAL_REPRO_THIRD_PARTY": str(folder),
            "TAL_REPRO_UPSTREAM": str(folder / "prepared"),
            "OMP_NUM_THREADS": "1",
        }

    def __call__(self, *words: str, expect: int = 0) -> str:
        command = [sys.executable, "-m", "tal_repro", *words]
        answer = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert answer.returncode == expect, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def commit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The stand-in repository, committed; and the commit."""
    folder = tmp_path_factory.mktemp("fifth")
    tree = folder / "StepNet"
    shutil.copytree(EXAMPLE / "repository", tree, ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *identity, *words], cwd=tree, check=True)
    sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tree, check=True, capture_output=True, text=True).stdout
    return folder, sha.strip()


@pytest.fixture(scope="module")
def kit(commit: tuple[Path, str]) -> Kit:
    """A copy of the kit to which StepNet was added as the walk-through says."""
    folder, sha = commit
    kit = Kit(folder)
    words = ["--repository", "https://example.org/authors/StepNet.git", "--commit", sha]
    said = kit("models", "new", "stepnet", *words, "--title", "StepNet", "--licence", "MIT")
    assert f"160000,{sha},third_party/StepNet" in said  # how the pointer is added; no network was touched
    unfinished = kit("models", "check", "stepnet", expect=1)
    assert "epochs = 0" in unfinished and "docs/adding-a-model.md" in unfinished
    shutil.copy(EXAMPLE / "adapter.py", kit.folder / "tal_repro" / "engines" / "added" / "stepnet.py")
    unpatched = kit("models", "check", "stepnet", expect=1)
    assert "no patch calls tal_hooks.restrict" in unpatched
    for patch in (EXAMPLE / "patches").glob("*.patch"):
        shutil.copy(patch, kit.folder / "patches" / "stepnet")
    return kit


def test_the_contract_passes_and_every_step_is_told(kit: Kit) -> None:
    said = kit("models", "check", "stepnet", "--json")
    found = json.loads(said[: said.rindex("}") + 1])
    jsonschema.validate(found, json.loads((ROOT / "tal_repro" / "schemas" / "models-check.json").read_text()))
    assert found["passed"], found
    steps = ["registry", "recipe", "patches", "description", "checkout", "libraries", "macs", "training"]
    steps += ["events", "subset", "losses", "evaluation", "weights", "detections", "map", "unpatched"]
    said_of = {step["step"]: step["message"] for step in found["steps"]}
    assert list(said_of) == steps
    assert "libs/engine.py:27 (shim cuda_synchronize is on)" in said_of["libraries"]
    assert "best-on-test, last (synthetic)" in said_of["training"]
    document = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")
    table = document.partition("| step | asks |")[2].partition("\n\n")[0]
    told = [name for line in table.splitlines()[2:] for name in line.split("|")[1].replace(",", " ").split()]
    assert told == steps, "the document's table of steps"


def test_every_experiment_figure_and_table_includes_it(kit: Kit) -> None:
    (kit.folder / "fifth.toml").write_text(STUDY)
    planned = kit("plan", "--study", "fifth.toml", "--list")
    in_the_paper = kit("plan", "--study", "paper", "--scope", "full", "--only", "model=stepnet")
    found = {line.split()[0] for line in in_the_paper.splitlines() if " stepnet  upstream" in line}
    assert found == {"baseline", "data_sweep", "macs", "inference", "trace"}, in_the_paper
    # The study asks for the native engine: the four get it, StepNet gets the one it has.
    assert sum("stepnet" in line for line in planned.splitlines()) >= 4, planned
    kit("run", "--study", "fifth.toml", "--only", "model=stepnet", "--jobs", "1")
    runs = sorted((kit.folder / "results" / "runs").glob("*/stepnet/*/spec.json"))
    assert [path.parts[-4] for path in runs] == ["baseline", "data_sweep", "data_sweep", "macs"]
    assert {json.loads(path.read_text())["engine"] for path in runs} == {"upstream"}
    assert "StepNet" in kit("table", "2")
    kit("figure", "all", "--source", "measured")
    assert list((kit.folder / "results" / "figures").glob("*2*.svg"))
    assert "StepNet (not in the paper): average mAP" in kit("verify")
    counted = json.loads(kit("macs", "--model", "stepnet", "--length", "100", "--json").partition("\ncounting")[0])
    assert counted["macs"] == 100 * 3 * 64 * (2048 + 20) and counted["native_macs"] is None
    assert "StepNet" in kit("models", "--no-macs")


def test_the_example_is_as_short_as_promised() -> None:
    assert len((EXAMPLE / "adapter.py").read_text().splitlines()) <= MOST_LINES


def a_model(**values: str) -> NewModel:
    given = NewModel("mine", "Mine", "https://example.org/me/Mine", "a" * 40, "MIT", "video")
    return dataclasses.replace(given, **values)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("tal_repro/models/registry.py", ".gitmodules"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tal_repro/engines/added").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "Mine"}, "small letters"),
        ({"name": "../mine"}, "small letters"),
        ({"name": "mine/../../x"}, "small letters"),
        ({"name": "mine = 1; import os"}, "small letters"),
        ({"name": "tridet"}, "there already"),
        ({"commit": "abc123"}, "40 hex digits"),
        ({"commit": "--upload-pack=x" + "a" * 25}, "40 hex digits"),
        ({"repository": "ext::sh -c x"}, "https:// address"),
        ({"repository": "https://example.org/../x"}, "https:// address"),
        ({"repository": 'https://example.org/x"\n[core]'}, "https:// address"),
        ({"repository": "https://github.com/someone/TriDet.git"}, "has a submodule"),
        ({"repository": "https://example.org/me/x --upload-pack=y/z"}, "https:// address"),
        ({"title": "a\nb"}, "printable"),
    ],
)
def test_bad_names_are_refused_and_nothing_is_written(clone: Path, values: dict[str, str], message: str) -> None:
    before = {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=message):
        write_new(a_model(**values), clone)
    assert {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()} == before


def test_two_models_of_one_repository_share_its_submodule(clone: Path) -> None:
    entry = MODELS["tetad"]
    address = f"https://github.com/{entry.repository}.git"
    before = (clone / ".gitmodules").read_text()
    write_new(a_model(repository=address, commit=entry.commit), clone)
    assert (clone / ".gitmodules").read_text() == before
    assert f'added("mine", "Mine", "{entry.repository}"' in (clone / "tal_repro/models/registry.py").read_text()
    with pytest.raises(InputError, match="at another commit"):
        write_new(a_model(name="other", repository=address), clone)


def test_a_long_address_makes_lines_that_lint_passes(clone: Path) -> None:
    write_new(a_model(repository="https://example.org/" + "a" * 40 + "/Mine", title="A Title of a Fair Length"), clone)
    text = (clone / "tal_repro/models/registry.py").read_text()
    assert max(map(len, text.splitlines())) <= 120
    compile(text, "registry.py", "exec")


@pytest.mark.parametrize(
    "content", ["import nobody_has_this\n", "def train(job:\n", "LAYOUT = 'tadtr'\nRECIPE = 1 / 0\n"]
)
def test_a_description_that_cannot_be_read_is_named_instead_of_a_traceback(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tal_repro.engines.added as package
    from tal_repro.models.registry import added

    (tmp_path / "broken.py").write_text(content)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    with pytest.raises(InputError, match=r"engines/added/broken\.py: cannot be read(.|\n)*within train and build"):
        added("broken", "Broken", "https://example.org/a/B", "a" * 40, "MIT")


def test_what_is_written_is_quoted_and_not_written_twice(clone: Path) -> None:
    new = a_model(title='Say "hi"')
    assert len(write_new(new, clone)) == 4
    assert '"mine", "Say \\"hi\\"",' in (clone / "tal_repro/models/registry.py").read_text()
    with pytest.raises(InputError, match="is there already"):
        write_new(new, clone)
