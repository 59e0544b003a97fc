"""What `models new` writes: a description file to fill in, a first patch to make, the submodule's and registry's lines.

Nothing here touches the network: the author adds the submodule's pointer with the command that is printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.models.registry import MODELS

NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
COMMIT = re.compile(r"[0-9a-f]{40}")
URL = re.compile(r"(https://[A-Za-z0-9.-]+/|file:///)[A-Za-z0-9_./+~-]+")
REGISTRY = "tal_repro/models/registry.py"
INDENT, LINE_LENGTH = 4, 120  # of the registry
ANCHOR = "    # Models beyond the four, a line each:"

DESCRIPTION = '''"""{title} by its authors' code: its recipe, and how its scripts are run (docs/adding-a-model.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tal_repro.engines.upstream.job import Job

LAYOUT = "actionformer"  # or "tadtr": whose arrangement of THUMOS14 its data loader reads
PROTOCOL = "af-212"  # the test videos its own mAP is of: af-212, opentad-211 or tadtr-210
SHIMS: tuple[str, ...] = ()  # names from `tal-repro upstream diff all` that its code needs


@dataclass(frozen=True)
class Recipe:
    """What the authors' script can be told; the defaults are theirs."""

    feature_dim: int = 2048
    num_classes: int = 20
    epochs: int = 0  # fill in, with whatever else a study may want to set
    batch_size: int = 0


RECIPE = Recipe()


def train(job: Job) -> None:
    """Run the training script; see tal_repro/engines/upstream/job.py for what `job` holds."""
    raise NotImplementedError("say how {name} is trained: job.train(script, arguments, weights)")


def build(tree: Path) -> Any:
    """Return the authors' model as a module from features [1, C, T] and lengths [1] to outputs (for MACs)."""
    raise NotImplementedError("say how {name} is built at its defaults")
'''
PATCHES_README = """# Patches of {title}

Three patches, each insert-only: `01-subset.patch`, `02-timing.patch`, `03-metrics.patch` (docs/adding-a-model.md).
Make each in a clone of the repository at its commit, one purpose at a time:

    git diff -U0 --full-index

below a title, an empty line and the reason. `tal-repro models check {name}` says what is missing.
"""


@dataclass(frozen=True)
class NewModel:
    """A model to be added."""

    name: str
    title: str
    repository: str  # URL
    commit: str
    licence: str
    unit: str

    @property
    def folder(self) -> str:
        """Return the submodule's folder under third_party/."""
        return self.repository.rpartition("/")[2].removesuffix(".git")


def write_new(new: NewModel, root: Path) -> list[str]:
    """Write the files of a new model below `root` and return their paths; raise InputError and write nothing instead.

    All or nothing: what can be refused is refused before the first file is written.
    """
    _check(new)
    description = root / "tal_repro" / "engines" / "added" / f"{new.name}.py"
    patches = root / "patches" / new.name
    registry, modules = root / REGISTRY, root / ".gitmodules"
    for path in (description, patches):
        if path.exists():
            raise InputError("is there already", path, "take another name, or move it away")
    if not registry.is_file() or not modules.is_file():
        raise InputError("not a clone of the kit", root, "run it where the repository was cloned")
    lines = registry.read_text(encoding="utf-8")
    if lines.count(ANCHOR) != 1:
        raise InputError("the place for models beyond the four is gone", registry, f"restore the line {ANCHOR.strip()}")
    submodules = modules.read_text(encoding="utf-8")
    submodules += _submodule(new) if not _is_there(new, submodules, modules) else ""
    patches.mkdir(parents=True)
    write_whole(description, DESCRIPTION.format(title=new.title, name=new.name).encode())
    write_whole(patches / "README.md", PATCHES_README.format(title=new.title, name=new.name).encode())
    write_whole(modules, submodules.encode())
    write_whole(registry, lines.replace(ANCHOR, f"    {_line(new)}\n{ANCHOR}").encode())
    return [str(path.relative_to(root)) for path in (description, patches / "README.md", modules, registry)]


def _is_there(new: NewModel, submodules: str, modules: Path) -> bool:
    """Tell whether the repository is a submodule already, for another model of it; one folder holds one commit."""
    if f'"third_party/{new.folder}"' not in submodules:
        return False
    commits = {entry.commit for entry in MODELS.values() if entry.submodule == new.folder}
    if _submodule(new) not in submodules or commits != {new.commit}:
        what = f"has a submodule third_party/{new.folder}, of another repository or at another commit"
        raise InputError(what, modules, "is the model there already? Two models of a repository share its commit")
    return True


def _line(new: NewModel) -> str:
    repository = new.repository.removesuffix(".git").removeprefix("https://github.com/")
    words = [new.name, new.title, repository, new.commit, new.licence, new.unit]
    quoted = [_quoted(word) for word in words]
    line = f"added({', '.join(quoted)}),"
    if len(line) + INDENT <= LINE_LENGTH:
        return line
    return f"added(\n        {', '.join(quoted[:3])},\n        {', '.join(quoted[3:])},\n    ),"


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _submodule(new: NewModel) -> str:
    where = f"third_party/{new.folder}"
    return f'[submodule "{where}"]\n\tpath = {where}\n\turl = {new.repository}\n'


def _check(new: NewModel) -> None:
    if not NAME.fullmatch(new.name):
        raise InputError(f"name {new.name!r}", remedy="use 2 to 40 small letters, digits and _, a letter first")
    if new.name in MODELS:
        raise InputError(f"model {new.name!r} is there already", remedy=f"check it: tal-repro models check {new.name}")
    if not COMMIT.fullmatch(new.commit):
        raise InputError(f"--commit {new.commit!r}", remedy="give all 40 hex digits: git rev-parse HEAD in its clone")
    if not URL.fullmatch(new.repository) or ".." in new.repository or not re.fullmatch(r"[\w.-]+", new.folder):
        raise InputError(f"--repository {new.repository!r}", remedy="give its https:// address")
    for name, text in (("title", new.title), ("licence", new.licence)):
        if not text.isprintable() or not 0 < len(text) <= 60:
            raise InputError(f"{name} {text!r}", remedy="use 1 to 60 printable characters")
