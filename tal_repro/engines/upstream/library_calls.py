"""Calls in the authors' code that today's libraries no longer know, and packages that are not installed, found by
reading it: before anything runs.

Each kind says which shim makes up for it; where there is none, what to do. A shim that can harm nobody is always on
for a model beyond the four (shims.ALWAYS).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_SHOWN = 3  # places of a kind


@dataclass(frozen=True)
class Kind:
    """One kind of call: how it looks in a line, why it fails, and the shim for it ("": what to do is said)."""

    name: str
    pattern: re.Pattern[str]
    why: str
    shim: str = ""


KINDS = (
    Kind("np.float", re.compile(r"\b(?:np|numpy)\.float\b(?!\d)"), "left numpy in 1.24", "numpy_float"),
    Kind("np.int, np.bool, np.object", re.compile(r"\b(?:np|numpy)\.(?:int|bool|object|str|long|complex)\b(?!\d)"),
         "left numpy in 1.24", "numpy_aliases"),
    Kind("np.Inf, np.NaN", re.compile(r"\b(?:np|numpy)\.(?:Inf|NaN|float_|product)\b"), "left numpy in 2.0",
         "numpy_aliases"),
    Kind("torch.cuda.synchronize()", re.compile(r"\bcuda\.synchronize\("), "fails where there is no CUDA",
         "cuda_synchronize"),
    Kind("torch.load", re.compile(r"\btorch\.load\((?!.*weights_only)"),
         "refuses pickled checkpoints since torch 2.6 (weights_only)", "torch_load"),
    Kind("DataFrame.drop(labels, axis)", re.compile(r"\.drop\([^()=]+,\s*[01]\s*[,)]"),
         "takes its axis by name since pandas 2", "pandas_drop_axis"),
    Kind("torch._six", re.compile(r"\btorch\._six\b"), "left torch in 1.13", "torch_six"),
    Kind("joblib", re.compile(r"^\s*(?:from|import)\s+joblib\b"), "its worker processes would lack the shims",
         "joblib_workers"),
    Kind("nms_1d_cpu", re.compile(r"^\s*(?:from|import)\s+nms_1d_cpu\b"), "is an extension that is not compiled here",
         "compiled_nms"),
    Kind("tensorboard", re.compile(r"^\s*(?:from|import)\s+(?:torch\.utils\.tensorboard|tensorboardX?)\b"),
         "is not installed", "tensorboard_stub"),
    Kind("torchvision.__version__", re.compile(r"\btorchvision\.__version__"),
         "is compared as a number: torchvision is not installed, its stand-in says 0.0", "torchvision_stub"),
    Kind("distutils", re.compile(r"^\s*(?:from|import)\s+distutils\b"), "left Python in 3.12: a repair patch"),
    Kind("collections.Mapping", re.compile(r"\bcollections\.(?:Mapping|Sequence|Iterable|Callable|MutableMapping)\b"),
         "left Python in 3.10: a repair patch"),
    Kind("yaml.load", re.compile(r"\byaml\.load\([^,()]*\)"), "wants a Loader since PyYAML 6: a repair patch"),
)  # fmt: skip


_IMPORT = re.compile(r"^\s*(?:from\s+([A-Za-z_]\w*)[\w.]*\s+import\b|import\s+(.+))")


@dataclass(frozen=True)
class Place:
    """Where a call stands."""

    kind: Kind
    path: str
    line: int


def scan(tree: Path) -> list[Place]:
    """Return the calls in the Python files of a tree, in the order of files and lines."""
    return [place for path in sorted(tree.rglob("*.py")) if path.is_file() for place in _of_file(path, tree)]


def absent(tree: Path) -> dict[str, str]:
    """Return the packages that a tree imports, does not hold and that are not installed: name -> first place."""
    own = {path.stem if path.is_file() else path.name for path in tree.rglob("*")}
    kinds = [kind for kind in KINDS if kind.name in ("nms_1d_cpu", "tensorboard", "distutils", "torch._six")]
    lacking: dict[str, str] = {}
    for path in sorted(tree.rglob("*.py")):
        for number, code in _code(path) if path.is_file() else ():
            if (match := _IMPORT.match(code)) is None or any(kind.pattern.search(code) for kind in kinds):
                continue
            for name in [match[1]] if match[1] else re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)", match[2]):
                if name not in own and name not in lacking and importlib.util.find_spec(name) is None:
                    lacking[name] = f"{path.relative_to(tree).as_posix()}:{number}"
    return lacking


def _code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a file without comments; none of a setup.py: no extension is ever built here."""
    if path.name != "setup.py":
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from ((number, line.partition("#")[0]) for number, line in enumerate(lines, 1))


def _of_file(path: Path, tree: Path) -> Iterator[Place]:
    name = path.relative_to(tree).as_posix()
    for number, code in _code(path):
        yield from (Place(kind, name, number) for kind in KINDS if kind.pattern.search(code))


def describe(places: Sequence[Place], installed: Mapping[str, str], packages: Mapping[str, str]) -> str:
    """Say each kind of call and each absent package, where it stands, and whether a shim is on for it.

    `installed`: shim -> its reason; `packages`: what `absent` found.
    """
    lines = []
    for kind in KINDS:
        of_kind = [place for place in places if place.kind is kind]
        if not of_kind:
            continue
        where = ", ".join(f"{place.path}:{place.line}" for place in of_kind[:MOST_SHOWN])
        more = f" and {len(of_kind) - MOST_SHOWN} more" if len(of_kind) > MOST_SHOWN else ""
        if kind.shim in installed:
            what = f"shim {kind.shim} is on"
        else:
            what = f"add {kind.shim!r} to SHIMS if it runs there" if kind.shim else "no shim"
        lines.append(f"    {kind.name} {kind.why}: {where}{more} ({what})")
    for package, where in packages.items():
        on = [shim for shim, reason in installed.items() if package in reason]
        what = f"shim {on[0]} is on" if on else "if it runs there: requirements.lock, or a stand-in in OWN_SHIMS"
        lines.append(f"    {package} is not installed: {where} ({what})")
    said = f"{len(places)} calls that today's libraries do not know, {len(packages)} packages that are not installed"
    return "\n".join([said, *lines])
