"""A stand-in upstream repository: a few lines of Python that look like one, with patches made for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FILES = {
    "train.py": "import sys\n\ndef main():\n    print('training', sys.argv[1:])\n    return 0\n\nmain()\n",
    "libs/data.py": "def load(ids):\n    kept = list(ids)\n    return kept\n",
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def insert(path: Path, after: int, *lines: str) -> None:
    content = path.read_text().split("\n")
    content[after:after] = lines
    path.write_text("\n".join(content))


def make_patch(tree: Path, out: Path, title: str = "Restrict the units.") -> Path:
    """Write the working tree's changes as a patch in the kit's form, and commit them in the tree."""
    out.write_text(
        f"{title}\n\nThe study trains on a share of the data.\n\n" + git(tree, "diff", "-U0", "--full-index")
    )
    git(tree, "commit", "-qam", title)
    return out


@pytest.fixture(name="git")
def git_command():
    """Run git in a folder and return what it says."""
    return git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A committed stand-in repository."""
    tree = tmp_path / "StandIn"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "first")
    return tree


@pytest.fixture
def patch_files(repository: Path, tmp_path: Path) -> list[Path]:
    """Two patches that follow one another on the same file, made on a clone so that the repository stays clean."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    folder = tmp_path / "patches" / "standin"
    folder.mkdir(parents=True)
    insert(clone / "libs/data.py", 2, "    kept = kept[:1]", "    kept.sort()")
    first = make_patch(clone, folder / "01-subset.patch")
    insert(clone / "libs/data.py", 0, "import os")
    insert(clone / "train.py", 3, "    print('hooked')")
    return [first, make_patch(clone, folder / "02-timing.patch", "Record times.")]
