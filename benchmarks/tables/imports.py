"""Who imports whom in the package, read from its source: what the pictures of docs/ are drawn from and a test holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

from tal_repro.cli import VERBS
from tal_repro.kit import require_checkout

PACKAGE = "tal_repro"
Graph = Mapping[str, Set[str]]  # importer -> what it imports

# Single modules that belong to a room, and those that every room stands on.
HOUSED = {"__main__": "cli", "study_checks": "study", "planned": "study", "study_file": "spec", "experiments": "spec"}
GROUND = (
    "untrusted",
    "files",
    "errors",
    "console",
    "text_lines",
    "text_table",
    "interrupt",
    "kit",
    "hooks",
    "thumos14",
)


@cache
def modules() -> Mapping[str, Path]:
    """Return every module of the package by its dotted name."""
    root = require_checkout("reading the imports")
    return {_name(path.relative_to(root)): path for path in sorted((root / PACKAGE).rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def module_graph() -> Graph:
    """Return which modules of the package each module imports, at its top or within a function."""
    graph = {name: {found for found in _imported(path) if found != name} for name, path in modules().items()}
    graph[f"{PACKAGE}.cli"] |= {f"{PACKAGE}.commands.{module}" for module, _, _ in VERBS.values()}  # when called
    return graph


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in modules():
                name = name.rpartition(".")[0]  # a name in a module
            if name.startswith(PACKAGE) and name != PACKAGE:
                yield name


def room_of(module: str) -> str:
    """Return the room of a module: its folder in the package, or the room that a single module belongs to."""
    first = module.removeprefix(f"{PACKAGE}.").partition(".")[0]
    return HOUSED.get(first, first)


def room_graph() -> dict[str, set[str]]:
    """Return which rooms each room imports; what all stand on (GROUND) is left out."""
    rooms: dict[str, set[str]] = {}
    for module, imported in module_graph().items():
        if module != PACKAGE and (room := room_of(module)) not in GROUND:
            rooms.setdefault(room, set()).update({room_of(name) for name in imported} - {room, *GROUND})
    return rooms


def reached(graph: Graph, start: str, without: tuple[str, str] | None = None) -> set[str]:
    """Return what `start` imports, itself or through others; `without` one import."""
    seen: set[str] = set()
    left = [start]
    while left:
        at = left.pop()
        new = {name for name in graph.get(at, ()) if (at, name) != without} - seen
        seen |= new
        left += new
    return seen


def reduced(graph: Graph) -> list[tuple[str, str]]:
    """Return the imports that no chain of others implies, of a graph without circles."""
    pairs = [(room, name) for room, names in sorted(graph.items()) for name in sorted(names)]
    return [(room, name) for room, name in pairs if name not in reached(graph, room, (room, name))]


def purpose(module: str) -> str:
    """Return how a module's docstring begins: its first line, and what that needs to end with a full stop."""
    words = []
    for line in (ast.get_docstring(ast.parse(modules()[module].read_text(encoding="utf-8"))) or "").splitlines():
        words.append(line)
        if line.endswith("."):
            break
    return " ".join(words)
